//! The audit's head in a chat: what stands there exposes an audit that was cut off or rewritten.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use telegram_dc::{Chat, Fault};
use time::macros::datetime;
use vaultgram::audit::posted::read_chat;
use vaultgram::audit::verify::{Demands, VerifyError, verify_files};
use vaultgram::audit::{AuditFile, Durability, Settings};
use vaultgram::broker::ports::AuditSink;
use vaultgram::domain::caller::{ChatKind, TelegramUser};
use vaultgram::domain::{AuditEntry, AuditEvent, Caller, RequestId, Subject};

use super::support::{ALICE, BROKER, SOON, World};

/// The audit chat, as clients number it.
pub(crate) const CHAT_ID: i64 = -1_000_000_000_000 - GROUP;
/// How often the head is posted there.
pub(crate) const EVERY: Duration = Duration::from_millis(300);

const GROUP: i64 = 78;
const CHAT: Chat = Chat::Channel(GROUP);

fn entry(number: i32) -> AuditEntry {
    AuditEntry {
        at: datetime!(2026-11-21 08:00 UTC),
        id: RequestId::Message {
            chat: ALICE,
            message: number,
        },
        caller: Caller::Telegram(TelegramUser {
            id: ALICE,
            chat: ChatKind::Private,
        }),
        subject: Subject::Chat,
        event: AuditEvent::ChatUnlocked,
    }
}

/// A world with an audit chat, and the audit.
async fn watched(folder: &Path) -> (World, Arc<AuditFile>) {
    let mut world = World::new().await;
    world.dc.add_supergroup(GROUP, "Audit", &[ALICE, BROKER]);
    let settings = Settings::new(folder.join("audit.jsonl"), Durability::Grouped);
    let audit = Arc::new(AuditFile::open(settings).unwrap());
    world.witness = Some(Arc::clone(&audit));
    (world, audit)
}

/// Waits until the head of this record stands in the chat.
async fn until_posted(world: &World, seq: u64) {
    let begin = format!("audit head {seq} ");
    let posted = world
        .dc
        .wait_for(ALICE, CHAT, SOON, |m| m.text.starts_with(&begin));
    posted.await.expect("the head");
}

/// What a member of the chat copies out of it.
fn copied(world: &World) -> String {
    let messages = world.dc.history(ALICE, CHAT);
    let texts = messages.iter().map(|message| message.text.as_str());
    texts.collect::<Vec<_>>().join("\n")
}

/// The name of what is wrong with the audit, held against the chat.
fn verdict(folder: &Path, chat: &str) -> Result<u64, &'static str> {
    let demands = Demands {
        posted: read_chat(chat),
        ..Demands::default()
    };
    match verify_files(&[folder.join("audit.jsonl")], demands) {
        Ok(summary) => Ok(summary.chat.found),
        Err((_, VerifyError::Flaw(flaw))) => Err(flaw.what.name()),
        Err((_, error)) => panic!("{error}"),
    }
}

/// The chain made anew over the lines of `text`, as whoever can write the file can.
fn chained_anew(text: &str) -> String {
    let (mut out, mut prev) = (String::new(), "0".repeat(64));
    for (number, line) in text.lines().enumerate() {
        let (body, _) = line.rsplit_once(",\"prev\":").unwrap();
        let (_, rest) = body.split_once(',').unwrap();
        let body = format!("{{\"seq\":{},{rest},\"prev\":\"{prev}\"", number + 1);
        prev = hex::encode(Sha256::digest(&body));
        writeln!(out, "{body},\"hash\":\"{prev}\"}}").unwrap();
    }
    out
}

#[tokio::test]
async fn the_chat_exposes_what_the_file_hides() {
    let folder = tempfile::tempdir().unwrap();
    let (world, audit) = watched(folder.path()).await;
    for number in 1..=2 {
        audit.record(entry(number)).await.unwrap();
    }
    let process = world.start().await;
    until_posted(&world, 2).await;
    audit.record(entry(3)).await.unwrap();
    until_posted(&world, 3).await;
    // Between two posts, so that only the stop can bring it.
    audit.record(entry(4)).await.unwrap();
    process.stop().await;
    audit.close().await.unwrap();
    until_posted(&world, 4).await;
    let chat = copied(&world);
    assert_eq!(verdict(folder.path(), &chat), Ok(3));

    let path = folder.path().join("audit.jsonl");
    std::fs::remove_file(folder.path().join("audit.jsonl.head")).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |left_out: usize| {
        let mut lines = lines.clone();
        lines.remove(left_out);
        chained_anew(&(lines.join("\n") + "\n"))
    };
    assert_eq!(chained_anew(&text), text, "the forger's tool works");
    for (forged, wanted) in [
        (without(3), "posted_missing"),
        (without(0), "posted_elsewhere"),
        (
            chained_anew(&text.replacen("1001-2", "1001-9", 1)),
            "posted_differs",
        ),
        (String::new(), "posted_missing"),
    ] {
        std::fs::write(&path, &forged).unwrap();
        assert!(
            verdict(folder.path(), "").is_ok(),
            "the file alone hides it"
        );
        assert_eq!(verdict(folder.path(), &chat), Err(wanted));
    }
}

#[tokio::test]
async fn the_same_head_stands_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let (world, audit) = watched(folder.path()).await;
    audit.record(entry(1)).await.unwrap();
    // It arrives, and we do not hear of it.
    world.dc.fault("messages.sendMessage", Fault::LoseAnswer, 1);
    for _ in 0..2 {
        let process = world.start().await;
        until_posted(&world, 1).await;
        tokio::time::sleep(EVERY * 3).await;
        process.stop().await;
    }
    assert_eq!(world.dc.history(ALICE, CHAT).len(), 1);
}

#[tokio::test]
async fn a_chat_that_takes_nothing_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (world, audit) = watched(folder.path()).await;
    audit.record(entry(1)).await.unwrap();
    let refusal = Fault::error(400, "CHAT_WRITE_FORBIDDEN");
    world.dc.fault("messages.sendMessage", refusal, 1);
    let process = world.start().await;
    // It is tried again.
    until_posted(&world, 1).await;
    process.stop().await;
}
