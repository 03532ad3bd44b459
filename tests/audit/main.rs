//! The audit as its users see it: real files, real processes, real kills.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod checkpoints;
#[path = "../common/child.rs"]
mod child;
mod crash;
mod open;
mod posted;
mod rotation;
mod sinks;
mod tampering;
mod verify;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::macros::datetime;
use vaultgram::audit::key::{PublicKey, SigningKey};
use vaultgram::audit::verify::{Demands, Summary, VerifyError, verify_files};
use vaultgram::audit::{AuditFile, Durability, Settings};
use vaultgram::domain::caller::{ChatKind, TelegramUser};
use vaultgram::domain::{
    Action, AuditEntry, AuditEvent, Caller, Delivery, Reading, RequestId, SecretPath, Subject,
    Target,
};

/// An entry about message `number`, a second after the one before.
fn entry(number: i32) -> AuditEntry {
    AuditEntry {
        at: datetime!(2026-11-21 08:00 UTC) + time::Duration::seconds(number.into()),
        id: RequestId::Message {
            chat: 1001,
            message: number,
        },
        caller: Caller::Telegram(TelegramUser {
            id: 1001,
            chat: ChatKind::Private,
        }),
        subject: Subject::Secret {
            action: Action::Read(Delivery::Message),
            target: Target {
                path: SecretPath::new("secret", "django/database").unwrap(),
                field: None,
                version: None,
            },
        },
        event: AuditEvent::Released(Reading {
            version: Some(3),
            ..Reading::default()
        }),
    }
}

fn open(path: &Path) -> AuditFile {
    AuditFile::open(settings(path, Durability::Grouped)).unwrap()
}

fn settings(path: &Path, durability: Durability) -> Settings {
    Settings::new(path.to_owned(), durability)
}

/// A new key for checkpoints.
fn key() -> Arc<SigningKey> {
    let line = SigningKey::generate().unwrap();
    Arc::new(SigningKey::read(line.as_bytes()).unwrap())
}

/// As [`settings`], signed.
fn signing(path: &Path, key: &Arc<SigningKey>) -> Settings {
    Settings {
        key: Some(Arc::clone(key)),
        ..settings(path, Durability::Grouped)
    }
}

/// Every signature is to be one of these keys', and everything signed where `signed`.
fn of_keys(keys: &[&PublicKey], signed: bool) -> Demands {
    Demands {
        keys: keys.iter().map(|key| (*key).clone()).collect(),
        signed,
        ..Demands::default()
    }
}

/// The summary of these files, or the file's name, line and name of the first flaw.
fn check(paths: &[PathBuf], demands: Demands) -> Result<Summary, (String, u64, &'static str)> {
    verify_files(paths, demands).map_err(|(file, error)| match error {
        VerifyError::Flaw(flaw) => {
            let name = file.file_name().unwrap().to_str().unwrap();
            (name.to_owned(), flaw.line, flaw.what.name())
        }
        VerifyError::Read(error) => panic!("{error}"),
    })
}

/// The records of a file.
fn records(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The events of a file.
fn events(path: &Path) -> Vec<String> {
    let records = records(path);
    let event = |record: &serde_json::Value| record["event"].as_str().unwrap().to_owned();
    records.iter().map(event).collect()
}

/// Writes records `first..=last` to the audit at `path` and closes it.
async fn write(path: &Path, first: i32, last: i32) {
    write_with(settings(path, Durability::Grouped), first, last).await;
}

/// As [`write`], with other settings.
async fn write_with(settings: Settings, first: i32, last: i32) {
    use vaultgram::broker::ports::AuditSink;
    let audit = AuditFile::open(settings).unwrap();
    for number in first..=last {
        audit.record(entry(number)).await.unwrap();
    }
    audit.close().await.unwrap();
}
