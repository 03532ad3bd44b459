//! The audit as its users see it: real files, real processes, real kills.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "../common/child.rs"]
mod child;
mod crash;
mod open;
mod verify;
mod write;

use std::path::Path;

use time::macros::datetime;
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
    Settings {
        path: path.to_owned(),
        durability,
    }
}

/// Writes records `first..=last` to the audit at `path` and closes it.
async fn write(path: &Path, first: i32, last: i32) {
    use vaultgram::broker::ports::AuditSink;
    let audit = open(path);
    for number in first..=last {
        audit.record(entry(number)).await.unwrap();
    }
    audit.close().await.unwrap();
}
