//! What the command line does while a server takes long, or has no time: one that is made up.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

use crate::server::at_a_terminal;
use crate::vaultgram;

/// Answers each connection with the next of `answers`, after its delay.
fn serve(socket: &Path, answers: Vec<(Duration, String)>) {
    serve_at(UnixListener::bind(socket).unwrap(), answers);
}

/// As [`serve`], where it listens already.
pub(crate) fn serve_at(listener: UnixListener, answers: Vec<(Duration, String)>) {
    std::thread::spawn(move || {
        for (delay, answer) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            std::thread::sleep(delay);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
}

/// One answer of it.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{body}"
    )
}

fn no_leases() -> String {
    let envelope = r#"{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,
        "data":{"leases":[]},"wrap_info":null,"warnings":null,"auth":null}"#;
    answer("200 OK", "", envelope)
}

#[test]
fn somebody_who_waits_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    serve(&socket, vec![(Duration::from_millis(1500), no_leases())]);
    let ran = at_a_terminal(&socket, "leases", "");
    assert_eq!(ran.code, 0, "{ran:?}");
    let end = "\r\u{1b}[Kwaiting for vaultgram: 1 s\r\u{1b}[Kthere are no leases\n";
    assert!(ran.out.ends_with(end), "{ran:?}");

    std::fs::remove_file(&socket).unwrap();
    serve(&socket, vec![(Duration::from_millis(1500), no_leases())]);
    let socket = socket.to_str().unwrap();
    let ran = vaultgram(folder.path(), &[], &["leases", "--socket", socket]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, ""),
        "nobody sees it: {ran:?}"
    );
}

#[test]
fn a_server_without_time_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let now = Duration::ZERO;
    let later = |seconds| {
        let body = r#"{"errors":["rate limit exceeded"]}"#;
        answer(
            "429 Too Many Requests",
            &format!("retry-after: {seconds}\r\n"),
            body,
        )
    };
    serve(
        &socket,
        vec![(now, later(1)), (now, no_leases()), (now, later(6))],
    );
    let arguments = ["leases", "--socket", socket.to_str().unwrap()];
    let start = Instant::now();
    assert_eq!(vaultgram(folder.path(), &[], &arguments).code, 0);
    assert!(start.elapsed() >= Duration::from_secs(1));
    let ran = vaultgram(folder.path(), &[], &arguments);
    assert_eq!(ran.code, 75, "{ran:?}");
    assert_eq!(
        ran.err,
        "error: rate limit exceeded\nhint: wait, and try again\n"
    );
}
