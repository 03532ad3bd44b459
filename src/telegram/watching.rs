//! Runs of pipelines as the chats see them: one message for each, posted when it is first seen and edited
//! as it goes on.
//!
//! As with cards, nothing is passed on when something happens: what the broker put down to be shown is
//! compared with what stands in the chat. So it does not matter when a process ends, how long Telegram is
//! away, or how often a run changes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::backoff::Backoff;
use super::call::CallError;
use super::handler::Handler;
use super::poster::Which;
use super::reply::{Reply, run};
use super::status::State;
use crate::broker::{BrokerError, Followed, Looker};

/// How often it is looked what there is to do: another process's changes wake nobody here.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What happens at once is looked at and told at once, and a message is edited no more often.
const GATHER: Duration = Duration::from_millis(1500);
/// The longest sleep at Telegram's wish, before it is looked what there is to tell by now.
const MAX_PAUSE: Duration = Duration::from_mins(5);

/// Tells of runs.
pub(super) struct Watching(pub(super) Arc<Handler>);

/// Why a round ended early; the next goes on.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl Watching {
    /// Tells, for as long as it is polled.
    pub(super) async fn run(&self) {
        let Self(handler) = self;
        if !handler.broker.has_pipelines() {
            return;
        }
        // Before that nobody knows how to address a group.
        let mut states = handler.status.watch();
        let connected = states.wait_for(|state| matches!(state, State::Connected { .. }));
        if connected.await.is_err() {
            return;
        }
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut looker = Looker::default();
        loop {
            let pause = match self.round(&mut looker).await {
                Ok(()) => {
                    backoff.reset();
                    GATHER
                }
                Err(error) => {
                    debug!(event = "telegram.runs.late", %error);
                    match error {
                        RoundError::Call(CallError::Flood(wait)) => wait.min(MAX_PAUSE),
                        RoundError::Call(_) | RoundError::Broker(_) => backoff.next(),
                    }
                }
            };
            sleep(pause).await;
            // Over in time either way.
            timeout(LOOK_EVERY, handler.broker.pipelines_stirred())
                .await
                .ok();
        }
    }

    async fn round(&self, looker: &mut Looker) -> Result<(), RoundError> {
        let broker = &self.0.broker;
        // Whoever got in must not read along.
        let locked = broker.chat_locked().await.map_err(BrokerError::from)?;
        if locked || !self.0.on_duty().await {
            return Ok(());
        }
        broker.look_at_pipelines(looker, &run::card).await?;
        for followed in broker.followed().await.map_err(BrokerError::from)? {
            if followed.is_stale() {
                self.show(&followed).await?;
            }
        }
        Ok(())
    }

    async fn show(&self, followed: &Followed) -> Result<(), RoundError> {
        let Self(handler) = self;
        let name = format!("run {}", followed.name());
        let mark = run::mark(&followed.text);
        let which = Which {
            name: &name,
            mark: &mark,
        };
        let silent = handler.is_quiet();
        let make = || {
            let mut reply = Reply::plain(followed.text.clone());
            reply.silent = silent;
            reply
        };
        let (chat, revision) = (followed.chat, followed.revision);
        let poster = &handler.runs_poster;
        let place = poster.show(&which, chat, followed.place, revision, make);
        let place = place.await?;
        // Another replica may go on with it by now.
        if !handler.on_duty().await {
            return Err(BrokerError::OutOfTouch.into());
        }
        let kept = handler.broker.shown(followed, place).await;
        kept.map_err(BrokerError::from)?;
        info!(
            event = "telegram.run_shown",
            run = followed.name(),
            chat,
            revision
        );
        Ok(())
    }
}

impl Handler {
    /// Whether people want to hear nothing now.
    fn is_quiet(&self) -> bool {
        let hours = self.settings.quiet_hours;
        hours.is_some_and(|hours| hours.cover(self.broker.local_time()))
    }
}
