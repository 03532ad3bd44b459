//! Requests that a job opens for itself: it waits for them, and takes them back when it ends without.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::wait::Waiter;
use super::{act, because, id, look, said};
use crate::api::{Because, RequestEntry};
use crate::cli::client::Socket;
use crate::cli::exit::{Exit, Failure};
use crate::cli::signals::Signals;
use crate::domain::signs::one_line;
use crate::domain::span::spoken;

/// How often to look.
const PAUSE: Duration = Duration::from_secs(3);
/// How often a job's log is told that it waits.
const TOLD: Duration = Duration::from_mins(1);

/// Waits until all of `wanted`, each `PATH[#field][@version]`, may be read, for as long as `patience`:
/// what needs approval is requested for `reason`. Ctrl-C and SIGTERM end the wait.
///
/// # Errors
/// When something is denied, nobody decides in time, or the job is cancelled. Then nothing that was
/// opened here waits any more.
pub(in crate::cli) async fn until_granted(
    socket: &Socket,
    wanted: &[String],
    reason: &str,
    patience: Duration,
) -> Result<(), Failure> {
    let mut signals = Signals::listen(&[Signal::INT, Signal::TERM])?;
    let mut asked = Asked::default();
    let done = match asked.open(socket, wanted, reason).await {
        Ok(()) => tokio::select! {
            biased;
            done = asked.wait(socket, patience) => done,
            _ = signals.next() => Err(Failure::new(Exit::Cancelled, "cancelled while it waited")),
        },
        Err(failure) => Err(failure),
    };
    match done {
        Ok(()) => Ok(()),
        Err(failure) => Err(asked.take_back(socket, failure).await),
    }
}

/// What a job waits for.
#[derive(Default)]
struct Asked {
    waiting: Vec<RequestEntry>,
    /// The ids of those that were opened here.
    own: Vec<String>,
}

impl Asked {
    /// Requests what needs it, before anything is waited for: people see all of it at once.
    async fn open(
        &mut self,
        socket: &Socket,
        wanted: &[String],
        reason: &str,
    ) -> Result<(), Failure> {
        for path in wanted {
            let named = |failure: Failure| Failure {
                what: format!("{path}: {}", failure.what),
                ..failure
            };
            let body = json!({"path": path, "action": "read", "reason": reason}).to_string();
            let body = Zeroizing::new(body.into_bytes());
            let answer = socket.post("/v1/vaultgram/requests", Some(body)).await;
            let answer = answer.map_err(named)?;
            let entry = match because(&answer) {
                Some(Because::NotNeeded) => continue,
                // An earlier step, or the same job before its runner started again.
                Some(Because::Asked { id } | Because::Granted { id }) => look(socket, &id).await,
                Some(
                    Because::Pending { .. } | Because::ReasonNeeded { .. } | Because::CodeNeeded,
                )
                | None => said(&answer).inspect(|entry: &RequestEntry| {
                    self.own.push(entry.id.clone());
                }),
            };
            self.waiting.push(entry.map_err(named)?);
        }
        Ok(())
    }

    async fn wait(&self, socket: &Socket, patience: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + patience;
        for entry in &self.waiting {
            let mut waiter = Waiter::new(entry.clone(), Some(deadline), PAUSE, Some(TOLD));
            if waiter.wait(socket).await?.is_none() {
                let (id, patience) = (one_line(&entry.id), spoken(patience));
                let what = format!("nobody decided request {id} within {patience}");
                return Err(Failure::new(Exit::TryAgain, what)
                    .hint("tell those who decide, and run the job again"));
            }
        }
        Ok(())
    }

    /// Takes back what nobody waits for any more, and adds to `failure` what became of that.
    async fn take_back(&self, socket: &Socket, failure: Failure) -> Failure {
        let mut left = vec![];
        for own in &self.own {
            let Ok(id) = id(own) else { continue };
            let state = look(socket, own).await.map(|entry| entry.state);
            if state.is_ok_and(|state| state != "pending") {
                continue;
            }
            let answer = act(socket, &id, "cancel", None).await;
            if !answer.is_ok_and(|answer| answer.status.is_success()) {
                left.push(one_line(own));
            }
        }
        if left.is_empty() {
            return failure;
        }
        let what = format!("{}; still open: {}", failure.what, left.join(", "));
        Failure { what, ..failure }
    }
}
