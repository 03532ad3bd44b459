//! A stop: no name, no new connections, and an answer for everybody who had asked.

use std::io::Write;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use vaultgram::http::bind;

use crate::support::{PATIENCE, eventually, ordinary, settings, until_closed};

const SLOW: &[u8] = b"GET /v1/secret/data/slow HTTP/1.1\r\nhost: localhost\r\n\r\n";
const HEALTH: &[u8] = b"GET /v1/sys/health HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered() {
    let mut server = ordinary();
    let mut client = server.connect().await;
    client.write_all(SLOW).await.unwrap();
    server.store.slow.0.acquire().await.unwrap().forget();

    server.stop.cancel();
    let path = server.path.clone();
    eventually("the socket is gone", async || !path.exists()).await;
    // Past the last call, when idle connections are closed.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!server.served.is_finished(), "it waits for the request");
    server.store.slow.1.add_permits(1);
    let answer = until_closed(&mut client).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("late"),
        "{answer}"
    );
    assert!(
        answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    stopped(&mut server.served).await;
    assert_eq!(server.decisions(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_it_up() {
    let mut server = ordinary();
    let (mut fresh, mut used) = (server.connect().await, server.connect().await);
    used.write_all(HEALTH).await.unwrap();
    used.readable().await.unwrap();
    server.stop.cancel();
    // Far less than the 30 s after which they would end anyway.
    tokio::time::timeout(Duration::from_secs(15), stopped(&mut server.served))
        .await
        .expect("it stops at once");
    assert_eq!(until_closed(&mut fresh).await, "");
    assert!(until_closed(&mut used).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn whoever_was_in_the_queue_is_answered() {
    let mut server = ordinary();
    // It serves by now.
    server.get("/v1/sys/health").await;
    // Nothing is waited for here, so that the server, on the same thread, has no chance to accept.
    let mut queued = std::os::unix::net::UnixStream::connect(&server.path).unwrap();
    queued.write_all(HEALTH).unwrap();
    server.stop.cancel();
    queued.set_nonblocking(true).unwrap();
    let mut queued = tokio::net::UnixStream::from_std(queued).unwrap();
    assert!(until_closed(&mut queued).await.starts_with("HTTP/1.1 200"));
    stopped(&mut server.served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_not_ours_any_more_stays() {
    let mut server = ordinary();
    std::fs::remove_file(&server.path).unwrap();
    let _successor = bind(&settings(server.path.clone())).unwrap_or_else(|error| panic!("{error}"));
    server.stop.cancel();
    stopped(&mut server.served).await;
    assert!(server.path.exists());
}

async fn stopped(served: &mut tokio::task::JoinHandle<std::io::Result<()>>) {
    tokio::time::timeout(PATIENCE, served)
        .await
        .expect("serve returns")
        .unwrap()
        .unwrap();
}
