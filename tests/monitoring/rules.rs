//! The alert rules: clean, tested one by one, and each with its entry in the runbooks.

use std::collections::BTreeSet;

use crate::prometheus::promtool;
use crate::text;

/// What follows `key` on lines of `file`.
fn found(file: &str, key: &str) -> Vec<String> {
    let all = text(file);
    let lines = all.lines().map(str::trim);
    let found = lines.filter_map(|line| line.strip_prefix(key));
    found.map(str::to_owned).collect()
}

fn alerts() -> BTreeSet<String> {
    found("monitoring/rules/vaultgram.yml", "- alert: ")
        .into_iter()
        .collect()
}

#[test]
fn rules_are_clean_and_do_what_their_tests_say() {
    for arguments in [
        &["check", "rules", "vaultgram.yml"],
        &["test", "rules", "vaultgram.test.yml"],
    ] {
        let ran = promtool(arguments, "");
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert!(ran.status.success(), "{said}");
    }
}

#[test]
fn every_alert_has_a_test_that_fires_it_and_a_runbook() {
    let alerts = alerts();
    assert!(alerts.len() > 15, "{alerts:?}");
    let tested = found("monitoring/rules/vaultgram.test.yml", "- name: Vaultgram");
    let tested: BTreeSet<_> = tested.iter().map(|it| format!("Vaultgram{it}")).collect();
    assert_eq!(tested, alerts);
    let entries = found("docs/runbooks.md", "## Vaultgram");
    let entries: Vec<_> = entries.iter().map(|it| format!("Vaultgram{it}")).collect();
    let named: BTreeSet<_> = entries.iter().cloned().collect();
    assert_eq!(named, alerts);
    assert_eq!(entries.len(), named.len(), "an entry twice");
    let links = found(
        "monitoring/rules/vaultgram.yml",
        "runbook_url: docs/runbooks.md#",
    );
    let links: BTreeSet<_> = links.into_iter().collect();
    let anchors: BTreeSet<_> = alerts.iter().map(|alert| alert.to_lowercase()).collect();
    assert_eq!(links, anchors);
}

#[test]
fn rules_and_dashboard_speak_only_of_what_is_documented() {
    let page = text("docs/metrics.md");
    for file in [
        "monitoring/rules/vaultgram.yml",
        "monitoring/dashboards/vaultgram.json",
    ] {
        let all = text(file);
        let words = all.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("vaultgram_")) {
            let name = word.trim_end_matches("_bucket");
            assert!(page.contains(&format!("`{name}`")), "{file}: {name}");
        }
    }
}
