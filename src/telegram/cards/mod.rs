//! Cards: requests for approval as the people they concern see them, in the approvals chat or in
//! their own.
//!
//! Nothing is passed on when something happens. A task compares each request with what was told of
//! it, which is kept in the coordination store, and posts, edits or writes what is out of date
//! ([`notifier`]). So it does not matter when a process ends or how long Telegram is away. That a card
//! is posted is stored before, and its number after it was sent; sent again it has the same random id
//! and is not a second one, and which one it was is found in the chat ([`super::poster`]).

mod notices;
mod notifier;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grammers_session::types::PeerId;
use serde::{Deserialize, Serialize};
use tracing::warn;

pub(super) use self::notifier::Notifier;
use super::call::{CallError, Link};
use super::poster::{Poster, Which};
use super::reply::Reply;
use super::reply::approval::mark;
use super::session::FileSession;
use crate::broker::ports::{Coordination, CoordinationError};
use crate::broker::{Broker, Place};
use crate::domain::ApprovalId;

/// Where they are kept.
const PREFIX: &str = "cards/";
/// How long one is kept after everything was told, so that a reply to it still finds its request.
const KEEP: time::Duration = time::Duration::days(7);
/// Most that are kept of those.
const MAX_SETTLED: usize = 10_000;

/// What was told of a request for approval.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Card {
    /// Where it stands, by chat in bot-API notation.
    places: BTreeMap<i64, Place>,
    /// What people were written besides.
    #[serde(default)]
    told: BTreeSet<String>,
    /// Since when nothing more comes of it, in unix seconds.
    #[serde(default)]
    settled: Option<i64>,
}

/// Keeps the cards, and sends what goes into them.
pub(super) struct Cards {
    coordination: Arc<dyn Coordination>,
    poster: Poster,
    entries: Mutex<BTreeMap<ApprovalId, Card>>,
}

impl Cards {
    pub(super) fn new(
        link: &Arc<Link>,
        session: &Arc<FileSession>,
        coordination: &Arc<dyn Coordination>,
        broker: &Arc<Broker>,
    ) -> Self {
        Self {
            coordination: Arc::clone(coordination),
            poster: Poster::new(link, session, broker),
            entries: Mutex::default(),
        }
    }

    /// Has the card of `id` in `chat`, which is `place` by now, say what `make` makes, as of `revision`.
    async fn show(
        &self,
        id: &ApprovalId,
        chat: i64,
        place: Place,
        revision: u64,
        make: impl Fn() -> Reply,
    ) -> Result<Place, CallError> {
        let (name, mark) = (id.to_string(), mark(id));
        let which = Which {
            name: &name,
            mark: &mark,
        };
        self.poster.show(&which, chat, place, revision, make).await
    }

    /// Reads what another process kept. Where that fails, cards may be posted again, and Telegram
    /// takes them for the ones it has.
    pub(super) async fn load(&self) {
        if let Some(found) = self.kept().await {
            *self.entries() = found;
        }
    }

    async fn kept(&self) -> Option<BTreeMap<ApprovalId, Card>> {
        let found = self.coordination.list(PREFIX).await;
        let found = found.inspect_err(|error| warn!(event = "telegram.cards.unreadable", %error));
        let cards = found.ok()?.into_iter().filter_map(|(key, value)| {
            let id = ApprovalId::read(key.strip_prefix(PREFIX)?)?;
            Some((id, serde_json::from_slice(&value).ok()?))
        });
        Some(cards.collect())
    }

    /// The request whose card is the message `message` of `chat`, as far as this process knows.
    pub(super) fn at(&self, chat: PeerId, message: i32) -> Option<ApprovalId> {
        found_at(&self.entries(), chat, message)
    }

    /// As [`Cards::at`], also of those that another replica posted.
    pub(super) async fn kept_at(&self, chat: PeerId, message: i32) -> Option<ApprovalId> {
        found_at(&self.kept().await?, chat, message)
    }

    fn get(&self, id: &ApprovalId) -> Option<Card> {
        self.entries().get(id).cloned()
    }

    async fn put(&self, id: &ApprovalId, card: &Card) -> Result<(), CoordinationError> {
        // First where replies are looked up: what stands in the chat can be replied to.
        self.entries().insert(id.clone(), card.clone());
        let value = serde_json::to_vec(card).map_err(|e| CoordinationError(e.to_string()))?;
        self.coordination.put(&key(id), &value).await
    }

    async fn remove(&self, id: &ApprovalId) -> Result<(), CoordinationError> {
        self.coordination.delete(&key(id)).await?;
        self.entries().remove(id);
        Ok(())
    }

    /// Those of which something may still be told.
    fn unsettled(&self) -> Vec<ApprovalId> {
        let entries = self.entries();
        let open = entries.iter().filter(|(_, card)| card.settled.is_none());
        open.map(|(id, _)| id.clone()).collect()
    }

    /// Those that are kept for no reason any more.
    fn old(&self, now: time::OffsetDateTime) -> Vec<ApprovalId> {
        let oldest = (now - KEEP).unix_timestamp();
        let entries = self.entries();
        let settled = entries.iter();
        let settled = settled.filter_map(|(id, card)| Some((card.settled?, id)));
        let mut settled: Vec<_> = settled.collect();
        settled.sort_unstable();
        let over = settled.len().saturating_sub(MAX_SETTLED);
        let old = settled.iter().enumerate();
        let old = old.filter(|(place, (since, _))| *place < over || *since < oldest);
        old.map(|(_, (_, id))| (*id).clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ApprovalId, Card>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found_at(cards: &BTreeMap<ApprovalId, Card>, chat: PeerId, message: i32) -> Option<ApprovalId> {
    let chat = chat.bot_api_dialog_id()?;
    let here = |card: &Card| card.places.get(&chat).and_then(|it| it.message) == Some(message);
    let mut found = cards.iter().filter(|(_, card)| here(card));
    found.next().map(|(id, _)| id.clone())
}

fn key(id: &ApprovalId) -> String {
    format!("{PREFIX}{id}")
}
