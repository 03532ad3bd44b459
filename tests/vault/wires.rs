//! Bad networks on loopback: a gate that falls silent, a black hole, endless answers.

use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Passes connections on; while shut, it accepts them and passes nothing.
pub(crate) struct Gate {
    address: SocketAddr,
    requests: Arc<watch::Sender<bool>>,
    answers: Arc<watch::Sender<bool>>,
    connections: Arc<AtomicUsize>,
}

impl Gate {
    /// A gate before `server`.
    pub(crate) async fn open_to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(watch::Sender::new(true));
        let answers = Arc::new(watch::Sender::new(true));
        let tracker = TaskTracker::new();
        let gates = (requests.clone(), answers.clone());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tracker.clone().spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (requests, answers) = (gates.0.subscribe(), gates.1.subscribe());
                tracker.spawn(async move {
                    if let Ok(server) = TcpStream::connect(server).await {
                        let (from_client, to_client) = client.into_split();
                        let (from_server, to_server) = server.into_split();
                        tokio::join!(
                            pass(from_client, to_server, requests),
                            pass(from_server, to_client, answers),
                        );
                    }
                });
            }
        });
        Self {
            address,
            requests,
            answers,
            connections,
        }
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn shut(&self) {
        self.requests.send_replace(false);
        self.answers.send_replace(false);
    }

    /// Lets requests through, and no answer.
    pub(crate) fn mute(&self) {
        self.answers.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.requests.send_replace(true);
        self.answers.send_replace(true);
    }
}

/// Passes bytes on while the gate is open.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: watch::Receiver<bool>) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let open = gate.wait_for(|open| *open).await.is_ok();
        if !open || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// A port where connecting hangs: its queue is full and nobody accepts.
pub(crate) struct BlackHole {
    listener: StdListener,
    _queue: Vec<StdStream>,
}

pub(crate) fn black_hole() -> BlackHole {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    // Listening again only changes the length of the queue.
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = vec![];
    while let Ok(stream) =
        StdStream::connect_timeout(&address, std::time::Duration::from_millis(300))
    {
        queue.push(stream);
    }
    BlackHole {
        listener,
        _queue: queue,
    }
}

impl BlackHole {
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}

/// A way to `server` on which the answers to requests that hold `what` are lost.
pub(crate) async fn lose_answers_to(server: SocketAddr, what: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tracker = TaskTracker::new();
    tracker.clone().spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tracker.spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                let mut buffer = vec![0; 4096];
                // Small requests and answers come in one piece each.
                while let Ok(count @ 1..) = client.read(&mut buffer).await {
                    let lost = String::from_utf8_lossy(&buffer[..count]).contains(what);
                    server.write_all(&buffer[..count]).await.unwrap();
                    let Ok(count @ 1..) = server.read(&mut buffer).await else {
                        return;
                    };
                    if lost || client.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// A server that answers every request with a body that does not end.
pub(crate) async fn endless_answers() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tracker = TaskTracker::new();
    tracker.clone().spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tracker.spawn(async move {
                let mut request = [0; 16];
                client.read_exact(&mut request).await.ok();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
                while client.write_all(&[b' '; 8192]).await.is_ok() {}
            });
        }
    });
    format!("http://{address}")
}
