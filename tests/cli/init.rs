//! `vaultgram init`, and that what it writes is complete and correct.

use std::collections::BTreeSet;
use std::path::Path;

use crate::vaultgram;

const VARIABLES: &[(&str, &str)] = &[
    ("VAULT_TOKEN", "t"),
    ("TELEGRAM_API_ID", "1"),
    ("TELEGRAM_API_HASH", "0123456789abcdef0123456789abcdef"),
];

#[test]
fn what_it_writes_is_correct_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let init = vaultgram(directory.path(), &[], &["init", "vg", "--user", "1001"]);
    assert_eq!(init.code, 0, "{init:?}");
    let check = vaultgram(
        directory.path(),
        VARIABLES,
        &["check", "-c", "vg/vaultgram.toml"],
    );
    assert_eq!((check.code, check.err.as_str()), (0, ""), "{check:?}");
    assert!(
        check.out.contains("vg/vaultgram.toml: correct\n"),
        "{check:?}"
    );
    assert!(check.out.contains("listens to 1 person"), "{check:?}");
    assert!(check.out.contains("2 policies"), "{check:?}");

    let again = vaultgram(directory.path(), &[], &["init", "vg"]);
    assert_eq!(again.code, 73);
    assert!(
        again.err.contains("hint: init overwrites nothing"),
        "{again:?}"
    );
    let kept = std::fs::read_to_string(directory.path().join("vg/vaultgram.toml")).unwrap();
    assert!(kept.contains("allowed_users = [1001]"), "{kept}");

    let json = vaultgram(directory.path(), &[], &["init", "other", "--json"]);
    let said = "{\"config\":\"other/vaultgram.toml\",\"policy\":\"other/policy.cedar\"}\n";
    assert_eq!(json.out, said, "{json:?}");
}

#[test]
fn it_writes_all_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("policy.cedar"), "// mine\n").unwrap();
    let ran = vaultgram(directory, &[], &["init"]);
    assert_eq!(ran.code, 73, "{ran:?}");
    assert!(
        ran.err.contains("policy.cedar") && ran.err.contains("hint: init overwrites nothing"),
        "{ran:?}"
    );
    let left: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["policy.cedar"]);
}

#[test]
fn without_a_user_it_listens_to_nobody() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(vaultgram(directory.path(), &[], &["init"]).code, 0);
    let check = vaultgram(directory.path(), VARIABLES, &["check"]);
    assert!(check.out.contains("listens to nobody"), "{check:?}");
    let wrong = vaultgram(directory.path(), &[], &["init", "x", "--user", "@alice"]);
    assert!(
        wrong.code == 64 && wrong.err.contains("and no @name"),
        "{wrong:?}"
    );
}

/// Asks the parser which keys a section has, by giving it one it cannot know.
fn keys(directory: &Path, section: &str) -> BTreeSet<String> {
    let file = directory.join("probe.toml");
    std::fs::write(&file, format!("{section}frobnicate = 1\n")).unwrap();
    let ran = vaultgram(directory, &[], &["check", "-c", "probe.toml"]);
    let (_, expected) = ran
        .err
        .split_once("expected ")
        .unwrap_or_else(|| panic!("{ran:?}"));
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_setting_is_in_the_file_with_its_default() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    assert_eq!(vaultgram(directory, &[], &["init"]).code, 0);
    let written = std::fs::read_to_string(directory.join("vaultgram.toml")).unwrap();

    let sections = keys(directory, "");
    assert!(sections.len() >= 8, "{sections:?}");
    for section in sections {
        // Some are all in comments; of issuers there are as many as one likes.
        let (name, end) = match section.as_str() {
            "https" | "signing" | "github" | "metrics" | "tracing" => {
                (format!("\n# [{section}]\n"), "\n# [")
            }
            "issuers" => ("\n# [issuers.github]\n".to_owned(), "\n# ["),
            _ => (format!("\n[{section}]\n"), "\n["),
        };
        let (_, after) = written.split_once(&name).unwrap();
        let text = after.split(end).next().unwrap();
        if ["groups", "people", "sockets"].contains(&section.as_str()) {
            continue; // its keys are the user's own
        }
        let header = name.trim_start_matches(['\n', '#', ' ']);
        let mut all = keys(directory, header);
        if all.remove("etcd") {
            // A section of its own, all in comments.
            assert!(text.contains("\n# [state.etcd]\n"), "{text}");
            all.extend(keys(directory, "[state.etcd]\n"));
        }
        for key in all {
            let documented = text.lines().any(|line| {
                let setting = line.trim_start_matches(['#', ' ']);
                setting.split(" = ").next() == Some(key.as_str())
            });
            assert!(
                documented,
                "[{section}] {key} is not in the file init writes"
            );
        }
    }

    // With every comment that is a setting taken out of its comment, it is still correct.
    let is_setting = |line: &str| {
        line.strip_prefix("# ")
            .and_then(|line| line.split_once(" = "))
            .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let opened: String = written
        .lines()
        // The socket's path is there twice; what concerns TLS does not go with the http address.
        .filter(|line| {
            ![
                "path",
                "# ca_cert",
                "# client_cert",
                "# client_key",
                "# tls_server_name",
            ]
            .iter()
            .any(|key| line.starts_with(&format!("{key} = ")))
        })
        .map(|line| {
            if is_setting(line) {
                line.trim_start_matches("# ")
            } else {
                line
            }
        })
        .fold(String::new(), |text, line| text + line + "\n");
    std::fs::write(directory.join("vaultgram.toml"), opened).unwrap();
    let check = vaultgram(directory, VARIABLES, &["check"]);
    assert_eq!(check.code, 0, "{check:?}");
}

/// The policies in comments are what people start from: opened, they are correct, and none takes
/// an executable for an identity.
#[test]
fn the_example_policies_are_correct_and_name_a_user() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    assert_eq!(vaultgram(directory, &[], &["init"]).code, 0);
    let settings = directory.join("vaultgram.toml");
    let approvers = std::fs::read_to_string(&settings).unwrap();
    let approvers = approvers.replace("# platform-leads = ", "platform-leads = ");
    std::fs::write(&settings, approvers.replace("# security = ", "security = ")).unwrap();
    let file = directory.join("policy.cedar");
    let written = std::fs::read_to_string(&file).unwrap();
    let mut opened = String::new();
    let mut example = false;
    for line in written.lines() {
        example = (example || line.starts_with("// @id(")) && !line.is_empty();
        opened += if example {
            line.trim_start_matches("// ")
        } else {
            line
        };
        opened += "\n";
    }
    std::fs::write(&file, &opened).unwrap();
    let check = vaultgram(directory, VARIABLES, &["check"]);
    assert!(check.out.contains("12 policies"), "{check:?}");
    for policy in opened
        .split("\n@id")
        .filter(|text| text.contains("executable =="))
    {
        assert!(policy.contains("principal == UnixPeer::"), "{policy}");
    }
    assert!(opened.contains("executable =="), "{opened}");
}
