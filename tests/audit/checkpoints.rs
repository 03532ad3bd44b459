//! Checkpoints: when they are written, and what a signature shows that a chain cannot.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use vaultgram::audit::{AuditFile, Durability, Settings};
use vaultgram::broker::ports::{AuditHead, AuditSink};

use crate::{check, entry, events, key, of_keys, records, settings, signing, write, write_with};

fn audit_in(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("audit.jsonl")
}

/// Waits for that many checkpoints in the file.
async fn until_signed(path: &Path, count: usize) {
    let signed = || events(path).iter().filter(|it| *it == "checkpoint").count();
    let waited = async {
        while signed() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stop_signs_what_came_and_says_with_which_key() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (audit_in(&dir), key());
    write_with(signing(&path, &key), 1, 2).await;
    assert_eq!(events(&path), ["released", "released", "checkpoint"]);
    let checkpoint = &records(&path)[2];
    assert_eq!(checkpoint["why"], "stop");
    assert_eq!(checkpoint["key"], key.public().id());
    assert_eq!(checkpoint["chain"], records(&path)[0]["hash"]);
    let sound = check(std::slice::from_ref(&path), of_keys(&[key.public()], true)).unwrap();
    assert_eq!((sound.records, sound.signed.up_to), (3, Some(3)));
    // Nothing came, so nothing is signed.
    write_with(signing(&path, &key), 1, 0).await;
    assert_eq!(events(&path).len(), 3);
}

#[tokio::test]
async fn an_empty_audit_is_signed_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (audit_in(&dir), key());
    write_with(signing(&path, &key), 1, 0).await;
    assert!(events(&path).is_empty());
    assert!(check(&[path], of_keys(&[key.public()], true)).is_ok());
}

#[tokio::test]
async fn a_start_signs_what_nobody_did_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (audit_in(&dir), key());
    write_with(signing(&path, &key), 1, 2).await;
    // As after a crash: records that the run which wrote them did not sign.
    write(&path, 3, 4).await;
    let demands = || of_keys(&[key.public()], true);
    let refused = ("audit.jsonl".to_owned(), 4, "unsigned_end");
    assert_eq!(check(std::slice::from_ref(&path), demands()), Err(refused));
    write_with(signing(&path, &key), 1, 0).await;
    let last = records(&path).pop().unwrap();
    assert_eq!((&last["why"], &last["seq"]), (&"start".into(), &6.into()));
    let sound = check(&[path], demands()).unwrap();
    assert_eq!((sound.signed.up_to, sound.signed.found), (Some(6), 2));
}

#[tokio::test]
async fn time_and_number_of_records_bring_checkpoints() {
    let key = key();
    for (every, records) in [
        (Duration::from_millis(50), 10_000),
        (Duration::from_hours(1), 2),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = audit_in(&dir);
        let audit = AuditFile::open(Settings {
            checkpoint_every: every,
            checkpoint_records: records,
            ..signing(&path, &key)
        })
        .unwrap();
        for round in 1..=2 {
            audit.record(entry(1)).await.unwrap();
            audit.record(entry(2)).await.unwrap();
            until_signed(&path, round).await;
        }
        // While it is written, too, and with an end that is not signed yet.
        audit.record(entry(3)).await.unwrap();
        assert!(check(std::slice::from_ref(&path), of_keys(&[key.public()], true)).is_ok());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after = events(&path).len();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(
            events(&path).len(),
            after,
            "what is signed is not signed again"
        );
        audit.close().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_signed_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = audit_in(&dir);
    write(&path, 1, 2).await;
    assert_eq!(events(&path), ["released", "released"]);
    let sound = check(std::slice::from_ref(&path), of_keys(&[], false)).unwrap();
    assert_eq!(sound.signed.checkpoints, 0);
    let refused = ("audit.jsonl".to_owned(), 3, "no_checkpoint");
    let demands = of_keys(&[key().public()], true);
    assert_eq!(check(&[path], demands), Err(refused));
}

#[tokio::test]
async fn keys_may_change_and_both_be_named() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old, new) = (audit_in(&dir), key(), key());
    write_with(signing(&path, &old), 1, 2).await;
    write_with(signing(&path, &new), 3, 4).await;
    let both = of_keys(&[new.public(), old.public()], true);
    let sound = check(std::slice::from_ref(&path), both).unwrap();
    assert_eq!(sound.signed.key, Some(new.public().id()));
    let refused = ("audit.jsonl".to_owned(), 6, "unknown_key");
    assert_eq!(
        check(&[path], of_keys(&[old.public()], false)),
        Err(refused)
    );
}

/// Rewrites the record at `line` (from 0) and every hash after it, as somebody would who has no key.
fn rewrite(path: &Path, line: usize) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut prev = None;
    let mut out = String::new();
    for (number, text) in text.lines().enumerate() {
        let (body, _) = text.rsplit_once(",\"hash\":").unwrap();
        let mut body = if number == line {
            body.replace("1001", "1002")
        } else {
            body.to_owned()
        };
        if let Some(prev) = &prev {
            let (before, _) = body.rsplit_once(",\"prev\":").unwrap();
            body = format!("{before},\"prev\":\"{prev}\"");
        }
        let hash = hex::encode(Sha256::digest(&body));
        writeln!(out, "{body},\"hash\":\"{hash}\"}}").unwrap();
        prev = Some(hash);
    }
    std::fs::write(path, out).unwrap();
    // Whoever can write the one can remove the other.
    std::fs::remove_file(path.with_extension("jsonl.head")).unwrap();
}

#[tokio::test]
async fn a_chain_rewritten_without_the_key_shows_at_its_checkpoint() {
    for line in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (audit_in(&dir), key());
        write_with(signing(&path, &key), 1, 2).await;
        rewrite(&path, line);
        assert!(
            check(std::slice::from_ref(&path), of_keys(&[], false)).is_err() == (line == 0),
            "the chain alone is sound; only its own name shows a new first record"
        );
        let refused = ("audit.jsonl".to_owned(), 3, "bad_signature");
        assert_eq!(
            check(&[path], of_keys(&[key.public()], false)),
            Err(refused)
        );
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_chain_does_not_fit() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, other, key) = (audit_in(&dir), audit_in(&other_dir), key());
    write_with(signing(&path, &key), 1, 2).await;
    write_with(signing(&other, &key), 5, 6).await;
    let mut lines: Vec<String> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let foreign = &records(&other)[2];
    let own = records(&path)[2].clone();
    for field in ["signature", "chain"] {
        lines[2] = lines[2].replace(
            own[field].as_str().unwrap(),
            foreign[field].as_str().unwrap(),
        );
    }
    let (body, _) = lines[2].rsplit_once(",\"hash\":").unwrap();
    let hash = hex::encode(Sha256::digest(body));
    lines[2] = format!("{body},\"hash\":\"{hash}\"}}");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    std::fs::remove_file(path.with_extension("jsonl.head")).unwrap();
    let refused = ("audit.jsonl".to_owned(), 3, "bad_signature");
    assert_eq!(
        check(&[path], of_keys(&[key.public()], false)),
        Err(refused)
    );
}

#[tokio::test]
async fn the_head_is_told_with_a_signature() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (audit_in(&dir), key());
    let audit = AuditFile::open(signing(&path, &key)).unwrap();
    assert_eq!(audit.head().await.unwrap(), None);
    audit.record(entry(1)).await.unwrap();
    let head = audit.head().await.unwrap().unwrap();
    assert_eq!(head.seq, 1);
    assert_eq!(records(&path)[0]["hash"], head.hash.as_str());
    let begin = format!("audit head 1 {} 20", head.hash);
    assert!(head.line.starts_with(&begin), "{}", head.line);
    assert!(head.line.contains(&format!(" {}:", key.public().id())));
    audit.close().await.unwrap();
    assert!(audit.head().await.is_err());
    let plain = AuditFile::open(settings(&path, Durability::Grouped)).unwrap();
    let line = plain.head().await.unwrap().unwrap().line;
    assert_eq!(line.split(' ').count(), 6, "{line}");
    let chain = records(&path)[0]["hash"].as_str().unwrap().to_owned();
    assert!(line.ends_with(&format!("Z chain:{chain}")), "{line}");
}
