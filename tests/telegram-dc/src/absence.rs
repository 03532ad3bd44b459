//! Time that passes, and how what was missed meanwhile is told.

use std::time::Duration;

use crate::Datacenter;
use crate::model::{Announce, Chat, Refusal};

impl Datacenter {
    /// Makes every message this much older than it is by the clock, in whole seconds, and
    /// deletes those whose time is over. Clients' clocks are not disturbed by it.
    pub fn pass_time(&self, time: Duration) {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let mut world = self.shared.world();
        world.lifetimes.pass(seconds);
        world.expire_messages();
    }

    /// Sets as a person how many seconds new messages of a chat live: whole days, or 0.
    ///
    /// # Errors
    /// What Telegram would refuse.
    pub fn set_history_ttl(&self, user: i64, chat: Chat, seconds: i32) -> Result<(), Refusal> {
        self.shared.world().set_period(user, chat, seconds, None)
    }

    /// Reacts to a message as a person, by their own number for it; `None` takes it back.
    ///
    /// # Errors
    /// What Telegram would refuse.
    pub fn react(
        &self,
        user: i64,
        chat: Chat,
        id: i32,
        emoji: Option<&str>,
    ) -> Result<(), Refusal> {
        let emoji = emoji.map(str::to_owned);
        self.shared.world().react(user, chat, id, emoji, None)
    }

    /// The most changes in one slice of a difference from now on, at most 500.
    pub fn set_difference_slice(&self, changes: usize) {
        self.shared.world().catching_up.slice = changes;
    }

    /// From now on, whoever missed more than this many counts of `pts` is told
    /// `differenceTooLong` or `channelDifferenceTooLong` instead.
    pub fn set_difference_limit(&self, counts: i32) {
        self.shared.world().catching_up.total = counts;
    }

    /// Forgets what happened in a supergroup or channel, so that catching up there is
    /// `channelDifferenceTooLong`.
    pub fn forget_channel_updates(&self, channel: i64) {
        if let Some(channel) = self.shared.world().channels.get_mut(&channel) {
            channel.mailbox.forget_log();
        }
    }

    /// Chooses how members are told of what happens in a supergroup or channel.
    pub fn set_announce(&self, channel: i64, announce: Announce) {
        if let Some(channel) = self.shared.world().channels.get_mut(&channel) {
            channel.announce = announce;
        }
    }
}
