//! Answers in every form, from a server that may mean harm: read rightly or refused, and the next
//! question is answered.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::Instant;
use vaultgram::broker::ports::{SecretStore, StoreError};

use crate::wires::{Act, Scripted, answer, scripted};
use crate::world::{World, error, permit, settings, static_token};

/// A secret whose `k` is `value`.
fn secret(value: &str) -> String {
    let metadata = r#"{"created_time":"T","deletion_time":"","destroyed":false,"version":1}"#;
    format!(r#"{{"data":{{"data":{{"k":"{value}"}},"metadata":{metadata}}}}}"#)
}

/// A store at a server that does `acts` for the first request, and after that answers with a
/// secret whose `k` is "good".
async fn before(acts: impl Fn() -> Vec<Act> + Send + Sync + 'static) -> (World, Scripted) {
    let server = scripted(move |number| match number {
        0 => acts(),
        _ => vec![Act::Send(answer(&secret("good")))],
    })
    .await;
    let mut settings = settings(server.address.clone(), static_token("s.any"));
    settings.request_timeout = Duration::from_secs(2);
    (World::start(settings), server)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_read_in_whatever_form_it_comes() {
    let json = secret("first");
    let (one, two) = json.split_at(40);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x};x=y\r\n{one}\r\n{:X}\r\n{two}\r\n0\r\nT: t\r\n\r\n",
        one.len(),
        two.len(),
    );
    let closing = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    let hinted = ["HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", &chunked].concat();
    // Nobody asked for the second.
    let doubled = [answer(&json), answer(&secret("smuggled"))].concat();
    let forms = [
        answer(&json),
        chunked.into(),
        closing.into(),
        hinted.into(),
        doubled,
    ];
    for form in forms {
        let name = String::from_utf8_lossy(&form).into_owned();
        for length in [form.len(), 1] {
            let pieces: Vec<Vec<u8>> = form.chunks(length).map(<[u8]>::to_vec).collect();
            let acts = move || {
                let gap = || Act::Wait(Duration::from_millis(1));
                let send = |piece: &Vec<u8>| [Act::Send(piece.clone()), gap()];
                pieces.iter().flat_map(send).collect()
            };
            let (world, _server) = before(acts).await;
            assert_eq!(
                world.field("app", "k").await.unwrap(),
                r#""first""#,
                "{name}"
            );
            assert_eq!(
                world.field("app", "k").await.unwrap(),
                r#""good""#,
                "{name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_refused_and_its_connection_dropped() {
    let json = secret("evil");
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
    let forms = [
        // A head, a chunk's extension, chunks that do not end.
        format!("{ok}X: {}", "x".repeat(1 << 20)),
        format!("{chunked}5;{}", "x".repeat(1 << 20)),
        chunked.clone() + &format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(40),
        // Lengths that lie.
        format!("{chunked}ffffffffffffffff\r\n{json}"),
        format!("{chunked}{:x}\r\n{json}\r\n0\r\n\r\n", json.len() - 9),
        format!("{chunked}-1\r\n{json}"),
        format!("{ok}Content-Length: 99999999\r\n\r\n{json}"),
        format!(
            "{ok}Content-Length: {0}\r\nContent-Length: {0}\r\n\r\n{json}",
            json.len()
        ),
        format!(
            "{ok}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{json}",
            json.len()
        ),
        format!("{ok}\r\n{json}"),
        // Something else.
        format!(
            "garbage\r\n{ok}Content-Length: {}\r\n\r\n{json}",
            json.len()
        ),
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_owned(),
    ];
    for form in forms {
        let shown: String = form.chars().take(80).collect();
        let bytes = form.into_bytes();
        let acts = move || vec![Act::Send(bytes.clone()), Act::Wait(Duration::from_mins(1))];
        let (world, server) = before(acts).await;
        let start = Instant::now();
        assert_eq!(
            error(world.read("app").await),
            StoreError::Invalid,
            "{shown}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{shown}: not by time"
        );
        assert_eq!(server.requests.load(SeqCst), 1, "{shown}: asked again");
        assert_eq!(
            world.field("app", "k").await.unwrap(),
            r#""good""#,
            "{shown}"
        );
        while server.ended.load(SeqCst) == 0 {
            assert!(
                start.elapsed() < Duration::from_secs(9),
                "{shown}: still open"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_vault_did_not_tell_is_looked_at_again() {
    let forbidden = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let server = scripted(move |number| {
        vec![Act::Send(match number {
            0 => forbidden.into(),
            1 => answer(r#"{"data":{"k":"v"}}"#),
            _ => answer(r#"{"data":{"type":"kv"}}"#),
        })]
    })
    .await;
    let world = World::start(settings(server.address.clone(), static_token("s.any")));
    let permit = permit("database", "creds/app", None);
    assert!(world.store.read(&permit).await.is_ok());
    let second = world.store.read(&permit).await;
    assert_eq!(error(second), StoreError::WrongMount);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_early_or_never_is_no_answer() {
    let whole = answer(&secret("evil"));
    let half = whole[..whole.len() - 5].to_vec();
    let head = b"HTTP/1.1 200 OK\r\nContent-Le".to_vec();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec();
    for (piece, slow) in [
        (half.clone(), false),
        (head, false),
        (chunked, false),
        (half, true),
    ] {
        let acts = move || {
            let end = if slow {
                Act::Wait(Duration::from_mins(1))
            } else {
                Act::Close
            };
            vec![Act::Send(piece.clone()), end]
        };
        let (world, server) = before(acts).await;
        let start = Instant::now();
        assert_eq!(error(world.read("app").await), StoreError::Unavailable);
        assert_eq!(start.elapsed() >= Duration::from_secs(2), slow);
        assert_eq!(
            server.requests.load(SeqCst),
            1,
            "half an answer is not asked for again"
        );
        assert_eq!(world.field("app", "k").await.unwrap(), r#""good""#);
    }
}
