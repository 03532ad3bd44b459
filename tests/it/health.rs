//! What probes are told while Vault is sealed or gone, and while the audit cannot be written.

use serde_json::Value;

use crate::metrics::fetch;
use crate::serving;
use crate::stage::Stage;

/// Status and body of `/health`.
fn health(stage: &Stage) -> (String, Value) {
    let (status, body) = fetch(stage, "/health");
    (status, serde_json::from_str(&body).unwrap())
}

fn state(report: &Value, name: &str) -> String {
    let mut checks = report["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["name"] == name);
    check.unwrap()["state"].as_str().unwrap().to_owned()
}

async fn becomes(stage: &Stage, status: &str, body: &str) {
    let found = || {
        let (found, said) = fetch(stage, "/readyz");
        found.starts_with(status) && said.contains(body)
    };
    stage.wait(&format!("{status}, {body}"), found).await;
    let (alive, _) = fetch(stage, "/healthz");
    assert!(alive.starts_with("200"), "{alive}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_vault_and_the_audit() {
    let mut stage = serving().await;
    becomes(&stage, "200", "ready\n").await;
    let (status, report) = health(&stage);
    assert!(status.starts_with("200 application/json"), "{status}");
    for name in ["vault", "state", "audit", "policy", "telegram"] {
        assert_eq!(state(&report, name), "ok", "{report}");
    }
    assert!(!report.to_string().contains("vaultgram.sock"), "{report}");

    stage.bao.seal();
    becomes(&stage, "503", "vault: sealed").await;
    assert_eq!(health(&stage).1["state"], "down");
    stage.bao.unseal();
    becomes(&stage, "200", "ready").await;
    stage.bao.kill();
    becomes(&stage, "503", "vault: unreachable").await;
    stage.bao.restart_sealed();
    becomes(&stage, "503", "vault: sealed").await;
    stage.bao.unseal();
    becomes(&stage, "200", "ready").await;

    let (audit, aside) = (stage.path("audit.jsonl"), stage.path("aside"));
    std::fs::rename(&audit, &aside).unwrap();
    becomes(&stage, "503", "audit: cannot be written").await;
    std::fs::rename(&aside, &audit).unwrap();
    becomes(&stage, "200", "ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_telegram_secrets_are_served_all_the_same() {
    let stage = serving().await;
    stage.dc.refuse(true);
    stage.dc.drop_connections();
    let degraded = || health(&stage).1["state"] == "degraded";
    stage.wait("Telegram is missed", degraded).await;
    assert_eq!(state(&health(&stage).1, "telegram"), "down");
    becomes(&stage, "200", "ready").await;
    let status = stage.vaultgram(&["status"]).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.contains("degraded: telegram reconnecting"), "{said}");
}
