//! One call to GitHub: its turn, its tries, its redirects, and what is kept of the answer.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use metrics::counter;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::actions::github::access::{Access, Scope};
use crate::actions::github::etags::{Etags, Key};
use crate::actions::github::fault;
use crate::actions::github::limits::Limits;
use crate::actions::github::settings::{self, Settings, SettingsError};
use crate::actions::github::wire::{Answer, Ask, Lost, Wire};
use crate::broker::ports::Clock;
use crate::broker::ports::pipelines::PipelineError;
use crate::domain::SecretValue;
use crate::telemetry::metrics::GITHUB_REQUESTS;

/// Most tries of one call.
const MAX_TRIES: u32 = 4;
/// Most redirects that are followed: a repository is renamed now and then.
const MAX_HOPS: u32 = 3;
/// The first wait before another try.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// GitHub, as one who asks it.
pub(super) struct Calls {
    wire: Wire,
    pub(super) access: Access,
    limits: Limits,
    etags: Etags,
    pub(super) clock: Arc<dyn Clock>,
    patience: Duration,
}

impl Calls {
    pub(super) fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let (timeout, patience) = (settings.request_timeout, settings.patience);
        let (address, identity) = settings::check(settings)?;
        Ok(Self {
            wire: Wire::new(address, timeout)?,
            access: Access::new(identity),
            limits: Limits::default(),
            etags: Etags::default(),
            clock,
            patience,
        })
    }

    /// The longest wait for a whole call.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Where GitHub's API is.
    pub(super) fn base(&self) -> &str {
        self.wire.base()
    }

    /// Whether it is an App that asks.
    pub(super) fn is_app(&self) -> bool {
        matches!(self.access, Access::App(..))
    }

    /// The answer to `ask`, if it is a success; of `what` (`workflow`, `run`) in words.
    pub(super) async fn ask(
        &self,
        scope: &Scope,
        what: &'static str,
        ask: Ask,
    ) -> Result<Answer, PipelineError> {
        let answer = self.raw(scope, what, ask).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(fault::told(what, &answer, fault::of(&answer, what)))
    }

    /// The answer to `ask`, also where it is a refusal.
    pub(super) async fn raw(
        &self,
        scope: &Scope,
        what: &'static str,
        ask: Ask,
    ) -> Result<Answer, PipelineError> {
        let deadline = Instant::now() + self.patience;
        let mut renewed = false;
        loop {
            let token = self.token(scope, deadline).await?;
            let call = Call {
                what,
                whose: self.whose(scope),
                token: &token,
                deadline,
            };
            let answer = self.attempts(&call, ask.clone()).await?;
            match (&self.access, scope) {
                // Somebody revoked it; GitHub did nothing.
                (Access::App(_, installed), Scope::Of(_)) if answer.status == 401 && !renewed => {
                    installed.forget(&token).await;
                    renewed = true;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// What GitHub counts the requests of `scope` under.
    fn whose(&self, scope: &Scope) -> String {
        match &self.access {
            Access::Token(_) => Scope::Ourselves.name(),
            Access::App(..) => scope.name(),
        }
    }

    /// Sends `ask` until there is an answer that says something, or no time.
    pub(super) async fn attempts(
        &self,
        call: &Call<'_>,
        mut ask: Ask,
    ) -> Result<Answer, PipelineError> {
        let (mut tries, mut hops) = (0, 0);
        loop {
            self.turn(call).await?;
            if Instant::now() >= call.deadline {
                return Err(call.given_up(&ask, &Lost::Unsent("no time is left".to_owned())));
            }
            let key = Key {
                whose: call.whose.clone(),
                target: ask.target.clone(),
                accept: ask.accept,
            };
            let cacheable = ask.method == Method::GET;
            let kept = if cacheable {
                self.etags.find(&key)
            } else {
                None
            };
            let etag = kept.as_ref().map(|(etag, _)| etag.as_str());
            let sent = self.wire.send(&ask, call.token, etag, call.deadline).await;
            tries += 1;
            let cause = match sent {
                Ok(answer) => {
                    let limited = self.limits.note(&call.whose, &answer, self.clock.now());
                    count(&answer, limited);
                    if limited && tries < MAX_TRIES {
                        continue;
                    }
                    if limited {
                        let now = self.clock.now();
                        let until = self.limits.held(&call.whose, now).unwrap_or(now);
                        return Err(PipelineError::RateLimited(until));
                    }
                    match (answer.status, kept) {
                        (304, Some((_, kept))) => return Ok(kept),
                        (301 | 302 | 307 | 308, _) if hops < MAX_HOPS => {
                            hops += 1;
                            ask.target = self.elsewhere(call, &ask, &answer)?;
                            tries = 0;
                            continue;
                        }
                        (408 | 500.., _) => Lost::Unclear(format!("status {}", answer.status)),
                        _ => {
                            if cacheable {
                                self.etags.keep(key, &answer);
                            }
                            return Ok(answer);
                        }
                    }
                }
                Err(lost) => {
                    counter!(GITHUB_REQUESTS, "result" => "failed").increment(1);
                    lost
                }
            };
            let wait = FIRST_WAIT * 2_u32.pow(tries) / 2;
            let wait = wait.mul_f64(0.5 + rand::random::<f64>());
            let time = call.deadline.saturating_duration_since(Instant::now()) > wait;
            let again = ask.repeatable && tries < MAX_TRIES && time;
            if !again || matches!(cause, Lost::TooLarge) {
                return Err(call.given_up(&ask, &cause));
            }
            debug!(
                event = "github.try_failed",
                call = call.what,
                cause = cause.text()
            );
            sleep(wait).await;
        }
    }

    /// Waits until GitHub takes requests again, if that is soon enough.
    async fn turn(&self, call: &Call<'_>) -> Result<(), PipelineError> {
        let now = self.clock.now();
        let Some(until) = self.limits.held(&call.whose, now) else {
            return Ok(());
        };
        // All who wait would come at once.
        let jitter = Duration::from_secs_f64(rand::random::<f64>());
        let wait = Duration::try_from(until - now).unwrap_or_default() + jitter;
        if Instant::now() + wait >= call.deadline {
            warn!(event = "github.rate_limited", call = call.what, %until);
            return Err(PipelineError::RateLimited(until));
        }
        sleep(wait).await;
        Ok(())
    }

    /// Where a redirect leads, if it is where we may follow.
    fn elsewhere(
        &self,
        call: &Call<'_>,
        ask: &Ask,
        answer: &Answer,
    ) -> Result<String, PipelineError> {
        // Others would have a POST become a GET.
        let follows = ask.method == Method::GET || matches!(answer.status, 307 | 308);
        let location = answer
            .header("location")
            .filter(|it| follows && !it.is_empty());
        let target = location.and_then(|location| self.wire.here(location));
        target.ok_or_else(|| fault::told(call.what, answer, PipelineError::Moved))
    }
}

/// What all tries of a call have in common.
pub(super) struct Call<'a> {
    pub(super) what: &'static str,
    pub(super) whose: String,
    pub(super) token: &'a SecretValue,
    pub(super) deadline: Instant,
}

impl Call<'_> {
    pub(super) fn success(&self, answer: Answer) -> Result<Answer, PipelineError> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(fault::told(
            self.what,
            &answer,
            fault::of(&answer, self.what),
        ))
    }

    /// What it means that there is no answer, once there are no more tries.
    fn given_up(&self, ask: &Ask, cause: &Lost) -> PipelineError {
        let error = match cause {
            Lost::Unsent(_) => PipelineError::Unavailable,
            Lost::Unclear(_) if ask.repeatable => PipelineError::Unavailable,
            Lost::TooLarge if ask.repeatable => PipelineError::Invalid,
            Lost::Unclear(_) | Lost::TooLarge => PipelineError::Unclear,
        };
        let cause = cause.text();
        warn!(
            event = "github.call_failed",
            call = self.what,
            error = error.name(),
            cause
        );
        error
    }
}

impl Lost {
    fn text(&self) -> &str {
        match self {
            Self::Unsent(cause) | Self::Unclear(cause) => cause,
            Self::TooLarge => "the answer is too large",
        }
    }
}

fn count(answer: &Answer, limited: bool) {
    let result = match answer.status {
        _ if limited => "limited",
        200..=299 => "ok",
        304 => "kept",
        300..=499 => "refused",
        _ => "failed",
    };
    counter!(GITHUB_REQUESTS, "result" => result).increment(1);
}
