//! Waiting until others have decided.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use rustix::process::Signal;
use tokio::time::Instant;

use super::{because, look, standing};
use crate::api::{Because, RequestEntry};
use crate::cli::client::{Answer, Socket};
use crate::cli::exit::{Exit, Failure};
use crate::cli::progress::Line;
use crate::cli::secret::not_understood;
use crate::cli::signals::Signals;
use crate::domain::signs::one_line;
use crate::domain::span;

/// How often to look.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after its end a request that cannot be looked at is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether to wait, and for how long.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Wait until others have decided; Ctrl-C leaves the request open
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, such as 90s, 30m or 8h [default: as long as the request does]
    #[arg(long, value_name = "TIME", value_parser = time, requires = "wait")]
    pub timeout: Option<Duration>,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    span::read(text).ok_or("not a time: write it like 90s, 30m, 8h or 2d")
}

/// What `ask` is answered; where that is to wait for others, once they agree.
pub(in crate::cli) async fn when_granted(
    socket: &Socket,
    wait: &WaitArgs,
    ask: impl AsyncFn() -> Result<Answer, Failure>,
) -> Result<Answer, Failure> {
    let answer = ask().await?;
    if let Some(Because::Pending { request }) = because(&answer).filter(|_| wait.wait) {
        until_decided(socket, *request, wait.timeout).await?;
        return ask().await;
    }
    Ok(answer)
}

/// The request as it is granted.
///
/// # Errors
/// When it is not, whatever else becomes of it, and when whoever waits has waited enough.
pub(super) async fn until_decided(
    socket: &Socket,
    first: RequestEntry,
    timeout: Option<Duration>,
) -> Result<RequestEntry, Failure> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut waiter = Waiter::new(first, deadline, PAUSE, None);
    let id = one_line(&waiter.entry.id);
    let mut signals = Signals::listen(&[Signal::INT])?;
    tokio::select! {
        biased;
        done = waiter.wait(socket) => {
            return done?.ok_or_else(|| {
                let what = format!("nobody decided within that time; request {id} stays open");
                Failure::new(Exit::TryAgain, what).hint(format!(
                    "wait again, or take it back: vaultgram cancel {id}"
                ))
            });
        }
        _ = signals.next() => {}
    }
    drop(waiter);
    let what = format!("cancelled; request {id} stays open");
    Err(Failure::new(Exit::Cancelled, what).hint(format!(
        "`vaultgram requests {id}` tells how it stands, `vaultgram cancel {id}` takes it back"
    )))
}

pub(super) struct Waiter {
    entry: RequestEntry,
    pause: Duration,
    /// When whoever waits has waited enough.
    deadline: Option<Instant>,
    /// When there is nothing to wait for any more, whether vaultgram answers or not.
    given_up: Instant,
    told: Told,
    failed: bool,
}

impl Waiter {
    /// Waits for the end of `entry`, until `deadline`, and looks at it after each `pause`. Where
    /// nobody sits at a terminal, it is told how that stands after `every` such time.
    pub(super) fn new(
        entry: RequestEntry,
        deadline: Option<Instant>,
        pause: Duration,
        every: Option<Duration>,
    ) -> Self {
        let start = Instant::now();
        let ends = Duration::from_secs(entry.ttl.unwrap_or(0)) + PATIENCE;
        Self {
            entry,
            pause,
            deadline,
            given_up: start.checked_add(ends).unwrap_or(start),
            told: Told::new(every),
            failed: false,
        }
    }

    /// The request as it is granted; `None` where nobody decided before the deadline.
    pub(super) async fn wait(&mut self, socket: &Socket) -> Result<Option<RequestEntry>, Failure> {
        while self.entry.state == "pending" {
            self.told.tell(&self.entry);
            let next = Instant::now() + self.pause;
            tokio::time::sleep_until(self.deadline.map_or(next, |end| end.min(next))).await;
            if self.deadline.is_some_and(|end| Instant::now() >= end) {
                return Ok(None);
            }
            self.look(socket).await?;
        }
        decided(&self.entry).map(Some)
    }

    /// Looks again. A vaultgram that is away for a while is waited for too.
    async fn look(&mut self, socket: &Socket) -> Result<(), Failure> {
        match look(socket, &self.entry.id).await {
            Ok(entry) => {
                self.failed = false;
                self.entry = entry;
                Ok(())
            }
            Err(failure)
                if matches!(failure.exit, Exit::Unavailable | Exit::TryAgain)
                    && Instant::now() < self.given_up =>
            {
                if !self.failed {
                    let what = &failure.what;
                    self.told
                        .say(&format!("warning: {what}: it is tried again"));
                }
                self.failed = true;
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

/// The request, if it was granted; else how this ends.
fn decided(entry: &RequestEntry) -> Result<RequestEntry, Failure> {
    let exit = match entry.state.as_str() {
        "granted" | "applied" => return Ok(entry.clone()),
        "denied" | "cancelled" | "revoked" => Exit::Denied,
        "expired" | "used" | "ended" => Exit::TryAgain,
        _ => return Err(not_understood()),
    };
    let failure = Failure::new(exit, standing(entry));
    if exit == Exit::TryAgain {
        return Err(failure.hint("ask for it anew"));
    }
    Err(failure)
}

/// What somebody who waits is told on standard error: at a terminal a line that changes, elsewhere
/// one line for each change, and one every so often.
struct Told {
    line: Option<Line>,
    every: Option<Duration>,
    last: String,
    at: Instant,
}

impl Told {
    fn new(every: Option<Duration>) -> Self {
        let line = io::stderr().is_terminal().then(Line::new);
        Self {
            line,
            every,
            last: String::new(),
            at: Instant::now(),
        }
    }

    fn tell(&mut self, entry: &RequestEntry) {
        if let Some(line) = &mut self.line {
            line.draw(&standing(entry));
            return;
        }
        let progress = entry.progress();
        let long_ago = self.every.is_some_and(|every| self.at.elapsed() >= every);
        if progress != self.last || long_ago {
            self.say(&format!("note: {}", standing(entry)));
            self.last = progress;
            self.at = Instant::now();
        }
    }

    fn say(&mut self, text: &str) {
        if let Some(line) = &mut self.line {
            line.clear();
        }
        // Where it cannot be said, it is waited for all the same.
        drop(writeln!(io::stderr(), "{text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;

    #[test]
    fn only_what_is_granted_ends_well() {
        for (state, exit) in [
            ("granted", None),
            ("applied", None),
            ("denied", Some(Exit::Denied)),
            ("cancelled", Some(Exit::Denied)),
            ("revoked", Some(Exit::Denied)),
            ("expired", Some(Exit::TryAgain)),
            ("used", Some(Exit::TryAgain)),
            ("ended", Some(Exit::TryAgain)),
            ("frobnicated", Some(Exit::Unavailable)),
        ] {
            let ended = decided(&entry(state)).err().map(|failure| failure.exit);
            assert_eq!(ended, exit, "{state}");
        }
    }
}
