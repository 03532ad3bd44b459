//! Writing: order, durability, and a file that others meddle with.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vaultgram::audit::verify::verify_file;
use vaultgram::audit::{AuditFile, Durability};
use vaultgram::broker::ports::AuditSink;
use vaultgram::domain::Caller;
use vaultgram::domain::caller::UnixPeer;

use crate::{entry, open, settings, write};

fn audit_in(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("audit.jsonl")
}

/// The number of the record that the head file names.
fn noted(path: &Path) -> u64 {
    let text = std::fs::read(path.with_extension("jsonl.head")).unwrap();
    let head: serde_json::Value = serde_json::from_slice(&text).unwrap();
    head["seq"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_make_one_sound_chain() {
    let dir = tempfile::tempdir().unwrap();
    let path = audit_in(&dir);
    let audit = Arc::new(open(&path));
    let tasks = tokio_util::task::TaskTracker::new();
    for number in 1..=1000 {
        let audit = audit.clone();
        tasks.spawn(async move { audit.record(entry(number)).await.unwrap() });
    }
    tasks.close();
    tasks.wait().await;
    // Also while the file is open, and with what the head file does not name yet.
    assert_eq!(verify_file(&path, None).unwrap().records, 1000);
    audit.close().await.unwrap();
    assert_eq!(noted(&path), 1000);
    for file in [&path, &path.with_extension("jsonl.head")] {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_closed_audit_takes_nothing_and_goes_on_when_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = audit_in(&dir);
    let audit = open(&path);
    audit.record(entry(1)).await.unwrap();
    audit.close().await.unwrap();
    let error = audit.record(entry(2)).await.unwrap_err();
    assert_eq!(error.0, "the audit is closed");
    write(&path, 2, 3).await;
    assert_eq!(verify_file(&path, None).unwrap().records, 3);
}

#[tokio::test]
async fn strict_means_synced_before_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = audit_in(&dir);
    let audit = AuditFile::open(settings(&path, Durability::Strict)).unwrap();
    for number in 1..=20 {
        audit
            .record(entry(i32::try_from(number).unwrap()))
            .await
            .unwrap();
        assert_eq!(noted(&path), number, "the head is noted after the sync");
    }
}

#[tokio::test]
async fn grouped_means_synced_soon_without_another_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = audit_in(&dir);
    let audit = open(&path);
    audit.record(entry(1)).await.unwrap();
    let synced = async {
        while noted(&path) != 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), synced)
        .await
        .unwrap();
    drop(audit);
}

#[tokio::test]
async fn a_moved_file_fails_closed_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, away) = (audit_in(&dir), dir.path().join("away"));
    let audit = open(&path);
    audit.record(entry(1)).await.unwrap();

    std::fs::rename(&path, &away).unwrap();
    let error = audit.record(entry(2)).await.unwrap_err();
    assert!(error.0.contains("gone from its path"), "{error}");

    std::fs::copy(&away, &path).unwrap();
    let error = audit.record(entry(2)).await.unwrap_err();
    assert!(error.0.contains("another file is at this path"), "{error}");

    std::fs::rename(&away, &path).unwrap();
    audit.record(entry(2)).await.unwrap();
    audit.close().await.unwrap();
    assert_eq!(verify_file(&path, None).unwrap().records, 2);
}

#[tokio::test]
async fn a_file_others_changed_fails_closed() {
    let change: [fn(&Path); 2] = [
        |path| std::fs::write(path, "").unwrap(),
        |path| {
            let mut text = std::fs::read(path).unwrap();
            text.extend_from_slice(b"more\n");
            std::fs::write(path, text).unwrap();
        },
    ];
    for change in change {
        let dir = tempfile::tempdir().unwrap();
        let path = audit_in(&dir);
        let audit = open(&path);
        audit.record(entry(1)).await.unwrap();
        change(&path);
        let error = audit.record(entry(2)).await.unwrap_err();
        assert!(error.0.contains("somebody else changed"), "{error}");
    }
}

#[tokio::test]
async fn a_record_being_written_is_not_a_flaw() {
    let dir = tempfile::tempdir().unwrap();
    let path = audit_in(&dir);
    let audit = open(&path);
    audit.record(entry(1)).await.unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(b"{\"seq\":2,").unwrap();
    assert_eq!(verify_file(&path, None).unwrap().records, 1);
    audit.close().await.unwrap();
    let error = verify_file(&path, None).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("line 2: this record is incomplete"),
        "{error}"
    );
}

#[tokio::test]
async fn an_entry_too_long_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = audit_in(&dir);
    let audit = open(&path);
    let mut long = entry(1);
    long.caller = Caller::Unix(UnixPeer {
        executable: Some("x".repeat(100_000)),
        ..UnixPeer::known(1, 1, 1)
    });
    let (first, second, third) = tokio::join!(
        audit.record(entry(1)),
        audit.record(long),
        audit.record(entry(2))
    );
    assert!(first.is_ok() && second.is_err() && third.is_ok());
    audit.close().await.unwrap();
    assert_eq!(verify_file(&path, None).unwrap().records, 2);
}
