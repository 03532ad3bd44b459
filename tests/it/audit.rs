//! The audit as an operator meets it.

use crate::stage::{ALICE, BOB, PASSWORD, Stage};
use crate::{serving, setting};

fn verify(stage: &Stage) -> (i32, String) {
    let file = stage.path("audit.jsonl");
    let ran = stage
        .vaultgram(&["audit", "verify", file.to_str().unwrap()])
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_and_outcome_is_on_record_and_tampering_shows() {
    let mut stage = serving().await;
    stage
        .ask(ALICE, "/get_secret django/database#password")
        .await;
    stage.ask(ALICE, "/get_secret django/nothing").await;
    stage.ask(BOB, "/get_secret django/database").await;
    stage
        .vaultgram(&["get", "django/database"])
        .output()
        .unwrap();
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    broker.exit().await;

    let text = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let facts: Vec<_> = records
        .iter()
        .map(|r| {
            (
                r["event"].as_str().unwrap(),
                r["caller"].as_str().unwrap().split(':').next().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("decided", "telegram"),
            ("released", "telegram"),
            ("decided", "telegram"),
            ("failed", "telegram"),
            ("decided", "telegram"),
            ("decided", "uid"),
            ("released", "uid"),
        ],
        "{text}"
    );
    assert_eq!(records[0]["id"], records[1]["id"]);
    assert_eq!(records[0]["policies"][0], "developers-read-django");
    assert_eq!(records[3]["reason"], "not_found");
    assert_eq!(
        (&records[4]["allowed"], &records[4]["reason"]),
        (&false.into(), &"not_permitted".into())
    );
    let (code, said) = verify(&stage);
    assert!(code == 0 && said.contains("7 records"), "{said}");

    std::fs::write(stage.path("audit.jsonl"), text.replacen("1002", "1001", 1)).unwrap();
    let (code, said) = verify(&stage);
    assert!(code == 65 && said.contains("line 5"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audit_nothing_is_served() {
    for durability in ["grouped", "strict"] {
        let mut setting = setting();
        let line = format!("durability = \"{durability}\"");
        setting.audit = &line;
        let mut stage = Stage::build(setting).await;
        stage.start().await;
        assert!(
            stage
                .ask(ALICE, "/get_secret django/database")
                .await
                .contains(PASSWORD)
        );
        // Somebody moves the file away: what is written now would be in no audit.
        std::fs::rename(stage.path("audit.jsonl"), stage.path("moved")).unwrap();
        let answer = stage.ask(ALICE, "/get_secret django/database").await;
        assert!(answer.contains("audit"), "{durability}: {answer}");
        let get = stage
            .vaultgram(&["get", "django/database"])
            .output()
            .unwrap();
        assert!(!get.status.success() && get.stdout.is_empty(), "{get:?}");
        // Put back, it goes on: nothing is lost.
        std::fs::rename(stage.path("moved"), stage.path("audit.jsonl")).unwrap();
        assert!(
            stage
                .ask(ALICE, "/get_secret django/database")
                .await
                .contains(PASSWORD)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_serves_nothing_and_heals() {
    let stage = serving().await;
    let get = || {
        stage
            .vaultgram(&["get", "django/database#password"])
            .output()
            .unwrap()
    };
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    let pid = stage.broker.as_ref().unwrap().pid();
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap());
    let size = std::fs::metadata(stage.path("audit.jsonl")).unwrap().len();
    let limit = |current| {
        let limit = rustix::process::Rlimit {
            current,
            maximum: None,
        };
        rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).unwrap();
    };
    // No file of the broker's may grow beyond the audit's size: the next record does not fit.
    limit(Some(size + 10));
    let refused = get();
    assert_eq!(
        (refused.status.code(), refused.stdout.as_slice()),
        (Some(69), &b""[..])
    );
    assert!(String::from_utf8(refused.stderr).unwrap().contains("audit"));
    limit(None);
    assert_eq!(get().stdout, PASSWORD.as_bytes());
    let (code, said) = verify(&stage);
    assert_eq!(code, 0, "no half record stays: {said}");
}
