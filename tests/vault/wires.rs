//! Bad networks on loopback: a gate that falls silent, a black hole, endless answers.

use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Passes connections on; while shut, accepts them and stays silent.
pub(crate) struct Gate {
    address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A gate before `server`.
    pub(crate) async fn open_to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::Sender::new(true));
        let tracker = TaskTracker::new();
        let gate = open.clone();
        tracker.clone().spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut gate = gate.subscribe();
                tracker.spawn(async move {
                    if gate.wait_for(|open| *open).await.is_ok()
                        && let Ok(mut server) = TcpStream::connect(server).await
                    {
                        copy_bidirectional(&mut client, &mut server).await.ok();
                    }
                });
            }
        });
        Self { address, open }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
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
