//! Opening: one writer, and what is found in the file decides whether it goes on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vaultgram::audit::verify::verify_file;
use vaultgram::audit::{AuditFile, Durability, OpenError};

use crate::{open, settings, write};

/// An audit of three records, closed.
async fn three() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    write(&path, 1, 3).await;
    (dir, path)
}

fn refusal(path: &Path) -> OpenError {
    AuditFile::open(settings(path, Durability::Grouped)).unwrap_err()
}

/// The line and name of the damage for which the audit at `path` is refused.
fn refused(path: &Path) -> (u64, &'static str) {
    let error = refusal(path);
    let OpenError::Flaw { flaw, .. } = error else {
        panic!("{error}")
    };
    (flaw.line, flaw.what.name())
}

fn head(path: &Path) -> PathBuf {
    path.with_extension("jsonl.head")
}

/// Changes a byte in the middle of the line `line`, counted from 0.
fn damage(path: &Path, line: usize) {
    let text = fs::read_to_string(path).unwrap();
    let damaged = text.lines().enumerate().map(|(number, text)| {
        let text = if number == line {
            text.replace("django", "Django")
        } else {
            text.into()
        };
        text + "\n"
    });
    fs::write(path, damaged.collect::<String>()).unwrap();
}

#[tokio::test]
async fn has_one_writer() {
    let (_dir, path) = three().await;
    let audit = open(&path);
    assert!(matches!(refusal(&path), OpenError::InUse(_)));
    audit.close().await.unwrap();
    open(&path);
}

#[tokio::test]
async fn a_torn_record_is_set_aside_and_the_chain_goes_on() {
    let (_dir, path) = three().await;
    let torn = br#"{"seq":4,"time":"2026-"#;
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(torn);
    fs::write(&path, text).unwrap();
    write(&path, 4, 5).await;
    assert_eq!(verify_file(&path, None).unwrap().records, 5);
    let aside = path.with_extension("jsonl.torn");
    assert_eq!(fs::read(&aside).unwrap(), [torn.as_slice(), b"\n"].concat());
}

#[tokio::test]
async fn a_head_behind_the_file_is_caught_up_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    write(&path, 1, 2).await;
    let old = fs::read(head(&path)).unwrap();
    write(&path, 3, 5).await;

    fs::write(head(&path), &old).unwrap();
    write(&path, 6, 6).await;
    assert_eq!(verify_file(&path, None).unwrap().records, 6);

    fs::write(head(&path), &old).unwrap();
    damage(&path, 3);
    assert_eq!(refused(&path), (4, "changed"));
}

#[tokio::test]
async fn a_damaged_end_is_refused() {
    let (_dir, path) = three().await;
    damage(&path, 2);
    assert_eq!(refused(&path), (3, "changed"));
    let text = refusal(&path).to_string();
    assert!(text.contains("line 3: this record was changed"), "{text}");
    assert!(text.contains("move it and"), "{text}");
}

#[tokio::test]
async fn a_removed_end_is_refused() {
    let (_dir, path) = three().await;
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.split_inclusive('\n').take(2).collect::<String>(),
    )
    .unwrap();
    assert_eq!(refused(&path), (3, "head_missing"));
    fs::remove_file(&path).unwrap();
    assert_eq!(refused(&path), (3, "head_missing"));
}

#[tokio::test]
async fn without_a_head_the_whole_is_checked() {
    let (_dir, path) = three().await;
    fs::remove_file(head(&path)).unwrap();
    write(&path, 4, 4).await;
    fs::remove_file(head(&path)).unwrap();
    damage(&path, 0);
    assert_eq!(refused(&path), (1, "changed"));
}

#[tokio::test]
async fn a_damaged_head_is_refused() {
    let (_dir, path) = three().await;
    fs::write(head(&path), "{}").unwrap();
    let text = refusal(&path).to_string();
    assert!(
        text.contains("audit.jsonl.head is damaged; move it away"),
        "{text}"
    );
}

#[tokio::test]
async fn what_others_may_write_is_refused() {
    let (dir, path) = three().await;
    fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
    assert!(matches!(refusal(&path), OpenError::Permissions(_)));
    let missing = dir.path().join("missing/audit.jsonl");
    assert!(
        refusal(&missing)
            .to_string()
            .contains("missing/audit.jsonl: No such file")
    );
}
