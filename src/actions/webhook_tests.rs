//! Tests of what GitHub tells.

use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::broker::ports::pipelines::State;

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

fn secret(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

/// GitHub's own example of a signature.
const EXAMPLE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn run(updated: &str) -> Value {
    json!({
        "action": "in_progress",
        "workflow_run": {
            "id": 30_433_642, "name": "Deploy", "node_id": "WFR_x", "head_branch": "main",
            "head_sha": "acb5820ced9479c074f688cc328bf03f341a511d",
            "path": ".github/workflows/deploy.yml", "run_number": 7, "event": "workflow_dispatch",
            "display_title": "Deploy v1", "status": "in_progress", "conclusion": null,
            "workflow_id": 159_038, "html_url": "https://github.com/acme/shop/actions/runs/30433642",
            "created_at": "2026-03-01T11:00:00Z", "updated_at": updated, "run_attempt": 2,
            "run_started_at": "2026-03-01T11:50:00Z", "actor": {"login": "octocat", "id": 1},
        },
        "repository": {"id": 1, "full_name": "Acme/Shop"},
        "sender": {"login": "octocat", "id": 1},
    })
}

fn job(created: &str) -> Value {
    json!({
        "action": "waiting",
        "workflow_job": {
            "id": 3, "run_id": 30_433_642, "name": "deploy", "status": "waiting",
            "conclusion": null, "created_at": created, "started_at": null, "completed_at": null,
            "html_url": "https://github.com/acme/shop/actions/runs/30433642/job/3", "steps": [],
        },
        "repository": {"id": 1, "full_name": "Acme/Shop"},
    })
}

fn told(event: &str, body: &Value) -> Result<Event, WebhookError> {
    read(event, body.to_string().as_bytes(), NOW)
}

#[test]
fn githubs_own_example_holds_and_nothing_else_does() {
    let secrets = [secret("new"), secret("It's a Secret to Everybody")];
    let body = b"Hello, World!";
    assert_eq!(verify(&secrets, body, Some(EXAMPLE)), Ok(()));
    for signature in [
        None,
        Some(""),
        Some("sha256="),
        Some("sha256=zz"),
        EXAMPLE.strip_prefix("sha256="),
        EXAMPLE.strip_suffix("17"),
        Some("sha1=757107ea0eb2509fc211221cce984b8a37570b6d"),
    ] {
        let verified = verify(&secrets, body, signature);
        assert_eq!(verified, Err(WebhookError::Signature), "{signature:?}");
    }
    let wrong = Err(WebhookError::Signature);
    assert_eq!(verify(&secrets, b"Hello, World?", Some(EXAMPLE)), wrong);
    assert_eq!(verify(&secrets[..1], body, Some(EXAMPLE)), wrong);
    assert_eq!(verify(&[], body, Some(EXAMPLE)), wrong);
    let nobodys = "sha256=b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
    assert_eq!(verify(&[secret("")], b"", Some(nobodys)), wrong);
    let large = vec![0; MAX_BODY + 1];
    assert_eq!(
        verify(&secrets, &large, Some(EXAMPLE)),
        Err(WebhookError::TooLarge)
    );
}

#[test]
fn what_concerns_runs_is_read() {
    assert_eq!(
        told("ping", &json!({"zen": "Design for failure."})),
        Ok(Event::Ping)
    );
    assert_eq!(told("push", &json!({})), Ok(Event::Other));
    let Ok(Event::Run { repository, run }) = told("workflow_run", &run("2026-03-01T11:59:00Z"))
    else {
        panic!("a run")
    };
    assert_eq!(
        (repository.to_string().as_str(), run.id.get()),
        ("acme/shop", 30_433_642)
    );
    assert_eq!((run.state, run.attempt), (State::Running, 2));
    let Ok(Event::Job { run, job, .. }) = told("workflow_job", &job("2026-03-01T11:59:00Z")) else {
        panic!("a job")
    };
    assert_eq!(
        (run.get(), job.name.as_str(), job.state),
        (30_433_642, "deploy", State::Waiting)
    );
}

#[test]
fn what_is_old_or_malformed_is_not_taken() {
    let old = "2026-02-20T00:00:00Z";
    assert_eq!(told("workflow_run", &run(old)), Err(WebhookError::Stale));
    assert_eq!(told("workflow_job", &job(old)), Err(WebhookError::Stale));
    for (event, pointer, value) in [
        ("workflow_run", "/workflow_run/id", json!(0)),
        (
            "workflow_run",
            "/workflow_run/updated_at",
            json!("yesterday"),
        ),
        ("workflow_run", "/workflow_run/head_sha", json!("x")),
        ("workflow_run", "/repository/full_name", json!("../x")),
        ("workflow_job", "/workflow_job/run_id", json!("3")),
        ("workflow_job", "/workflow_job/created_at", json!(null)),
        ("workflow_job", "/workflow_job", json!(null)),
    ] {
        let now = "2026-03-01T11:59:00Z";
        let mut body = if event == "workflow_run" {
            run(now)
        } else {
            job(now)
        };
        *body.pointer_mut(pointer).unwrap() = value;
        assert_eq!(
            told(event, &body),
            Err(WebhookError::Malformed),
            "{pointer}"
        );
    }
    assert_eq!(
        read("workflow_run", b"{", NOW),
        Err(WebhookError::Malformed)
    );
}
