//! The background loop that keeps us logged in: renews in time, logs in again before the
//! maximum age ends the token, and waits with growing delays while Vault is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::vault::client::{Client, Failure};
use crate::vault::login::{Login, Problem, State, Verdict};
use crate::vault::schedule::{Action, Lease, MAX_DELAY_AWAY, back_off, next};
use crate::vault::session::Session;
use crate::vault::sessions::Sessions;

/// How often an idle session is looked at, so that a revoked token is noticed without a read.
const CHECK_EVERY: Duration = Duration::from_mins(1);

/// The longest a stop waits for Vault to end our token.
const FAREWELL: Duration = Duration::from_secs(3);

/// What to do about one session, and when.
struct Plan {
    session: Arc<Session>,
    due: Option<(Action, Instant)>,
    ends: Option<Instant>,
    failures: u32,
}

/// Keeps `login` logged in until `stop`.
pub(super) async fn keep(login: &Login, client: &Client, stop: &CancellationToken) {
    let mut changes = login.changes();
    let mut plan = None;
    let mut retry_at = Instant::now();
    loop {
        plan = match login.state() {
            State::In(session) => Some(current(plan, session, login.replaceable())),
            State::Starting | State::Out(_) => None,
        };
        let check_at = Instant::now() + CHECK_EVERY;
        let due = plan
            .as_ref()
            .map_or(Some(retry_at), |plan| plan.due.map(|(_, at)| at))
            .map_or(check_at, |at| at.min(check_at));
        // Only the waiting is cut short: a login cut short would leave a token behind.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // The sender lives as long as `login`, so this is never an error.
            _ = changes.changed() => continue,
            () = sleep_until(due) => {}
        }
        match &mut plan {
            None => retry_at = log_in(login, client, None).await,
            Some(plan) => match plan.due {
                Some((Action::Renew, at)) if at <= Instant::now() => {
                    renew(login, client, plan).await;
                }
                Some((Action::LogIn, at)) if at <= Instant::now() => {
                    let again = log_in(login, client, plan.ends).await;
                    plan.due = Some((Action::LogIn, again));
                }
                Some(_) | None => check(login, client, &plan.session).await,
            },
        }
    }
}

/// The plan for `session`: the one there is, or a new one if the session is new.
fn current(plan: Option<Plan>, session: Arc<Session>, replaceable: bool) -> Plan {
    plan.filter(|plan| plan.session.number() == session.number())
        .unwrap_or_else(|| {
            let (lease, _) = session.term();
            let mut plan = Plan {
                session,
                due: None,
                ends: None,
                failures: 0,
            };
            plan.follow(lease, replaceable);
            plan
        })
}

impl Plan {
    /// Takes up a lease granted just now.
    fn follow(&mut self, lease: Lease, replaceable: bool) {
        let now = Instant::now();
        self.due = next(lease, replaceable, rand::random::<f64>())
            .map(|(action, after)| (action, now + after));
        self.ends = lease.left.map(|left| now + left);
        self.failures = 0;
    }
}

async fn renew(login: &Login, client: &Client, plan: &mut Plan) {
    let now = Instant::now();
    match plan.session.renew(client).await {
        Ok(lease) => {
            let lease_seconds = lease.left.map(|left| left.as_secs());
            debug!(
                event = "vault.renewed",
                session = plan.session.number(),
                lease_seconds
            );
            if lease.cut && !login.replaceable() {
                warn!(
                    event = "vault.token_ends",
                    lease_seconds,
                    advice = "configure a new token before then, or use an auth method"
                );
            }
            plan.follow(lease, login.replaceable());
        }
        Err(Failure::Refused(cause)) => {
            warn!(event = "vault.renewal_refused", %cause);
            plan.due = Some(match plan.ends {
                Some(ends) if !login.replaceable() => {
                    check(login, client, &plan.session).await;
                    (Action::LogIn, ends)
                }
                _ => (Action::LogIn, now),
            });
        }
        Err(failure) => {
            plan.failures = plan.failures.saturating_add(1);
            warn!(event = "vault.renewal_failed", cause = %failure, failures = plan.failures);
            let wait = back_off(plan.failures, MAX_DELAY_AWAY, rand::random::<f64>());
            let again = Instant::now() + wait;
            plan.due = Some(match plan.ends {
                Some(ends) if ends <= again => (Action::LogIn, ends),
                _ => (Action::Renew, again),
            });
        }
    }
}

/// Logs in, unless that must wait. A session that has not ended stays in use until this
/// works. Returns when to try again if it did not.
async fn log_in(login: &Login, client: &Client, ends: Option<Instant>) -> Instant {
    let mut turn = login.turn().await;
    if turn.not_before() <= Instant::now()
        && let Err(problem) = login.log_in(client, &mut turn).await
    {
        if ends.is_some_and(|ends| ends > Instant::now()) {
            warn!(event = "vault.replacement_failed", reason = %problem.reason());
        } else {
            login.leave(&problem);
        }
    }
    turn.not_before()
}

async fn check(login: &Login, client: &Client, session: &Session) {
    match login.confirm(client, session).await {
        Verdict::Healthy | Verdict::Replaced(_) => {}
        Verdict::Lost(problem) => debug!(event = "vault.check_failed", reason = %problem.reason()),
    }
}

/// Ends the tokens that are ours, within a bounded time. Leases must have been ended before.
pub(super) async fn end(sessions: &Sessions) {
    if timeout(FAREWELL, finish(sessions)).await.is_err() {
        warn!(
            event = "vault.revocation_failed",
            cause = "no answer in time"
        );
    }
}

/// A token of ours ends with us; one we were given does not.
async fn finish(sessions: &Sessions) {
    let login = &sessions.login;
    login.leave(&Problem::Stopped);
    // A read may be logging in at this moment: wait for that token too.
    let turn = login.turn().await;
    login.leave(&Problem::Stopped);
    drop(turn);
    sessions.roles.settle().await;
    sessions.tasks.close();
    sessions.tasks.wait().await;
    login.held().end(&sessions.client).await;
}
