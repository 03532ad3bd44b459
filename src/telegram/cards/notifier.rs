//! Compares requests for approval with what was told of them, and tells what is out of date.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::Card;
use super::notices::{is_news, notices, places};
use crate::broker::{ApprovalInfo, BrokerError, Place};
use crate::domain::approval::Review;
use crate::telegram::backoff::Backoff;
use crate::telegram::call::CallError;
use crate::telegram::handler::Handler;
use crate::telegram::reply::Reply;
use crate::telegram::status::State;

/// The longest sleep: another process's changes wake nobody here.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// What happens at once is told at once.
const GATHER: Duration = Duration::from_millis(100);
/// The longest sleep at Telegram's wish, before it is looked what there is to tell by now.
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// How often it is looked for cards that are kept for no reason.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// Tells people.
pub(in crate::telegram) struct Notifier(pub(in crate::telegram) Arc<Handler>);

/// Why a round ended early; the next goes on.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl Notifier {
    /// Tells, for as long as it is polled.
    pub(in crate::telegram) async fn run(&self) {
        // Before that nobody knows how to address a group, nor whether we are a bot.
        let mut states = self.0.status.watch();
        let connected = states.wait_for(|state| matches!(state, State::Connected { .. }));
        if connected.await.is_err() {
            return;
        }
        let mut changed = self.0.broker.approvals_changed();
        let mut backoff = Backoff::new(Duration::from_millis(500), LOOK_EVERY);
        let mut pruned: Option<Instant> = None;
        let mut on_duty = false;
        loop {
            changed.mark_unchanged();
            let was_on_duty = on_duty;
            on_duty = self.0.on_duty().await;
            if on_duty && !was_on_duty {
                // As whoever had it before left them.
                self.0.cards.load().await;
            }
            let round = if on_duty { self.round().await } else { Ok(()) };
            match round {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    let pause = match &error {
                        RoundError::Call(CallError::Flood(wait)) => (*wait).min(MAX_PAUSE),
                        RoundError::Call(_) | RoundError::Broker(_) => backoff.next(),
                    };
                    debug!(event = "telegram.cards.late", %error);
                    sleep(pause).await;
                    continue;
                }
            }
            if on_duty && pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
                pruned = Some(Instant::now());
                self.prune().await;
            }
            tokio::select! {
                _ = changed.changed() => sleep(GATHER).await,
                () = sleep(LOOK_EVERY) => {}
                () = self.0.cards.coordination.bereaved() => {}
            }
        }
    }

    async fn round(&self) -> Result<(), RoundError> {
        let Self(handler) = self;
        // Whoever got in must not read along; it is all told once chat is open.
        if handler
            .broker
            .chat_locked()
            .await
            .map_err(BrokerError::from)?
        {
            return Ok(());
        }
        let mut current = handler.broker.approvals_for_notices().await?;
        let mut gone = handler.cards.unsettled();
        gone.retain(|id| !current.iter().any(|approval| approval.id == *id));
        for id in gone {
            match handler.broker.approval_for_notice(&id).await? {
                Some(approval) => current.push(approval),
                None => self.forget(&id).await?,
            }
        }
        // The oldest first: who has waited longest.
        current.sort_by_key(|approval| approval.opened);
        for approval in &current {
            self.attend(approval).await?;
        }
        Ok(())
    }

    /// Tells what is not told of one request. Each message is on record before the next is sent.
    async fn attend(&self, approval: &ApprovalInfo) -> Result<(), RoundError> {
        let Self(handler) = self;
        let (cards, settings) = (&handler.cards, &handler.settings);
        let known = cards.get(&approval.id);
        if known.is_none() && !is_news(approval) {
            return Ok(());
        }
        let mut card = known.clone().unwrap_or_default();
        let told = handler.broker.concerned(approval);
        let refuses = |card: &Card| {
            let chat = settings.approvals_chat.and_then(|it| card.places.get(&it));
            chat.is_some_and(|place| place.refused)
        };
        let mut shut_out = refuses(&card);
        let mut wanted = places(approval, &told, settings, shut_out);
        loop {
            let mut chats = wanted.iter().copied();
            let new = chats.find(|it| is_news(approval) && !card.places.contains_key(it));
            // Also where nobody wants it any more: it would say what is not so.
            let stale = || {
                let mut places = card.places.iter();
                let stale = places.find(|(_, place)| place.revision < Some(approval.revision));
                stale.map(|(chat, _)| *chat)
            };
            let Some(chat) = new.or_else(stale) else {
                break;
            };
            let place = if let Some(place) = card.places.get(&chat) {
                *place
            } else {
                card.places.insert(chat, Place::default());
                self.keep(approval, &card).await?;
                Place::default()
            };
            let promise = handler.promise(approval);
            let make = || {
                let mut reply = Reply::card(approval, promise);
                handler.only_words(&mut reply);
                reply
            };
            let shown = cards.show(&approval.id, chat, place, approval.revision, make);
            card.places.insert(chat, shown.await?);
            card.settled = None;
            self.keep(approval, &card).await?;
            let (id, revision) = (&approval.id, approval.revision);
            info!(event = "telegram.card", approval = %id, chat, revision);
            if refuses(&card) != shut_out {
                shut_out = !shut_out;
                wanted = places(approval, &told, settings, shut_out);
            }
        }
        let notices = notices(approval, &told, settings, &wanted);
        for notice in &notices {
            if card.told.contains(&notice.name()) {
                continue;
            }
            let id = approval.id.to_string();
            let writing = cards
                .poster
                .write(&id, &notice.purpose, notice.to, notice.text.clone());
            writing.await?;
            card.told.insert(notice.name());
            self.keep(approval, &card).await?;
        }
        card.told
            .retain(|told| notices.iter().any(|notice| notice.name() == *told));
        let unseen = matches!(approval.review, Some(Review::Open { .. }));
        let over = !approval.state.is_open() && !unseen;
        let now = handler.clock.now().unix_timestamp();
        card.settled = card.settled.or(over.then_some(now));
        if known.as_ref() != Some(&card) && cards.get(&approval.id).as_ref() != Some(&card) {
            self.keep(approval, &card).await?;
        }
        Ok(())
    }

    async fn keep(&self, approval: &ApprovalInfo, card: &Card) -> Result<(), RoundError> {
        // Another replica may go on with it by now.
        if !self.0.on_duty().await {
            return Err(BrokerError::OutOfTouch.into());
        }
        let kept = self.0.cards.put(&approval.id, card).await;
        Ok(kept.map_err(BrokerError::from)?)
    }

    async fn forget(&self, id: &crate::domain::ApprovalId) -> Result<(), RoundError> {
        let removed = self.0.cards.remove(id).await;
        Ok(removed.map_err(BrokerError::from)?)
    }

    async fn prune(&self) {
        for id in self.0.cards.old(self.0.clock.now()) {
            if let Err(error) = self.0.cards.remove(&id).await {
                warn!(event = "telegram.cards.unwritable", %error);
                return;
            }
        }
    }
}
