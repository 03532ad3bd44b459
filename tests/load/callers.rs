//! Those who must not notice: they ask now and then, on connections that stay open.

use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{SECRET, as_user, become_user};

/// Between two questions of one caller, on average.
const PAUSE: Duration = Duration::from_millis(8);

/// Between two questions on a connection that is held: less than it may be idle.
const AGAIN: Duration = Duration::from_secs(15);

/// How long answers took.
pub(crate) struct Latencies {
    p50: Duration,
    pub(crate) p99: Duration,
    count: usize,
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, p50, p99) = (self.count, self.p50, self.p99);
        write!(f, "{count} answers, p50 {p50:.2?}, p99 {p99:.2?}")
    }
}

/// Asks so many times in all, as all these users. Every answer must be the secret.
pub(crate) async fn ask(socket: &Path, users: Range<u32>, count: usize) -> Latencies {
    let each = count / users.len();
    let mut asking = JoinSet::new();
    for uid in users {
        let socket = socket.to_owned();
        let stream = as_user(uid, move || connect(&socket));
        stream.set_nonblocking(true).unwrap();
        let mut stream = UnixStream::from_std(stream).unwrap();
        asking.spawn(async move {
            let mut took = vec![];
            for _ in 0..each {
                tokio::time::sleep(PAUSE.mul_f64(rand::random_range(0.5..1.5))).await;
                let start = Instant::now();
                one(&mut stream).await;
                took.push(start.elapsed());
            }
            took
        });
    }
    let mut took = asking.join_all().await.concat();
    took.sort_unstable();
    Latencies {
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
        count: took.len(),
    }
}

async fn one(stream: &mut UnixStream) {
    stream.write_all(request(SECRET).as_bytes()).await.unwrap();
    let mut answer = vec![];
    while !is_whole(&answer) {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed");
    }
}

/// A user who holds connections open, and asks on each often enough that it is not idle for long.
pub(crate) struct Holder {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Holder {
    /// Returns when all of them are open.
    pub(crate) fn start(uid: u32, socket: &Path, count: usize) -> Self {
        let (stop, socket) = (CancellationToken::new(), socket.to_owned());
        let (tell, opened) = mpsc::channel();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            become_user(uid);
            let held: Vec<_> = (0..count).map(|_| connect(&socket)).collect();
            held.iter().for_each(ask_blocking);
            tell.send(()).unwrap();
            for stream in held.iter().cycle() {
                if stopped.is_cancelled() {
                    return;
                }
                std::thread::sleep(AGAIN / u32::try_from(count).unwrap());
                ask_blocking(stream);
            }
        });
        opened.recv().expect("they open");
        Self { stop, thread }
    }

    /// Closes them. None was closed before.
    pub(crate) fn stop(self) {
        self.stop.cancel();
        self.thread
            .join()
            .expect("a connection that was held is closed");
    }
}

fn connect(socket: &Path) -> std::os::unix::net::UnixStream {
    std::os::unix::net::UnixStream::connect(socket).unwrap()
}

fn ask_blocking(mut stream: &std::os::unix::net::UnixStream) {
    stream.write_all(request(SECRET).as_bytes()).unwrap();
    let (mut answer, mut piece) = (vec![], [0; 4096]);
    while !is_whole(&answer) {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "closed");
        answer.extend_from_slice(&piece[..read]);
    }
}

pub(crate) fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// Whether all of an answer is there; it must be a good one.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    assert!(head.starts_with("http/1.1 200"), "{text}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.unwrap().parse().unwrap()
}
