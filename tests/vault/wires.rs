//! Bad networks on loopback: a gate that falls silent, a black hole, endless and hostile answers.

use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

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
                count.fetch_add(1, SeqCst);
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
        self.connections.load(SeqCst)
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
    while let Ok(stream) = StdStream::connect_timeout(&address, Duration::from_millis(300)) {
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

/// What a scripted server does.
pub(crate) enum Act {
    Send(Vec<u8>),
    Wait(Duration),
    Close,
}

/// A server that takes every token, and acts on each other request as its script says.
pub(crate) struct Scripted {
    pub(crate) address: String,
    /// Connections made, and those that have ended.
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) ended: Arc<AtomicUsize>,
    /// Requests the script was asked for.
    pub(crate) requests: Arc<AtomicUsize>,
}

/// A server with `script`, which is given the number of the request, from 0.
pub(crate) async fn scripted(
    script: impl Fn(usize) -> Vec<Act> + Send + Sync + 'static,
) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = || Arc::new(AtomicUsize::new(0));
    let (connections, ended, requests) = (count(), count(), count());
    let server = Scripted {
        address,
        connections: connections.clone(),
        ended: ended.clone(),
        requests: requests.clone(),
    };
    let script = Arc::new(script);
    let tracker = TaskTracker::new();
    tracker.clone().spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            client.set_nodelay(true).unwrap();
            connections.fetch_add(1, SeqCst);
            let (script, ended, requests) = (script.clone(), ended.clone(), requests.clone());
            tracker.spawn(async move {
                while let Some(request) = request(&mut client).await {
                    let acts = if request.contains("/v1/auth/token/lookup-self ") {
                        vec![Act::Send(answer(TOKEN))]
                    } else {
                        script(requests.fetch_add(1, SeqCst))
                    };
                    if !act(&mut client, acts).await {
                        break;
                    }
                }
                ended.fetch_add(1, SeqCst);
            });
        }
    });
    server
}

/// What `lookup-self` says of a token that never ends.
const TOKEN: &str = r#"{"data":{"ttl":0,"creation_ttl":0,"expire_time":null}}"#;

/// An answer with `json`.
pub(crate) fn answer(json: &str) -> Vec<u8> {
    let length = json.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{json}").into_bytes()
}

/// The next request, without its body, which is read too.
async fn request(client: &mut TcpStream) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(client.read_u8().await.ok()?.into());
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    client.read_exact(&mut vec![0; length]).await.ok()?;
    Some(head)
}

/// Whether the connection stays.
async fn act(client: &mut TcpStream, acts: Vec<Act>) -> bool {
    for act in acts {
        match act {
            Act::Send(bytes) => {
                if client.write_all(&bytes).await.is_err() {
                    return false;
                }
            }
            Act::Wait(time) => {
                // The other side's end ends it too.
                let silent = tokio::time::timeout(time, client.read_u8()).await.is_err();
                if !silent {
                    return false;
                }
            }
            Act::Close => return false,
        }
    }
    true
}

/// A way to `server` on which the answers to requests that hold `what` are lost.
pub(crate) async fn lose_answers_to(server: SocketAddr, what: &'static str) -> String {
    look_at_answers_to(server, what, |_| false).await
}

/// A way to `server` on which `look` sees each answer to a request that holds `what`, and says
/// whether it goes on.
pub(crate) async fn look_at_answers_to(
    server: SocketAddr,
    what: &'static str,
    look: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> String {
    let look = Arc::new(look);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tracker = TaskTracker::new();
    tracker.clone().spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let look = look.clone();
            tracker.spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                let mut buffer = vec![0; 4096];
                // Small requests and answers come in one piece each.
                while let Ok(count @ 1..) = client.read(&mut buffer).await {
                    let seen = String::from_utf8_lossy(&buffer[..count]).contains(what);
                    server.write_all(&buffer[..count]).await.unwrap();
                    let Ok(count @ 1..) = server.read(&mut buffer).await else {
                        return;
                    };
                    let lost = seen && !look(&String::from_utf8_lossy(&buffer[..count]));
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
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                client.write_all(head).await.ok();
                let chunk = [&b"2000\r\n"[..], &[b' '; 8192], b"\r\n"].concat();
                while client.write_all(&chunk).await.is_ok() {}
            });
        }
    });
    format!("http://{address}")
}
