//! The stream below a connection: its answers have to be taken in time, and it is closed so that
//! the last one arrives. TLS has a buffer of its own, so a flush and a close can take time too.
//!
//! hyper has no time-out for writes: a client that asks and reads nothing, or a byte now and then,
//! would hold its connection, and the plaintext waiting to be written, for ever.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::http::limits::Place;

/// How long what a client still sends is read after its last answer. What it sent before stays that
/// long in the buffers of TLS.
const LINGER: Duration = Duration::from_millis(250);
/// And how much of it, in bytes.
const MAX_LINGER: usize = 2 << 20;
/// Room for it, in bytes. On the heap, where our allocator wipes it.
const PIECE: usize = 8 * 1024;

/// Wraps a stream; see the module.
pub(super) struct Stream<S> {
    below: S,
    /// How long an answer may take to be taken, from when the kernel's buffer was full.
    limit: Duration,
    /// Runs while a part of an answer waits.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Told when all is sent; `None` where the connection is refused.
    place: Option<Arc<Place>>,
    /// Runs once the last answer is sent, and how much may still be read.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S: AsyncRead + Unpin> Stream<S> {
    pub(super) fn new(stream: S, limit: Duration, place: Option<Arc<Place>>) -> Self {
        Self {
            below: stream,
            limit,
            deadline: None,
            place,
            linger: None,
        }
    }

    /// Passes on what a write says, unless the answer has waited for too long. Progress does not
    /// help: on one machine all of it is taken in an instant by whoever wants it.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() && self.deadline.is_none() {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.limit)));
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }

    /// Reads what still comes into nothing. Closed before it has sent all, a client may never look
    /// at its answer.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stream = &mut self.below;
        let (until, left) = self
            .linger
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER)), MAX_LINGER));
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut piece = vec![0; PIECE];
        while *left > 0 {
            let mut piece = ReadBuf::new(&mut piece);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece));
            if read.is_err() || piece.filled().is_empty() {
                break;
            }
            *left = left.saturating_sub(piece.filled().len());
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.below).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.below).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.below).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.below.is_write_vectored()
    }

    /// hyper flushes when it has written all it has.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.below).poll_flush(cx);
        ready!(self.watch(cx, flushed))?;
        self.deadline = None;
        if let Some(place) = &self.place {
            place.sent();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let closed = Pin::new(&mut self.below).poll_shutdown(cx);
            ready!(self.watch(cx, closed))?;
        }
        if self.place.as_ref().is_none_or(|place| place.lingers()) {
            ready!(self.poll_rest(cx));
        }
        Poll::Ready(Ok(()))
    }
}
