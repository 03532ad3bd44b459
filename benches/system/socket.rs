//! Reads of one secret, over connections that stay open.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::measure::{Figures, Run};
use crate::stage::PATIENCE;

/// Where a secret is read.
#[derive(Clone)]
pub(crate) enum Place {
    /// A Unix socket, where no token is needed.
    Socket(PathBuf),
    /// A server, with a token.
    Server(SocketAddr, String),
    /// One over TLS, whose certificate is of an authority.
    Https(SocketAddr, String, Arc<ClientConfig>),
}

type Sender = SendRequest<Full<Bytes>>;

/// Reads `path` at `place`, served by the process `pid`, over 1, 8 and 64 connections.
pub(crate) async fn run(place: &Place, path: &'static str, pid: Option<u32>) -> Vec<Figures> {
    let mut all = vec![];
    for in_flight in [1, 8, 64] {
        let mut connections = JoinSet::new();
        for _ in 0..in_flight {
            let sender = connect(place).await.unwrap();
            connections.spawn(closed_loop(sender, place.clone(), path));
        }
        let mut run = Run::start();
        while let Some(one) = connections.join_next().await {
            run.join(one.unwrap());
        }
        all.push(run.figures(in_flight, pid));
    }
    all
}

/// How long after `start` the secret was first to be had.
pub(crate) async fn first(place: &Place, path: &str, start: Instant) -> Duration {
    while start.elapsed() < PATIENCE {
        if let Ok(mut sender) = connect(place).await
            && read(&mut sender, place, path).await.0.is_success()
        {
            return start.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("nothing is served");
}

pub(crate) async fn connect(place: &Place) -> std::io::Result<Sender> {
    Ok(match place {
        Place::Socket(path) => {
            let (sender, connection) = handshake(TokioIo::new(UnixStream::connect(path).await?))
                .await
                .unwrap();
            tokio::spawn(connection);
            sender
        }
        Place::Https(address, _, config) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::from(address.ip());
            let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream);
            let (sender, connection) = handshake(TokioIo::new(stream.await?)).await.unwrap();
            tokio::spawn(connection);
            sender
        }
        Place::Server(address, _) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        }
    })
}

async fn read(sender: &mut Sender, place: &Place, path: &str) -> (StatusCode, usize) {
    let mut request = Request::get(path)
        .header("Host", "localhost")
        .header("X-Vault-Request", "true");
    match place {
        Place::Server(_, token) | Place::Https(_, token, _) => {
            request = request.header("X-Vault-Token", token);
        }
        Place::Socket(_) => {}
    }
    let request = request.body(Full::default()).unwrap();
    let Ok(answer) = sender.send_request(request).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, 0);
    };
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap();
    (status, body.to_bytes().len())
}

async fn closed_loop(mut sender: Sender, place: Place, path: &str) -> Run {
    let mut run = Run::start();
    while !run.over() {
        let asked = Instant::now();
        let (status, length) = read(&mut sender, &place, path).await;
        assert!(status.is_success() && length > 100, "{status}");
        run.answered(asked);
    }
    run
}
