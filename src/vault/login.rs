//! Which session is current, and what to do when Vault refuses it. One login at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::broker::ports::StoreError;
use crate::vault::auth::{Entry, NoLogin};
use crate::vault::client::{Client, Failure, Refusal};
use crate::vault::held::Held;
use crate::vault::method::Auth;
use crate::vault::schedule::{
    FORGIVEN_AFTER, MAX_DELAY_AWAY, MAX_DELAY_REFUSED, MAX_DENIED, back_off,
};
use crate::vault::session::Session;

/// What Vault says to a login where the auth method's mount is not there, or not yet again. A
/// wrong `secret_id` gets another answer, and is counted towards a lock-out.
const NO_MOUNT: u16 = 403;
/// So many tries we hope that it comes back any moment: about two minutes.
const PATIENT_TRIES: u32 = 100;

/// What Vault answers to a login whose credentials are wrong.
const BAD_CREDENTIALS: u16 = 400;

/// Holds the current session and replaces it.
pub(super) struct Login {
    entry: Entry,
    state: watch::Sender<State>,
    turn: Mutex<Turn>,
    held: Held,
}

/// Where we are.
#[derive(Clone)]
pub(super) enum State {
    /// The first login has not ended yet.
    Starting,
    /// Logged in.
    In(Arc<Session>),
    /// Not logged in.
    Out(Problem),
}

/// Why we are not logged in. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The login failed.
    Failed(Failure),
    /// We have nothing that Vault takes: says what to do.
    Refused(String),
    /// We were told to stop.
    Stopped,
}

/// What became of a session that Vault refused.
pub(super) enum Verdict {
    /// Vault still takes it: the refusal was about the path.
    Healthy,
    /// There is a new one.
    Replaced(Arc<Session>),
    /// There is none.
    Lost(Problem),
}

/// What the one whose turn it is knows.
pub(super) struct Turn {
    /// Logins in a row that failed because Vault was away.
    away: u32,
    /// Logins in a row that were refused.
    refused: u32,
    /// How many there were for credentials that are wrong since one worked.
    denied: u32,
    /// No login before this moment.
    not_before: Instant,
    /// The number of the next session.
    next_number: u64,
}

impl Login {
    pub(super) fn new(auth: Auth) -> Self {
        Self {
            entry: Entry::new(auth),
            state: watch::Sender::new(State::Starting),
            turn: Mutex::new(Turn {
                away: 0,
                refused: 0,
                denied: 0,
                not_before: Instant::now(),
                next_number: 1,
            }),
            held: Held::default(),
        }
    }

    /// Whether a login gives a new token.
    pub(super) fn replaceable(&self) -> bool {
        self.entry.replaceable()
    }

    /// The sessions beside the current one.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// Where we are now.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Tells when the state changes.
    pub(super) fn changes(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The current session; while the first login is under way, waits for it up to `patience`.
    pub(super) async fn session(&self, patience: Duration) -> Result<Arc<Session>, StoreError> {
        let mut changes = self.state.subscribe();
        let settled = changes.wait_for(|state| !matches!(state, State::Starting));
        match timeout(patience, settled).await {
            Ok(Ok(state)) => match &*state {
                State::In(session) => Ok(session.clone()),
                State::Out(problem) => Err(problem.clone().into()),
                State::Starting => Err(StoreError::Unavailable),
            },
            Ok(Err(_)) | Err(_) => Err(StoreError::Unavailable),
        }
    }

    /// Vault refused `suspect` something: finds out whether the session is dead, and logs in
    /// again if so. Of many who ask at the same time one does the work.
    pub(super) async fn confirm(&self, client: &Client, suspect: &Session) -> Verdict {
        let asked = Instant::now();
        let turn = self.turn.lock().await;
        match self.state() {
            State::In(current) if current.number() == suspect.number() => {}
            State::In(current) => return Verdict::Replaced(current),
            State::Out(problem) => return Verdict::Lost(problem),
            // Not while there is a suspect: it came out of the first login.
            State::Starting => return Verdict::Healthy,
        }
        match suspect.confirm(client, asked).await {
            Ok(()) => Verdict::Healthy,
            Err(Failure::Refused(cause)) => {
                warn!(event = "vault.token_lost", %cause);
                self.log_in_after_loss(client, turn, cause).await
            }
            Err(failure) => Verdict::Lost(Problem::Failed(failure)),
        }
    }

    async fn log_in_after_loss(
        &self,
        client: &Client,
        mut turn: MutexGuard<'_, Turn>,
        cause: Refusal,
    ) -> Verdict {
        // One that replaces us at our maximum age may have just failed.
        let wait = turn.not_before > Instant::now();
        if !self.replaceable() || wait {
            let problem = Problem::Refused(self.entry.refused(&cause.to_string()));
            if !wait {
                turn.refused(MAX_DELAY_REFUSED);
            }
            self.leave(&problem);
            return Verdict::Lost(problem);
        }
        match self.log_in(client, &mut turn).await {
            Ok(session) => Verdict::Replaced(session),
            Err(problem) => {
                self.leave(&problem);
                Verdict::Lost(problem)
            }
        }
    }

    /// Waits for the turn to log in.
    pub(super) async fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().await
    }

    /// Begins a new session and makes it the current one. On failure the old one, if any,
    /// stays, and `turn` says when to try again.
    pub(super) async fn log_in(
        &self,
        client: &Client,
        turn: &mut Turn,
    ) -> Result<Arc<Session>, Problem> {
        match Session::begin(client, &self.entry, turn.next_number).await {
            Ok(session) => {
                turn.next_number += 1;
                turn.away = 0;
                turn.refused = 0;
                turn.denied = 0;
                turn.not_before = Instant::now();
                let session = Arc::new(session);
                let (lease, _) = session.term();
                let lease_seconds = lease.left.map(|left| left.as_secs());
                info!(
                    event = "vault.logged_in",
                    session = session.number(),
                    lease_seconds
                );
                self.retire(self.state.send_replace(State::In(session.clone())));
                Ok(session)
            }
            Err(NoLogin::Failed(Failure::Refused(cause))) => {
                let hopeless =
                    !self.replaceable() || cause.status != NO_MOUNT || turn.refused > PATIENT_TRIES;
                turn.refused(if hopeless {
                    MAX_DELAY_REFUSED
                } else {
                    MAX_DELAY_AWAY
                });
                if cause.status == BAD_CREDENTIALS {
                    turn.denied = turn.denied.saturating_add(1);
                    if turn.denied >= MAX_DENIED && self.entry.can_be_locked_out() {
                        let jitter = rand::random::<f64>();
                        turn.not_before =
                            Instant::now() + FORGIVEN_AFTER.mul_f64(1.0 + 0.2 * jitter);
                    }
                }
                Err(Problem::Refused(self.entry.refused(&cause.to_string())))
            }
            Err(NoLogin::Failed(failure)) => {
                turn.away();
                Err(Problem::Failed(failure))
            }
            // Nothing was sent, so nobody is bothered by our looking again.
            Err(NoLogin::Unready(what)) => {
                turn.away();
                Err(Problem::Refused(what))
            }
        }
    }

    /// Looks at a wrapped secret id without unwrapping it; `None` where there is none.
    pub(super) async fn examine(&self, client: &Client) -> Option<Result<(), String>> {
        self.entry.examine(client).await
    }

    /// Gives up the current session, if any. Says why once, not at every further try.
    pub(super) fn leave(&self, problem: &Problem) {
        let mut before = State::Starting;
        self.state.send_if_modified(|state| {
            if matches!(state, State::Out(known) if known == problem) {
                return false;
            }
            if *problem == Problem::Stopped {
                info!(event = "vault.stopped");
            } else {
                warn!(event = "vault.logged_out", reason = %problem.reason());
            }
            before = std::mem::replace(state, State::Out(problem.clone()));
            true
        });
        self.retire(before);
    }

    /// Leases may hang on the session that was the current one. A token that was given to us is
    /// not ours to look after once it is not taken.
    fn retire(&self, before: State) {
        if let State::In(session) = before
            && self.replaceable()
        {
            session.retire();
            self.held.add(session);
        }
    }
}

impl Turn {
    /// No login before this moment.
    pub(super) fn not_before(&self) -> Instant {
        self.not_before
    }

    /// Vault is away. What it refuses when it is back may be of its return, and begins anew.
    fn away(&mut self) {
        self.refused = 0;
        self.away = self.away.saturating_add(1);
        self.wait(self.away, MAX_DELAY_AWAY);
    }

    fn refused(&mut self, longest: Duration) {
        self.away = 0;
        self.refused = self.refused.saturating_add(1);
        self.wait(self.refused, longest);
    }

    fn wait(&mut self, failures: u32, longest: Duration) {
        self.not_before = Instant::now() + back_off(failures, longest, rand::random::<f64>());
    }
}

impl Problem {
    /// What is wrong and what to do, for the log and `doctor`.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Failed(failure) => failure.to_string(),
            Self::Refused(what) => what.clone(),
            Self::Stopped => "vaultgram is stopping".to_owned(),
        }
    }
}

impl From<Problem> for StoreError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Failed(Failure::Sealed) => Self::Sealed,
            // Not that Vault is away: nothing that was kept is handed out on this.
            Problem::Failed(Failure::Refused(_)) | Problem::Refused(_) => Self::LoggedOut,
            Problem::Failed(
                Failure::Unavailable(_) | Failure::Unclear(_) | Failure::Invalid(_),
            )
            | Problem::Stopped => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_after_an_outage_is_the_first() {
        let mut turn = Turn {
            away: 0,
            refused: 0,
            denied: 0,
            not_before: Instant::now(),
            next_number: 1,
        };
        for _ in 0..100 {
            turn.refused(MAX_DELAY_REFUSED);
            turn.away();
        }
        turn.refused(MAX_DELAY_REFUSED);
        let wait = turn.not_before().saturating_duration_since(Instant::now());
        assert!(wait < Duration::from_secs(1), "{wait:?}");
        for _ in 0..10 {
            turn.refused(MAX_DELAY_REFUSED);
        }
        let wait = turn.not_before().saturating_duration_since(Instant::now());
        assert!(wait > MAX_DELAY_REFUSED / 3, "{wait:?}");
    }
}
