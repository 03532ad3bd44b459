//! Messages that delete themselves: how long those of a chat live, and which are due.

use std::collections::{BTreeSet, HashMap};

use grammers_tl_types::types;

use super::store::{MessageKey, Stored};
use super::{Peers, Place, World, peer};
use crate::model::{Chat, Refusal};

const DAY: i32 = 86_400;

/// The longest life that can be set, in days.
const MAX_DAYS: i32 = 365;

/// How long messages live, and when they end.
#[derive(Default)]
pub(crate) struct Lifetimes {
    /// Seconds, by chat.
    periods: HashMap<Place, i32>,
    /// When messages end, in seconds since 1970.
    due: BTreeSet<(i64, u64)>,
    /// How many seconds a test had pass for messages alone.
    passed: i64,
}

impl Lifetimes {
    /// Notes when a new message ends, if it does.
    pub(super) fn note(&mut self, key: MessageKey, message: &Stored) {
        if let Some(period) = message.ttl_period {
            self.due
                .insert((i64::from(message.date) + i64::from(period), key.0));
        }
    }

    /// Makes every message this many seconds older.
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.passed = self.passed.saturating_add(seconds);
    }
}

impl World {
    /// How long new messages of a chat live, in seconds, if not for good.
    pub(crate) fn period(&self, place: Place) -> Option<i32> {
        self.lifetimes.periods.get(&both_ways(place)).copied()
    }

    /// Sets how long new messages of a chat live, 0 for good, and tells everybody there.
    /// Clients can choose whole days, up to a year.
    pub(crate) fn set_period(
        &mut self,
        actor: i64,
        chat: Chat,
        period: i32,
        origin: Option<u64>,
    ) -> Result<(), Refusal> {
        if !(0..=MAX_DAYS * DAY).contains(&period) || period % DAY != 0 {
            return Err(Refusal::bad("TTL_PERIOD_INVALID"));
        }
        let place = self.place(actor, chat)?;
        if self.period(place).unwrap_or(0) == period {
            return Err(Refusal::bad("CHAT_NOT_MODIFIED"));
        }
        let periods = &mut self.lifetimes.periods;
        if period == 0 {
            periods.remove(&both_ways(place));
        } else {
            periods.insert(both_ways(place), period);
        }
        let action = types::MessageActionSetMessagesTtl {
            period,
            auto_setting_from: None,
        };
        self.note(Some(actor), place, action.into(), origin);
        for viewer in self.audience(place) {
            let chat = place.seen_by(viewer);
            let update = types::UpdatePeerHistoryTtl {
                peer: peer(chat),
                ttl_period: Some(period).filter(|period| *period > 0),
            };
            let mut peers = Peers::default();
            peers.add(chat);
            self.push_unnumbered(viewer, &update.into(), &peers, origin);
        }
        Ok(())
    }

    /// Deletes the messages whose time is over, for everybody.
    pub(crate) fn expire_messages(&mut self) {
        let now = i64::from(self.clock.unix()).saturating_add(self.lifetimes.passed);
        let mut over = Vec::new();
        while let Some((due, key)) = self.lifetimes.due.pop_first() {
            if due > now {
                self.lifetimes.due.insert((due, key));
                break;
            }
            over.push(MessageKey(key));
        }
        self.take_out(&over, None, None);
    }
}

/// A private chat is the same whoever writes.
fn both_ways(place: Place) -> Place {
    match place {
        Place::Private { from, to } => Place::Private {
            from: from.min(to),
            to: from.max(to),
        },
        Place::Group(_) | Place::Channel(_) => place,
    }
}
