//! How lines read.

use std::collections::BTreeSet;

use time::macros::datetime;

use super::*;
use crate::domain::approval::{ApprovalRecord, ApprovalStep};
use crate::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use crate::domain::{Action, LeaseAction, RequestId, SecretPath, Target};

fn entry(caller: Caller, field: Option<&str>, event: AuditEvent) -> AuditEntry {
    AuditEntry {
        at: datetime!(2026-11-21 09:15:00.5 +1),
        id: RequestId::Message {
            chat: 1001,
            message: 7,
        },
        caller,
        subject: Subject::Secret {
            action: Action::Read(Delivery::Message),
            target: Target {
                path: SecretPath::new("secret", "django/database").unwrap(),
                field: field.map(str::to_owned),
                version: None,
            },
        },
        event,
    }
}

fn sealed(entry: &AuditEntry) -> String {
    let mut out = vec![];
    seal(&Link::genesis(), entry, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_reads_as_documented() {
    let caller = Caller::Telegram(TelegramUser {
        id: 1001,
        chat: ChatKind::Private,
    });
    let event = AuditEvent::Decided {
        allowed: true,
        reason: None,
        policies: vec!["main.cedar:policy0".into()],
        vault_role: Some("developers".into()),
        grant: ApprovalId::read("R7K2XQ"),
    };
    let line = sealed(&entry(caller, Some("pass\"word"), event));
    let (body, hash) = line.split_once(",\"hash\":").unwrap();
    assert_eq!(
        body,
        concat!(
            r#"{"seq":1,"time":"2026-11-21T08:15:00.500Z","event":"decided","allowed":true,"#,
            r#""policies":["main.cedar:policy0"],"vault_role":"developers","#,
            r#""grant":"R7K2XQ","#,
            r#""id":"telegram-1001-7","#,
            r#""caller":"telegram:1001","chat":"private","action":"read","#,
            r#""path":"secret/django/database","#,
            r#""field":"pass\"word","delivery":"message","prev":"#,
            r#""0000000000000000000000000000000000000000000000000000000000000000""#,
        )
    );
    assert_eq!(
        hash,
        format!("\"{}\"}}\n", hex::encode(Sha256::digest(body)))
    );
}

#[test]
fn a_step_of_an_approval_reads_as_documented() {
    let caller = Caller::Unix(UnixPeer::known(990, 991, 42));
    let step = ApprovalStep::Granted {
        until: datetime!(2026-11-21 09:15 UTC),
        once: false,
        policies: vec!["prod".to_owned()],
    };
    let record = ApprovalRecord {
        approval: ApprovalId::read("R7K2XQ").unwrap(),
        requester: "alice".to_owned(),
        step,
    };
    let line = sealed(&entry(caller, None, AuditEvent::Approval(record)));
    let start = concat!(
        r#"{"seq":1,"time":"2026-11-21T08:15:00.500Z","event":"granted","#,
        r#""until":"2026-11-21T09:15:00.000Z","once":false,"policies":["prod"],"#,
        r#""approval":"R7K2XQ","requester":"alice","id":"telegram-1001-7","caller":"uid:990","#,
    );
    assert!(line.starts_with(start), "{line}");
}

#[test]
fn a_peer_of_the_socket_is_described() {
    let mut peer = UnixPeer::known(990, 991, 42);
    peer.executable = Some("/usr/bin/a\nb".into());
    peer.groups = Some(BTreeSet::from([27, 991]));
    peer.unit = Some("deploy.service".into());
    peer.socket = Some("default".into());
    let caller = Caller::Unix(peer);
    let line = sealed(&entry(
        caller,
        None,
        AuditEvent::Failed {
            reason: "not_found",
        },
    ));
    assert_eq!(line.matches('\n').count(), 1, "one entry is one line");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["caller"], "uid:990");
    assert_eq!(
        (&value["uid"], &value["gid"], &value["pid"]),
        (&990.into(), &991.into(), &42.into())
    );
    assert_eq!(value["executable"], "/usr/bin/a\nb");
    assert_eq!(value["groups"], serde_json::json!([27, 991]));
    assert_eq!(value["unit"], "deploy.service");
    assert_eq!(value["socket"], "default");
    assert_eq!(
        value.get("container"),
        None,
        "what is not known is left out"
    );
    assert_eq!(
        (&value["event"], &value["reason"]),
        (&"failed".into(), &"not_found".into())
    );
    assert_eq!(value.get("field"), None);
}

#[test]
fn a_rotation_and_a_key_read_as_documented() {
    let caller = Caller::Telegram(TelegramUser {
        id: 1001,
        chat: ChatKind::Private,
    });
    let mut rotation = entry(
        caller.clone(),
        Some("password"),
        AuditEvent::Written { version: Some(4) },
    );
    if let Subject::Secret { action, .. } = &mut rotation.subject {
        *action = Action::Rotate {
            recipe: Recipe::Hex,
            over: Some(3),
        };
    }
    let value: serde_json::Value = serde_json::from_str(&sealed(&rotation)).unwrap();
    assert_eq!(value["action"], "rotate");
    assert_eq!(value["recipe"], "hex");
    assert_eq!(value["version_written"], 4);
    assert_eq!(value.get("delivery"), None);

    let mut key = entry(caller, None, AuditEvent::KeyRegistered);
    key.subject = Subject::Key("age1abc".to_owned());
    let value: serde_json::Value = serde_json::from_str(&sealed(&key)).unwrap();
    assert_eq!(value["event"], "key_registered");
    assert_eq!(value["key"], "age1abc");
    assert_eq!(value.get("path"), None);
}

#[test]
fn a_lease_reads_as_documented() {
    let caller = Caller::Telegram(TelegramUser {
        id: 1001,
        chat: ChatKind::Private,
    });
    let mut kept = entry(caller, None, AuditEvent::LeaseKept { seconds: 5400 });
    kept.subject = Subject::Lease {
        action: LeaseAction::Keep,
        lease: "db/creds/app/x".to_owned(),
        path: "db/creds/app".to_owned(),
    };
    let value: serde_json::Value = serde_json::from_str(&sealed(&kept)).unwrap();
    for (name, wanted) in [
        ("event", "lease_kept"),
        ("action", "keep_lease"),
        ("path", "db/creds/app"),
        ("lease", "db/creds/app/x"),
    ] {
        assert_eq!(value[name], wanted);
    }
    assert_eq!(value["seconds"], 5400);
}

#[test]
fn what_was_started_amiss_names_its_run() {
    let caller = Caller::Unix(UnixPeer::known(1, 1, 1));
    let reason = "pipeline_raced";
    let line = sealed(&entry(
        caller,
        None,
        AuditEvent::StartedAmiss { run: 1001, reason },
    ));
    let said = r#""event":"failed","reason":"pipeline_raced","run":1001,"#;
    assert!(line.contains(said), "{line}");
}

#[test]
fn a_refused_unwrapping_reads_as_documented() {
    let caller = Caller::Unix(UnixPeer::known(1, 1, 1));
    for (made_at, reason) in [
        (Some("auth/token/create"), "wrapped_elsewhere"),
        (None, "not_wrapped"),
    ] {
        let mut refused = entry(caller.clone(), None, AuditEvent::Failed { reason });
        refused.subject = Subject::Wrapped {
            made_at: made_at.map(str::to_owned),
        };
        let value: serde_json::Value = serde_json::from_str(&sealed(&refused)).unwrap();
        assert_eq!(
            (&value["action"], &value["reason"]),
            (&"unwrap".into(), &reason.into())
        );
        assert_eq!(value.get("path").and_then(|path| path.as_str()), made_at);
    }
}

#[test]
fn an_oversized_entry_is_refused_and_leaves_nothing() {
    let caller = Caller::Unix(UnixPeer {
        executable: Some("x".repeat(MAX_LINE)),
        ..UnixPeer::known(1, 1, 1)
    });
    let mut out = b"before\n".to_vec();
    let entry = entry(caller, None, AuditEvent::Released(Reading::default()));
    let error = seal(&Link::genesis(), &entry, &mut out).unwrap_err();
    assert_eq!(error.0, "record: longer than 65536 bytes");
    assert_eq!(out, b"before\n");
}
