//! Those who do harm, or are broken: each is a user with a number of connections, made anew
//! whenever they are closed.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::callers::request;
use crate::{LARGE, SECRET, become_user};

/// What happens to a connection until it is closed.
pub(crate) type Doing = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;
/// What a user does with each of its connections.
pub(crate) type Harm = fn(UnixStream) -> Doing;

/// A head that never ends, a byte at a time.
pub(crate) fn slow_head(mut stream: UnixStream) -> Doing {
    Box::pin(async move {
        loop {
            stream.write_all(b"G").await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
}

/// Asks for much, and takes none of it.
pub(crate) fn never_reads(mut stream: UnixStream) -> Doing {
    Box::pin(async move {
        loop {
            stream.write_all(request(LARGE).as_bytes()).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
}

/// Asks as fast as it can, many times at once.
pub(crate) fn floods(stream: UnixStream) -> Doing {
    Box::pin(async move {
        let (mut from, mut to) = stream.into_split();
        let questions = request(SECRET).repeat(64);
        let asking = async {
            loop {
                to.write_all(questions.as_bytes()).await?;
            }
        };
        let hearing = async {
            let mut piece = vec![0; 1 << 16];
            while from.read(&mut piece).await? > 0 {}
            Ok(())
        };
        tokio::select! {
            ended = asking => ended,
            ended = hearing => ended,
        }
    })
}

/// Goes away in the middle of its question.
pub(crate) fn comes_and_goes(mut stream: UnixStream) -> Doing {
    Box::pin(async move { stream.write_all(b"GET /v1/secret").await })
}

/// A hostile user.
pub(crate) struct Crowd {
    uid: u32,
    stop: CancellationToken,
    made: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Crowd {
    pub(crate) fn start(uid: u32, harm: Harm, socket: &Path, count: usize) -> Self {
        let (stop, made) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (socket, stopped, counter) = (socket.to_owned(), stop.clone(), Arc::clone(&made));
        let thread = std::thread::spawn(move || {
            become_user(uid);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut doing = JoinSet::new();
                for _ in 0..count {
                    doing.spawn(again_and_again(socket.clone(), harm, Arc::clone(&counter)));
                }
                stopped.cancelled().await;
            });
        });
        Self {
            uid,
            stop,
            made,
            thread,
        }
    }

    /// Ends it; what it did.
    pub(crate) fn stop(self) -> String {
        self.stop.cancel();
        self.thread.join().unwrap();
        let made = self.made.load(Ordering::Relaxed);
        format!("hostile {}: {made} connections", self.uid)
    }
}

async fn again_and_again(socket: PathBuf, harm: Harm, made: Arc<AtomicUsize>) {
    loop {
        if let Ok(stream) = UnixStream::connect(&socket).await {
            made.fetch_add(1, Ordering::Relaxed);
            // However it ends.
            drop(harm(stream).await);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
