//! journald and syslog: what they receive, and what happens without them.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use vaultgram::audit::verify::verify_file;
use vaultgram::audit::{AuditFile, Durability, Settings, SinkKind, SinkMode, SinkSettings};
use vaultgram::broker::ports::AuditSink;

use crate::{entry, settings};

fn with(path: &Path, kind: SinkKind, socket: PathBuf, mode: SinkMode) -> Settings {
    Settings {
        sinks: vec![SinkSettings {
            kind,
            path: socket,
            mode,
        }],
        ..settings(path, Durability::Grouped)
    }
}

/// Something that listens at `path`.
fn listen(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

fn receive(socket: &UnixDatagram) -> String {
    let mut buffer = vec![0; 200_000];
    let length = socket.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    String::from_utf8(buffer).unwrap()
}

#[tokio::test]
async fn each_line_arrives_in_the_sink_s_own_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    for kind in [SinkKind::Journald, SinkKind::Syslog] {
        let at = dir.path().join(format!("{kind:?}"));
        let socket = listen(&at);
        let audit = AuditFile::open(with(&path, kind, at, SinkMode::Required)).unwrap();
        audit.record_all(vec![entry(1), entry(2)]).await.unwrap();
        audit.close().await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().rev().take(2).collect();
        for line in lines.into_iter().rev() {
            let got = receive(&socket);
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            match kind {
                SinkKind::Journald => {
                    let wanted = format!(
                        "SYSLOG_IDENTIFIER=vaultgram-audit\nPRIORITY=6\nVAULTGRAM_SEQ={}\n\
                         VAULTGRAM_EVENT=released\nMESSAGE={line}\n",
                        record["seq"]
                    );
                    assert_eq!(got, wanted);
                }
                SinkKind::Syslog => {
                    let head = format!("<86>1 {} ", record["time"].as_str().unwrap());
                    assert!(got.starts_with(&head), "{got}");
                    let end = format!(" vaultgram-audit {} audit - {line}", std::process::id());
                    assert!(got.ends_with(&end), "{got}");
                    assert_eq!(got.split(' ').nth(2).map(str::is_empty), Some(false));
                }
            }
        }
    }
    assert_eq!(verify_file(&path, None).unwrap().records, 4);
}

#[tokio::test]
async fn without_a_required_sink_nothing_is_written_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, at) = (dir.path().join("audit.jsonl"), dir.path().join("log"));
    let settings = with(&path, SinkKind::Syslog, at.clone(), SinkMode::Required);
    let audit = AuditFile::open(settings).unwrap();
    for _ in 0..2 {
        let error = audit.record(entry(1)).await.unwrap_err();
        assert!(
            error.0.contains("syslog at") && error.0.contains("best_effort"),
            "{error}"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }
    let first = listen(&at);
    audit.record(entry(1)).await.unwrap();
    assert!(receive(&first).contains("\"seq\":1,"));
    // Restarted, it is another socket at the same path.
    drop(first);
    assert!(audit.record(entry(2)).await.is_err());
    std::fs::remove_file(&at).unwrap();
    let second = listen(&at);
    audit.record(entry(2)).await.unwrap();
    assert!(receive(&second).contains("\"seq\":2,"));
    audit.close().await.unwrap();
    assert_eq!(verify_file(&path, None).unwrap().records, 2);
}

#[tokio::test]
async fn a_required_sink_that_stands_still_is_waited_for_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (path, at) = (dir.path().join("audit.jsonl"), dir.path().join("log"));
    let socket = listen(&at);
    let settings = with(&path, SinkKind::Journald, at, SinkMode::Required);
    let audit = AuditFile::open(settings).unwrap();
    // Nobody reads, so that its queue fills.
    let start = Instant::now();
    let mut taken: u64 = 0;
    loop {
        match audit.record(entry(1)).await {
            Ok(()) => taken += 1,
            Err(error) => {
                assert!(error.0.contains("journald at"), "{error}");
                break;
            }
        }
        assert!(taken < 100_000);
    }
    assert!(start.elapsed() < Duration::from_secs(9));
    assert_eq!(verify_file(&path, None).unwrap().records, taken);
    receive(&socket);
    audit.record(entry(2)).await.unwrap();
}

#[tokio::test]
async fn a_best_effort_sink_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, at) = (dir.path().join("audit.jsonl"), dir.path().join("log"));
    let settings = with(&path, SinkKind::Journald, at.clone(), SinkMode::BestEffort);
    let audit = AuditFile::open(settings).unwrap();
    audit.record(entry(1)).await.unwrap();
    let socket = listen(&at);
    audit.record(entry(2)).await.unwrap();
    assert!(receive(&socket).contains("VAULTGRAM_SEQ=2\n"));
    // Nobody reads: what does not fit is left out, at once.
    let start = Instant::now();
    for _ in 0..2000 {
        audit.record(entry(3)).await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(20));
    drop(socket);
    audit.record(entry(4)).await.unwrap();
    audit.close().await.unwrap();
    assert_eq!(verify_file(&path, None).unwrap().records, 2003);
}
