//! Reads of one secret on a Unix socket, over connections that stay open.

use std::path::Path;
use std::time::Instant;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::measure::{Figures, Run};

/// Reads through `socket`, served by the process `pid`, over 1, 8 and 64 connections.
pub(crate) async fn run(socket: &Path, pid: u32) -> Vec<Figures> {
    let mut all = vec![];
    for in_flight in [1, 8, 64] {
        let mut connections = JoinSet::new();
        for _ in 0..in_flight {
            let stream = UnixStream::connect(socket).await.unwrap();
            connections.spawn(closed_loop(stream));
        }
        let mut run = Run::start();
        while let Some(one) = connections.join_next().await {
            run.join(one.unwrap());
        }
        all.push(run.figures(in_flight, pid));
    }
    all
}

async fn closed_loop(stream: UnixStream) -> Run {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let mut run = Run::start();
    while !run.over() {
        let request = Request::get("/v1/secret/data/django/database")
            .header("Host", "localhost")
            .header("X-Vault-Request", "true")
            .body(Empty::<Bytes>::new());
        let asked = Instant::now();
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success() && body.len() > 100, "{status}");
        run.answered(asked);
    }
    drop(sender);
    connection.await.unwrap().unwrap();
    run
}
