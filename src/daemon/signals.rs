//! Signals: the first stop is graceful, the second is not.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit::{Exit, Failure};

/// The signals the daemon listens to, from the moment this is made.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Only kept, so that a file over its size limit is a failed write and not our death.
    _file_size: Signal,
}

/// What a signal asks for.
pub(super) enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

impl Signals {
    /// Starts to listen.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    pub(super) async fn stop(&mut self) {
        while let Asked::Reload = self.next().await {}
    }

    /// Waits for what is asked next.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => {
                tracing::info!(event = "daemon.hangup");
                Asked::Reload
            }
        }
    }
}

/// Does `work` unless a signal ends it first: dropped, it tidies up after itself (a terminal
/// that shows nothing, a file half made), which a killed process would not.
///
/// # Errors
/// As `work`, or when it was ended.
pub(super) async fn unless_stopped<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let failed = |error| Failure::new(Exit::Unavailable, error);
    let mut signals = Signals::listen().map_err(failed)?;
    // Ctrl-\, which would kill us as we are.
    let mut quit = signal(SignalKind::quit()).map_err(failed)?;
    tokio::select! {
        result = work => return result,
        () = signals.stop() => {}
        _ = quit.recv() => {}
    }
    Err(Failure::new(Exit::Cancelled, "cancelled"))
}
