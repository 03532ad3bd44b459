//! Rotation: the chain goes on from file to file, whatever happens on the way.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use vaultgram::audit::verify::{Demands, verify_file};
use vaultgram::audit::{AuditFile, Durability, OpenError, Settings};
use vaultgram::broker::ports::{AuditSink, Clock, SystemClock};

use crate::{
    check, child, entry, events, key, of_keys, records, settings, signing, write, write_with,
};

/// The audit's files in the order of their records.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "jsonl"))
        .collect();
    // "audit-…" comes before "audit.jsonl".
    files.sort();
    files
}

/// Waits for so many.
pub(crate) async fn until_files(folder: &Path, count: usize) {
    let waited = async {
        while files(folder).len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited)
        .await
        .unwrap();
}

fn small(path: &Path) -> Settings {
    Settings {
        rotate_at: Some(2000),
        ..settings(path, Durability::Grouped)
    }
}

#[tokio::test]
async fn a_large_file_is_closed_and_the_next_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let audit = AuditFile::open(small(&path)).unwrap();
    let mut files_before = 1;
    for number in 1..=40 {
        audit.record(entry(number)).await.unwrap();
        if fs::metadata(&path).unwrap().len() >= 2000 {
            files_before += 1;
            until_files(dir.path(), files_before).await;
        }
        if number == 20 {
            // The one that is written may be checked at any time.
            assert!(check(&[dir.path().to_owned()], Demands::default()).is_ok());
        }
    }
    audit.close().await.unwrap();
    let files = files(dir.path());
    assert!(files.len() >= 4, "{files:?}");
    let sound = check(&[dir.path().to_owned()], Demands::default()).unwrap();
    assert_eq!(
        (sound.from, sound.records),
        (1, 40 + files.len() as u64 - 1)
    );
    let mut next = 1;
    for (number, file) in files.iter().enumerate() {
        let found = records(file);
        assert_eq!(found[0]["seq"], next);
        if number > 0 {
            let before = files[number - 1].file_name().unwrap().to_str().unwrap();
            assert_eq!(found[0]["event"], "continued");
            assert_eq!(found[0]["previous"], before);
            assert_eq!(found[0]["chain"], records(&files[0])[0]["hash"]);
            let last = records(&files[number - 1]).pop().unwrap();
            assert_eq!(found[0]["prev"], last["hash"]);
        }
        if *file != path {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(&format!("audit-{next:012}-20")), "{name}");
        }
        next += found.len() as u64;
    }
    // By itself, a file is as sound, and says where it begins.
    let alone = verify_file(&path, None).unwrap();
    assert!(alone.from > 1 && alone.from + alone.records == sound.records + 1);
    // And it goes on after a restart.
    write_with(small(&path), 41, 43).await;
    assert!(check(&[dir.path().to_owned()], Demands::default()).is_ok());
}

/// The system's clock, ahead.
struct Ahead(time::Duration);

impl Clock for Ahead {
    fn now(&self) -> time::OffsetDateTime {
        SystemClock.now() + self.0
    }
}

#[tokio::test]
async fn an_old_file_is_closed_but_never_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let aged = |ahead| Settings {
        rotate_every: Some(Duration::from_hours(24)),
        clock: Arc::new(Ahead(ahead)),
        ..settings(&path, Durability::Grouped)
    };
    let mut young = entry(1);
    young.at = SystemClock.now();
    let audit = AuditFile::open(aged(time::Duration::ZERO)).unwrap();
    audit.record(young.clone()).await.unwrap();
    audit.record(young.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(files(dir.path()).len(), 1);
    audit.close().await.unwrap();
    // A day later, without a record.
    let audit = AuditFile::open(aged(time::Duration::hours(25))).unwrap();
    until_files(dir.path(), 2).await;
    audit.close().await.unwrap();
    // Days later: nothing came, and nothing is closed.
    let audit = AuditFile::open(aged(time::Duration::days(9))).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    audit.close().await.unwrap();
    assert_eq!(files(dir.path()).len(), 2);
    assert_eq!(events(&path), ["continued"]);
    assert_eq!(
        check(&[dir.path().to_owned()], Demands::default())
            .unwrap()
            .records,
        3
    );
}

#[tokio::test]
async fn a_rotation_that_fails_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    // Where the next file would be made.
    fs::create_dir(dir.path().join("audit.jsonl.next")).unwrap();
    let error = AuditFile::open(small(&path));
    assert!(error.is_err(), "somebody's folder is not removed");
    fs::remove_dir(dir.path().join("audit.jsonl.next")).unwrap();
    let audit = AuditFile::open(small(&path)).unwrap();
    fs::create_dir(dir.path().join("audit.jsonl.next")).unwrap();
    for number in 1..=20 {
        audit.record(entry(number)).await.unwrap();
    }
    audit.close().await.unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(verify_file(&path, None).unwrap().records, 20);
}

/// Each state that a crash can leave, one by one.
#[tokio::test]
async fn every_step_of_a_rotation_can_be_its_last() {
    // What there is before and after a rotation.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    write(&path, 1, 3).await;
    let old = fs::read(&path).unwrap();
    let old_head = fs::read(dir.path().join("audit.jsonl.head")).unwrap();
    let audit = AuditFile::open(Settings {
        rotate_at: Some(1),
        ..settings(&path, Durability::Grouped)
    })
    .unwrap();
    until_files(dir.path(), 2).await;
    audit.close().await.unwrap();
    let new = fs::read(&path).unwrap();
    let rotated = files(dir.path())[0].file_name().unwrap().to_owned();

    // What stands at the path, as `.next`, and under the new name.
    let half = new[..new.len() / 2].to_vec();
    let states = [
        (Some(&old), None, false),
        (Some(&old), Some(vec![]), false),
        (Some(&old), Some(half), false),
        (Some(&old), Some(new.clone()), false),
        (None, Some(new.clone()), true),
        (Some(&new), None, true),
    ];
    for (number, (at_path, next, named)) in states.into_iter().enumerate() {
        for head in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            let keep = |name: PathBuf, bytes: &[u8]| {
                fs::write(&name, bytes).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                fs::set_permissions(&name, mode).unwrap();
            };
            if let Some(bytes) = at_path {
                keep(at("audit.jsonl"), bytes);
            }
            if let Some(bytes) = &next {
                keep(at("audit.jsonl.next"), bytes);
            }
            if named {
                keep(dir.path().join(&rotated), &old);
            }
            if head {
                keep(at("audit.jsonl.head"), &old_head);
            }
            write(&at("audit.jsonl"), 4, 5).await;
            assert!(!at("audit.jsonl.next").exists(), "{number}");
            let sound = check(&[dir.path().to_owned()], Demands::default()).unwrap();
            let wanted = 5 + u64::from(named);
            assert_eq!((sound.from, sound.records), (1, wanted), "{number} {head}");
        }
    }
}

#[tokio::test]
async fn another_process_in_the_middle_of_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    write(&path, 1, 2).await;
    let next = fs::File::create(dir.path().join("audit.jsonl.next")).unwrap();
    next.lock().unwrap();
    let refused = AuditFile::open(settings(&path, Durability::Grouped)).unwrap_err();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
}

#[tokio::test]
async fn kill_9_during_rotations_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 0..15 {
        let mut child = child::command("rotation::child_rotating", dir.path())
            .env("VAULTGRAM_TEST_FIRST", (round * 100_000 + 1).to_string())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut count, mut line) = (0, String::new());
        while output.read_line(&mut line).unwrap() > 0 {
            if let Some(number) = line.strip_prefix("ack ").and_then(|n| n.strip_suffix('\n')) {
                acknowledged.insert(format!("telegram-1001-{number}"));
                count += 1;
            }
            // At another moment each time.
            if count == 40 + round * 7 {
                child.kill().unwrap();
            }
            line.clear();
        }
        child.wait().unwrap();
        assert!(count >= 40, "round {round} ended early");
    }
    let path = dir.path().join("audit.jsonl");
    write(&path, 1, 1).await;
    let files = files(dir.path());
    assert!(files.len() > 15, "{}", files.len());
    check(&[dir.path().to_owned()], Demands::default()).unwrap();
    let written: HashSet<String> = files
        .iter()
        .flat_map(|file| records(file))
        .filter_map(|record| Some(record["id"].as_str()?.to_owned()))
        .collect();
    assert_eq!(acknowledged.difference(&written).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that kill_9_during_rotations_loses_nothing kills"]
#[expect(
    clippy::disallowed_methods,
    reason = "how the parent learns what it did, and tells it where to begin"
)]
async fn child_rotating() {
    let path = child::directory().join("audit.jsonl");
    let first: i32 = std::env::var("VAULTGRAM_TEST_FIRST")
        .unwrap()
        .parse()
        .unwrap();
    let audit = AuditFile::open(Settings {
        rotate_at: Some(600),
        ..settings(&path, Durability::Grouped)
    })
    .unwrap();
    for number in first.. {
        audit.record(entry(number)).await.unwrap();
        println!("ack {number}");
    }
}

/// Whoever checks the audit while it is rotated is never told that something is wrong with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_never_looks_like_tampering() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let key = key();
    let (folder, file) = (vec![dir.path().to_owned()], vec![path.clone()]);
    let (mut checks, mut rotations) = (0, 0);
    for round in 0..16 {
        // So that something is signed from the beginning.
        write_with(signing(&path, &key), 1, 1).await;
        let audit = AuditFile::open(Settings {
            rotate_at: Some(1),
            ..signing(&path, &key)
        })
        .unwrap();
        let writing = TaskTracker::new().spawn(async move {
            for number in 0..30 {
                audit.record(entry(number)).await.unwrap();
                // So that it is closed at other moments too.
                if number % 3 == round % 3 {
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
            }
            audit.close().await.unwrap();
        });
        while !writing.is_finished() {
            for paths in [&folder, &file] {
                // A file that has just begun has its signature in the one before.
                let demands = of_keys(&[key.public()], *paths == folder);
                let found = tokio::task::block_in_place(|| check(paths, demands));
                assert!(found.is_ok(), "check {checks}: {found:?}");
                assert!(*paths != folder || found.unwrap().from == 1);
                checks += 1;
            }
        }
        writing.await.unwrap();
        rotations += files(dir.path()).len() - 1;
        for file in files(dir.path()).iter().filter(|file| **file != path) {
            fs::remove_file(file).unwrap();
        }
        fs::remove_file(&path).unwrap();
        fs::remove_file(dir.path().join("audit.jsonl.head")).unwrap();
    }
    assert!(
        checks > 100 && rotations > 100,
        "{checks} checks, {rotations} rotations"
    );
}
