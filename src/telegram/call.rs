//! Calls to Telegram over whichever connection is up: bounded, classified, retried on request.

use std::time::Duration;

use grammers_mtsender::InvocationError;
use grammers_tl_types::{Deserializable, RemoteCall};
use metrics::counter;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::backoff::Backoff;
use super::dialogs::{Dialogs, Page};
use super::line::Call;
use super::session::FileSession;
use crate::broker::Broker;
use crate::telemetry::metrics::CALLS_RETRIED;

/// What the server says of a message whose random id it has seen before.
pub(super) const ALREADY_SENT: &str = "RANDOM_ID_DUPLICATE";

/// What we say ourselves of a message that was held back.
pub(super) const LOCKED: &str = "CHAT_LOCKED";

/// What we say ourselves of a secret whose deletion another replica may look after, and be done with.
pub(super) const OUT_OF_TOUCH: &str = "OUT_OF_TOUCH";

/// What we say ourselves of an answer that we cannot read.
const UNDECODABLE: &str = "an answer of no known form";

/// Why a call failed, by what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum CallError {
    /// The connection is gone, or silent: try again when there is one. Whether the server
    /// acted is unknown.
    #[error("no connection to Telegram")]
    Disconnected,
    /// Not before this time has passed.
    #[error("Telegram wants us to wait {0:?}")]
    Flood(Duration),
    /// The server has trouble of its own: try again later.
    #[error("Telegram has trouble ({0})")]
    Server(String),
    /// The session is no longer valid. Nothing will work.
    #[error("Telegram does not accept the session ({0})")]
    SignedOut(String),
    /// The server says no to this call.
    #[error("Telegram refuses ({0})")]
    Refused(String),
}

impl CallError {
    /// Whether a later try may succeed.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Disconnected | Self::Flood(_) | Self::Server(_) => true,
            Self::SignedOut(_) | Self::Refused(_) => false,
        }
    }

    /// Whether the server said yes, but in words that we cannot read.
    pub(super) fn is_undecodable(&self) -> bool {
        matches!(self, Self::Refused(reason) if reason == UNDECODABLE)
    }

    /// Its name in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Flood(_) => "flood",
            Self::Server(_) => "server",
            Self::SignedOut(_) => "signed_out",
            Self::Refused(_) => "refused",
        }
    }
}

/// What grammers and the server mean by an error.
impl From<InvocationError> for CallError {
    fn from(error: InvocationError) -> Self {
        match error {
            InvocationError::Rpc(rpc) => match rpc.code {
                // SLOWMODE_WAIT is also 420, but concerns one group only.
                420 if rpc.name.starts_with("FLOOD") => {
                    Self::Flood(Duration::from_secs(rpc.value.unwrap_or(1).into()))
                }
                401 => Self::SignedOut(rpc.name),
                // 406 is also used for refusals of a single call.
                406 if rpc.name.starts_with("AUTH_KEY") => Self::SignedOut(rpc.name),
                // Not trouble, though it is a 500: it arrived the first time.
                500 if rpc.name == ALREADY_SENT => Self::Refused(rpc.name),
                // -503 is a time-out inside Telegram.
                code if !(0..500).contains(&code) => Self::Server(rpc.name),
                _ => Self::Refused(rpc.name),
            },
            // "Unknown key"; grammers would go on with a new key, that is, as nobody.
            InvocationError::Transport(grammers_mtproto::transport::Error::BadStatus {
                status: 404,
            }) => Self::SignedOut("AUTH_KEY_UNKNOWN".to_owned()),
            InvocationError::Authentication(_) | InvocationError::Session(_) => {
                Self::SignedOut("AUTH_KEY_UNKNOWN".to_owned())
            }
            InvocationError::Deserialize(_) => Self::Refused(UNDECODABLE.into()),
            InvocationError::InvalidDc => Self::SignedOut("unknown datacenter".into()),
            InvocationError::Io(_)
            | InvocationError::Transport(_)
            | InvocationError::Dropped(_) => Self::Disconnected,
        }
    }
}

/// A connection that is up, for anybody to call on.
#[derive(Clone)]
pub(super) struct Pool(pub(super) mpsc::UnboundedSender<Call>);

impl Pool {
    /// One call, one try. grammers itself never gives up on a silent server.
    pub(super) async fn invoke<R: RemoteCall>(
        &self,
        request: &R,
        limit: Duration,
    ) -> Result<R::Return, CallError> {
        let (answer, answered) = oneshot::channel();
        let body = request.to_bytes();
        let called = self.0.send(Call { body, answer });
        called.map_err(|_| CallError::Disconnected)?;
        let answered = timeout(limit, answered).await;
        // Too late, or not at all since the line is gone.
        let body = answered.map_err(|_| CallError::Disconnected)?;
        let body = body.map_err(|_| CallError::Disconnected)??;
        R::Return::from_bytes(&body).map_err(|_| CallError::Refused(UNDECODABLE.into()))
    }
}

/// The way to Telegram for everybody but the connection itself: whatever pool is up now.
pub(super) struct Link {
    pool: watch::Sender<Option<Pool>>,
    /// Somebody had no answer: the connection should be looked at.
    pub(super) suspect: Notify,
    /// A device may have signed in to the account.
    pub(super) new_device: Notify,
    /// Why the session is not accepted, once that is known.
    signed_out: watch::Sender<Option<String>>,
    request_timeout: Duration,
}

impl Link {
    pub(super) fn new(request_timeout: Duration) -> Self {
        Self {
            pool: watch::Sender::new(None),
            suspect: Notify::new(),
            new_device: Notify::new(),
            signed_out: watch::Sender::new(None),
            request_timeout,
        }
    }

    /// Announces the connection, or that there is none.
    pub(super) fn publish(&self, pool: Option<Pool>) {
        self.pool.send_replace(pool);
    }

    /// One call on the current connection, which is waited for.
    pub(super) async fn invoke<R: RemoteCall>(&self, request: &R) -> Result<R::Return, CallError> {
        let pool = self.pool().await?;
        self.invoke_on(&pool, request).await
    }

    /// The latest chats, on the current connection, which is waited for.
    pub(super) async fn dialogs(&self, session: &FileSession) -> Result<Option<Page>, CallError> {
        let pool = self.pool().await?;
        Dialogs::new()
            .page(&pool, session, self.request_timeout)
            .await
    }

    async fn pool(&self) -> Result<Pool, CallError> {
        let mut pools = self.pool.subscribe();
        timeout(self.request_timeout, pools.wait_for(Option::is_some))
            .await
            .map_err(|_| CallError::Disconnected)?
            .map_err(|_| CallError::Disconnected)?
            .clone()
            .ok_or(CallError::Disconnected)
    }

    async fn invoke_on<R: RemoteCall>(
        &self,
        pool: &Pool,
        request: &R,
    ) -> Result<R::Return, CallError> {
        let result = pool.invoke(request, self.request_timeout).await;
        match &result {
            Err(CallError::Disconnected) => self.suspect.notify_one(),
            Err(CallError::SignedOut(why)) => {
                self.signed_out.send_replace(Some(why.clone()));
            }
            Ok(_) | Err(CallError::Flood(_) | CallError::Server(_) | CallError::Refused(_)) => {}
        }
        result
    }

    /// Returns once a call has found the session not accepted, and says why.
    pub(super) async fn signed_out(&self) -> String {
        let mut reason = self.signed_out.subscribe();
        let why = reason.wait_for(Option::is_some).await;
        why.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    /// Calls until it succeeds, is refused, or `deadline` passes. Only for calls that may
    /// arrive twice. `gate` holds back calls of this kind while the server wants us to wait.
    pub(super) async fn persist<R: RemoteCall>(
        &self,
        request: &R,
        gate: &Gate,
        deadline: Instant,
    ) -> Result<R::Return, CallError> {
        let mut unclear = None;
        self.persist_noting(request, gate, deadline, &mut unclear, None)
            .await
    }

    /// As [`Link::persist`]; also notes in `unclear` when the first try began of which nobody
    /// knows whether it arrived. With a `guard`, each try is only made while that lets it.
    pub(super) async fn persist_noting<R: RemoteCall>(
        &self,
        request: &R,
        gate: &Gate,
        deadline: Instant,
        unclear: &mut Option<Instant>,
        guard: Option<Guard<'_>>,
    ) -> Result<R::Return, CallError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        loop {
            gate.open(deadline).await?;
            let error = match self.pool().await {
                Ok(pool) => {
                    // Also after the longest wait.
                    let may = match guard {
                        Some(guard) => guard.check().await,
                        None => Ok(()),
                    };
                    match may {
                        Err(error) => error,
                        Ok(()) => {
                            let began = Instant::now();
                            match self.invoke_on(&pool, request).await {
                                Ok(answer) => return Ok(answer),
                                Err(error) => {
                                    if let CallError::Disconnected | CallError::Server(_) = error {
                                        unclear.get_or_insert(began);
                                    }
                                    error
                                }
                            }
                        }
                    }
                }
                Err(error) => error,
            };
            let delay = match &error {
                CallError::Flood(wait) => {
                    gate.close_for(*wait);
                    *wait
                }
                CallError::Disconnected | CallError::Server(_) => backoff.next(),
                CallError::SignedOut(_) | CallError::Refused(_) => return Err(error),
            };
            if Instant::now() + delay >= deadline {
                return Err(error);
            }
            counter!(CALLS_RETRIED, "reason" => error.name()).increment(1);
            sleep(delay).await;
        }
    }
}

/// What must hold for an answer to be sent, at each try.
#[derive(Clone, Copy)]
pub(super) struct Guard<'a> {
    pub(super) broker: &'a Broker,
    /// Chat is not locked.
    pub(super) unlocked: bool,
    /// This membership of the replicas' company goes on, not just any.
    pub(super) term: Option<u64>,
}

impl Guard<'_> {
    async fn check(self) -> Result<(), CallError> {
        // Another replica may answer, so it is not sent now.
        let Some(term) = self.broker.term() else {
            return Err(CallError::Server(OUT_OF_TOUCH.to_owned()));
        };
        if self.term.is_some_and(|wanted| wanted != term) {
            return Err(CallError::Refused(OUT_OF_TOUCH.to_owned()));
        }
        if !self.unlocked {
            return Ok(());
        }
        match self.broker.chat_locked().await {
            Ok(true) => Err(CallError::Refused(LOCKED.to_owned())),
            Ok(false) => Ok(()),
            // Nobody knows, so it is not sent now.
            Err(error) => Err(CallError::Server(error.to_string())),
        }
    }
}

/// Closed while the server wants us to wait with one kind of call.
pub(super) struct Gate(watch::Sender<Instant>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Instant::now()))
    }

    fn close_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        self.0.send_if_modified(|at| {
            let later = until > *at;
            *at = until.max(*at);
            later
        });
    }

    /// How long it stays closed.
    pub(super) fn closed_for(&self) -> Duration {
        self.0.borrow().saturating_duration_since(Instant::now())
    }

    /// Waits until the gate is open. One that stays closed beyond `deadline` is not waited
    /// for: every later call would do the same, and hold its place in the queue meanwhile.
    async fn open(&self, deadline: Instant) -> Result<(), CallError> {
        loop {
            let until = *self.0.borrow();
            let now = Instant::now();
            if until <= now {
                return Ok(());
            }
            if until >= deadline {
                return Err(CallError::Flood(until - now));
            }
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_closed_beyond_the_deadline_is_not_waited_for() {
        let gate = Gate::new();
        gate.close_for(Duration::from_hours(1));
        let deadline = Instant::now() + Duration::from_mins(10);
        let link = Link::new(Duration::from_secs(1));
        let request = grammers_tl_types::functions::updates::GetState {};
        let call = timeout(
            Duration::from_secs(20),
            link.persist(&request, &gate, deadline),
        );
        let error = call.await.expect("at once").unwrap_err();
        assert!(matches!(error, CallError::Flood(_)), "{error}");
    }

    #[tokio::test]
    async fn what_finds_no_connection_ends_at_its_deadline() {
        let link = Link::new(Duration::from_millis(50));
        let request = grammers_tl_types::functions::updates::GetState {};
        let deadline = Instant::now() + Duration::from_millis(500);
        let gate = Gate::new();
        let call = link.persist(&request, &gate, deadline);
        let ended = timeout(Duration::from_secs(20), call).await;
        assert_eq!(
            ended.expect("in time").unwrap_err(),
            CallError::Disconnected
        );
    }

    #[tokio::test]
    async fn a_gate_that_opens_in_time_is_waited_for() {
        let gate = Gate::new();
        let wait = Duration::from_millis(200);
        gate.close_for(wait);
        let began = Instant::now();
        let deadline = began + Duration::from_mins(10);
        assert_eq!(gate.open(deadline).await, Ok(()));
        assert!(began.elapsed() >= wait / 2);
    }
}
