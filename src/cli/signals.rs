//! Signals that a command listens to instead of being ended by them.

use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

use crate::cli::exit::{Exit, Failure};

/// What ends a command that writes files between two of them: in the middle of one, a draft with a secret
/// would be left behind.
const ENDING: &[Signal] = &[Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Does `work`, which leaves nothing behind where it is dropped, until it is done or told to end. Who
/// `watches` ends in no other way, and so ends well.
///
/// # Errors
/// Those of `work`; that it was told to end.
pub(super) async fn until_told(
    work: impl Future<Output = Result<(), Failure>>,
    watches: bool,
) -> Result<(), Failure> {
    let mut signals = Signals::listen(ENDING)?;
    tokio::select! {
        biased;
        result = work => result,
        _ = signals.next() => {
            if watches {
                Ok(())
            } else {
                Err(Failure::new(Exit::Cancelled, "cancelled"))
            }
        }
    }
}

/// Some signals, as they arrive.
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Listens to `wanted` from now on.
    pub(super) fn listen(wanted: &[Signal]) -> Result<Self, Failure> {
        let listen = |&of: &Signal| Ok((of, signal(SignalKind::from_raw(of.as_raw()))?));
        // What we are to ignore (`nohup`) stays ignored, by a command too: a handler would undo that.
        let ignored = ignored();
        let heard = |of: &&Signal| ignored & (1 << (of.as_raw() - 1)) == 0;
        let signals: io::Result<_> = wanted.iter().filter(heard).map(listen).collect();
        signals.map(Self).map_err(|error| {
            Failure::new(Exit::Software, format!("cannot listen to signals: {error}"))
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (signal, arrivals) in &mut self.0 {
                if arrivals.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The signals that are ignored, as `/proc` tells them: the lowest bit is signal 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
