//! `vaultgram audit`: reading and exporting, over rotated files, for people and programs.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use time::macros::datetime;
use vaultgram::audit::{AuditFile, Durability, Settings};
use vaultgram::broker::ports::AuditSink;
use vaultgram::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use vaultgram::domain::{
    Action, AuditEntry, AuditEvent, Caller, Delivery, Reading, RequestId, SecretPath, Subject,
    Target,
};

use crate::vaultgram;

/// A record a minute after the one before: odd ones are Alice's, even ones a program's.
fn entry(number: i32) -> AuditEntry {
    let caller = if number % 2 == 1 {
        Caller::Telegram(TelegramUser {
            id: 1001,
            chat: ChatKind::Private,
        })
    } else {
        let mut peer = UnixPeer::known(990, 991, 42);
        // Whoever names a program so wants to be seen as something else.
        peer.executable = Some("=cmd|'/C calc'!A0\u{1b}[2J".to_owned());
        Caller::Unix(peer)
    };
    AuditEntry {
        at: datetime!(2026-11-21 08:00 UTC) + time::Duration::minutes(number.into()),
        id: RequestId::Message {
            chat: 1001,
            message: number,
        },
        caller,
        subject: Subject::Secret {
            action: Action::Read(Delivery::Message),
            target: Target {
                path: SecretPath::new("secret", if number < 5 { "app/db" } else { "other" })
                    .unwrap(),
                field: None,
                version: None,
            },
        },
        event: if number % 3 == 0 {
            AuditEvent::Failed {
                reason: "not_found",
            }
        } else {
            AuditEvent::Released(Reading::default())
        },
    }
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// Waits until there are more.
async fn until_more(folder: &Path, before: usize) {
    let waiting = async {
        while files(folder) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting);
    waited.await.unwrap();
}

/// Eight records in two files.
async fn eight(folder: &Path) {
    let open = |rotate_at| {
        AuditFile::open(Settings {
            rotate_at,
            ..Settings::new(folder.join("audit.jsonl"), Durability::Grouped)
        })
        .unwrap()
    };
    let audit = open(None);
    for number in 1..=4 {
        audit.record(entry(number)).await.unwrap();
    }
    audit.close().await.unwrap();
    let before = files(folder);
    let audit = open(Some(1));
    until_more(folder, before).await;
    audit.close().await.unwrap();
    let audit = open(None);
    for number in 5..=8 {
        audit.record(entry(number)).await.unwrap();
    }
    audit.close().await.unwrap();
}

/// The numbers of the requests in lines of JSON.
fn numbers(out: &str) -> Vec<i32> {
    let number = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = record["id"].as_str()?.to_owned();
        id.rsplit('-').next()?.parse().ok()
    };
    out.lines().filter_map(number).collect()
}

#[tokio::test]
async fn search_finds_by_who_what_and_when() {
    let folder = tempfile::tempdir().unwrap();
    eight(folder.path()).await;
    for (arguments, wanted) in [
        (&[][..], &[1, 2, 3, 4, 5, 6, 7, 8][..]),
        (&["--caller", "telegram:1001"], &[1, 3, 5, 7]),
        (&["--caller", "telegram:100"], &[]),
        (&["--path", "secret/app"], &[1, 2, 3, 4]),
        (&["--path", "secret/ap"], &[]),
        (&["--event", "failed"], &[3, 6]),
        (
            &[
                "--event",
                "failed",
                "--event",
                "released",
                "--path",
                "secret/other",
            ],
            &[5, 6, 7, 8],
        ),
        (&["--id", "telegram-1001-5"], &[5]),
        (&["--since", "2026-11-21T08:07:00Z"], &[7, 8]),
        (&["--until", "2026-11-21T08:02:00Z"], &[1]),
        (&["--since", "2026-11-22"], &[]),
        (
            &[
                "--caller",
                "uid:990",
                "--path",
                "secret/app/",
                "--since",
                "2026-11-21T10:03:00+02:00",
            ],
            &[4],
        ),
    ] {
        let line = [&["audit", "search", "--json"], arguments].concat();
        let ran = vaultgram(folder.path(), &[], &line);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        assert_eq!(numbers(&ran.out), wanted, "{arguments:?}");
    }
    let shown = vaultgram(
        folder.path(),
        &[],
        &["audit", "search", "--event", "failed"],
    );
    assert_eq!(
        shown.out,
        "TIME                          SEQ  EVENT               CALLER          ABOUT\n\
         2026-11-21T08:03:00.000Z        3  failed              telegram:1001   \
         read secret/app/db: refused: not_found\n\
         2026-11-21T08:06:00.000Z        7  failed              uid:990         \
         read secret/other: refused: not_found\n"
    );
    let wrong = vaultgram(
        folder.path(),
        &[],
        &["audit", "search", "--since", "yesterday"],
    );
    assert_eq!(wrong.code, 64);
    let missing = vaultgram(folder.path(), &[], &["audit", "search", "nowhere.jsonl"]);
    assert_eq!(missing.code, 66, "{missing:?}");
    assert!(
        missing.err.contains("nowhere.jsonl: No such file"),
        "{missing:?}"
    );
}

#[tokio::test]
async fn what_is_no_record_is_passed_over_and_named() {
    let folder = tempfile::tempdir().unwrap();
    eight(folder.path()).await;
    let path = folder.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("\u{1b}[2Jnonsense\n{text}{{\"seq\":")).unwrap();
    let ran = vaultgram(folder.path(), &[], &["audit", "search", "--json"]);
    assert_eq!(ran.code, 65, "{ran:?}");
    assert_eq!(
        numbers(&ran.out),
        [1, 2, 3, 4, 5, 6, 7, 8],
        "what is a record is found"
    );
    assert!(
        ran.err.contains("audit.jsonl: line 1: not a record"),
        "{ran:?}"
    );
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'));
}

#[tokio::test]
async fn tail_shows_the_last_over_files_and_follows_into_the_next() {
    let folder = tempfile::tempdir().unwrap();
    eight(folder.path()).await;
    for (number, wanted) in [
        ("2", &[7, 8][..]),
        ("6", &[4, 5, 6, 7, 8]),
        ("99", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ] {
        let ran = vaultgram(
            folder.path(),
            &[],
            &["audit", "tail", "--json", "-n", number],
        );
        assert_eq!(numbers(&ran.out), wanted, "{number}: {ran:?}");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_vaultgram"))
        .current_dir(folder.path())
        .args(["audit", "tail", "-f", "-n", "1", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut out = String::new();
    stdout.read_line(&mut out).unwrap();
    let audit = AuditFile::open(Settings {
        rotate_at: Some(1),
        ..Settings::new(folder.path().join("audit.jsonl"), Durability::Grouped)
    })
    .unwrap();
    for number in 9..=12 {
        let before = files(folder.path());
        audit.record(entry(number)).await.unwrap();
        until_more(folder.path(), before).await;
        // A follower has a moment to follow.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    audit.close().await.unwrap();
    child.kill().unwrap();
    stdout.read_to_string(&mut out).unwrap();
    child.wait().unwrap();
    assert_eq!(numbers(&out), [8, 9, 10, 11, 12], "{out}");
}

#[tokio::test]
async fn exports_hold_every_record_and_no_formula() {
    let folder = tempfile::tempdir().unwrap();
    eight(folder.path()).await;
    let csv = vaultgram(folder.path(), &[], &["audit", "export", "--format", "csv"]);
    assert_eq!(csv.code, 0, "{csv:?}");
    let rows: Vec<&str> = csv.out.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 1 + 8 + 1, "a head, and one that continues");
    assert!(rows[0].starts_with("seq,time,event,"), "{}", rows[0]);
    assert!(
        rows[2].contains(",\"'=cmd|'/C calc'!A0\u{1b}[2J\","),
        "{}",
        rows[2]
    );
    let ocsf = vaultgram(
        folder.path(),
        &[],
        &["audit", "export", "--format", "ocsf", "--event", "failed"],
    );
    let events: Vec<serde_json::Value> = ocsf
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["actor"]["process"]["pid"], 42);
    assert_eq!(events[1]["actor"]["user"]["uid"], "990");
    assert_eq!(
        (&events[0]["class_uid"], &events[0]["status_id"]),
        (&6003.into(), &2.into())
    );
    let wrong = vaultgram(folder.path(), &[], &["audit", "export"]);
    assert_eq!(wrong.code, 64, "a form is to be named");
}

#[tokio::test]
async fn a_closed_pipe_is_a_good_end() {
    let folder = tempfile::tempdir().unwrap();
    eight(folder.path()).await;
    let path = folder.path().join("audit.jsonl");
    let line = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, line.repeat(2000)).unwrap();
    for arguments in [
        &["audit", "search"][..],
        &["audit", "tail", "-n", "10000"],
        &["audit", "export", "--format", "csv"],
        &["audit", "export", "--format", "ocsf"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vaultgram"))
            .current_dir(folder.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 10]).unwrap();
        drop(out);
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn keygen_makes_a_key_once_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let ran = vaultgram(folder.path(), &[], &["audit", "keygen"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let path = folder.path().join("audit.key");
    let key = std::fs::read_to_string(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !ran.out.contains(key.trim()),
        "only its public half is shown"
    );
    let public = ran.out.lines().last().unwrap();
    assert!(
        public.starts_with("ed25519:") && public.len() == 72,
        "{public}"
    );
    let again = vaultgram(folder.path(), &[], &["audit", "keygen"]);
    assert_eq!(again.code, 73, "{again:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), key);
    let wrong = vaultgram(folder.path(), &[], &["audit", "verify", "--key", "hunter2"]);
    assert_eq!(wrong.code, 64);
    assert!(wrong.err.contains("not a public key"), "{wrong:?}");
}
