//! What is exposed is what is documented, as Prometheus wants it; and the dashboard has data.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::prometheus::{Prometheus, promtool};
use crate::stage::{ALICE, PASSWORD};
use crate::text;
use crate::world::World;

/// The names in docs/metrics.md's tables, each with its kind.
fn documented() -> BTreeSet<(String, String)> {
    let page = text("docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_owned(), (*cells.get(2)?).to_owned()))
    });
    rows.collect()
}

/// The same of what is scraped.
fn exposed(scraped: &str) -> BTreeSet<(String, String)> {
    let types = scraped
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let types = types.map(|line| line.split_once(' ').unwrap());
    types
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// Every label that is documented, by the name of its metric.
fn labels() -> BTreeSet<String> {
    let page = text("docs/metrics.md");
    let cells = page.lines().filter_map(|line| line.split('|').nth(3));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned));
    names.chain(["le".to_owned()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scraped_is_what_is_documented_and_clean() {
    let world = World::start().await;
    let secret = world.stage.ask(ALICE, "/get_secret django/database").await;
    assert!(secret.contains(PASSWORD), "{secret}");
    let looked = || world.scrape("/metrics").1.contains("_devices_looked_at_");
    world.stage.wait("devices are looked at", looked).await;

    let (status, scraped) = world.scrape("/metrics");
    assert_eq!(status, 200, "{scraped}");
    assert_eq!(exposed(&scraped), documented());
    let linted = promtool(&["check", "metrics"], &scraped);
    let said = String::from_utf8([linted.stdout, linted.stderr].concat()).unwrap();
    assert!(linted.status.success() && said.is_empty(), "{said}");

    // Nothing of anybody, and nothing without end.
    let labels = labels();
    for line in scraped.lines().filter(|line| !line.starts_with('#')) {
        let named = line.split_once('{').map(|(_, rest)| rest);
        for name in named.into_iter().flat_map(|it| it.split('"').step_by(2)) {
            let name = name.trim_start_matches([',', '{']).trim_end_matches('=');
            let known = name.starts_with('}') || labels.contains(name);
            assert!(known, "{name} in {line}");
        }
    }
    for of_somebody in ["django", "database", PASSWORD, "uid", "127.0.0.1"] {
        assert!(
            !scraped.contains(of_somebody),
            "{of_somebody} in\n{scraped}"
        );
    }
    // Whose number it is could only stand in a label: a value may come to any.
    let labelled = scraped.lines().filter(|line| !line.starts_with('#'));
    let labelled = labelled.filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
    let labelled: Vec<_> = labelled.collect();
    assert!(labelled.len() > 20, "{scraped}");
    for line in labelled {
        let somebody = ["1001", "5000"]
            .iter()
            .find(|number| line.contains(*number));
        assert_eq!(somebody, None, "in {line}");
    }
    let lines = scraped.lines().filter(|line| !line.starts_with('#'));
    assert!(lines.count() < 500, "{scraped}");

    // Nothing else, and nobody else.
    assert_eq!(world.scrape("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(world.scrape("/healthz").0, 200);
    for path in [
        "/",
        "/health",
        "/cluster",
        "/v1/sys/metrics?format=prometheus",
    ] {
        let (status, body) = world.scrape(path);
        assert_eq!(
            (status, body.contains("only /metrics")),
            (404, true),
            "{path}: {body}"
        );
    }
    assert_eq!(world.curl("/metrics", &[]).0, 0, "a certificate is wanted");
    let (certificate, key) = (&world.scraper.certificate, &world.scraper.key);
    let posted = [
        "--cert",
        certificate.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
        "-d",
        "x",
    ];
    assert_eq!(world.curl("/metrics", &posted).0, 405);
}

/// Every query of a dashboard, with what Grafana puts in.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let expressions = targets.map(|target| target["expr"].as_str().unwrap());
    let filled = expressions.map(|it| {
        it.replace("$instance", ".*")
            .replace("$__rate_interval", "10s")
    });
    filled.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboard_has_data() {
    let dashboard: Value =
        serde_json::from_str(&text("monitoring/dashboards/vaultgram.json")).unwrap();
    let mut missing = queries(&dashboard);
    assert!(missing.len() > 50, "{missing:?}");
    for query in &missing {
        assert!(!query.contains('$'), "{query}");
    }
    let world = World::start().await;
    let prometheus = tokio::task::block_in_place(|| Prometheus::start(&world));
    world.approve().await;
    let start = std::time::Instant::now();
    while !missing.is_empty() {
        assert!(
            start.elapsed() < crate::stage::PATIENCE,
            "no data: {missing:#?}"
        );
        world.stage.ask(ALICE, "/get_secret django/database").await;
        let ran = world.stage.vaultgram(&["get", "django/database"]).output();
        assert!(ran.unwrap().status.code().is_some());
        tokio::task::block_in_place(|| {
            missing.retain(|query| {
                let found = prometheus.query(query);
                let found = found.unwrap_or_else(|| panic!("cannot be evaluated: {query}"));
                found.iter().all(|value| value.is_nan())
            });
        });
    }
}
