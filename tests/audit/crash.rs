//! kill -9 and a full disk.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::{Resource, setrlimit};
use tokio_util::task::TaskTracker;
use vaultgram::audit::verify::verify_file;
use vaultgram::audit::{AuditFile, Durability};
use vaultgram::broker::ports::AuditSink;

use crate::{child, entry, open, settings, write};

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    for name in ["crash::child_grouped", "crash::child_strict"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut child = child::command(name, dir.path()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut acknowledged, mut line) = (HashSet::new(), String::new());
        while output.read_line(&mut line).unwrap() > 0 {
            // A last line cut short has no newline, and is no acknowledgement.
            if let Some(number) = line.strip_prefix("ack ").and_then(|n| n.strip_suffix('\n')) {
                acknowledged.insert(format!("telegram-1001-{number}"));
            }
            if acknowledged.len() == 500 {
                child.kill().unwrap();
            }
            line.clear();
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= 500, "{name} ended early");

        let text = std::fs::read_to_string(&path).unwrap();
        let written: HashSet<String> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .map(|record| record["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            acknowledged.difference(&written).count(),
            0,
            "{name} lost some"
        );
        let last = i32::try_from(written.len()).unwrap() + 1;
        write(&path, last, last).await;
        assert_eq!(
            verify_file(&path, None).unwrap().records,
            written.len() as u64 + 1
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that what_was_acknowledged_survives_kill_9 kills"]
async fn child_grouped() {
    record_for_ever(Durability::Grouped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that what_was_acknowledged_survives_kill_9 kills"]
async fn child_strict() {
    record_for_ever(Durability::Strict).await;
}

#[expect(clippy::print_stdout, reason = "how the parent learns what it did")]
async fn record_for_ever(durability: Durability) {
    let path = child::directory().join("audit.jsonl");
    let audit = Arc::new(AuditFile::open(settings(&path, durability)).unwrap());
    let next = Arc::new(AtomicI32::new(1));
    let tasks = TaskTracker::new();
    for _ in 0..8 {
        let (audit, next) = (audit.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                audit.record(entry(number)).await.unwrap();
                println!("ack {number}");
            }
        });
    }
    tasks.close();
    tasks.wait().await;
}

#[test]
fn a_full_disk_fails_closed_and_heals() {
    child::run("crash::child_full_disk");
}

#[tokio::test]
#[ignore = "the process that a_full_disk_fails_closed_and_heals limits"]
async fn child_full_disk() {
    let path = child::directory().join("audit.jsonl");
    let audit = open(&path);
    audit.record(entry(1)).await.unwrap();
    let before = std::fs::read(&path).unwrap();

    // Room for a part of a record: the kernel takes that part, then says no.
    let unlimited = child::limit_files(before.len() as u64 + 100);
    for _ in 0..3 {
        let error = audit.record(entry(2)).await.unwrap_err();
        assert!(error.0.contains("File too large"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "a half record stays");
    }

    setrlimit(Resource::Fsize, unlimited).unwrap();
    audit.record(entry(2)).await.unwrap();
    audit.close().await.unwrap();
    assert_eq!(verify_file(&path, None).unwrap().records, 2);
}
