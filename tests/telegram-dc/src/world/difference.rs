//! Catching up: what a client missed since the `pts` it knows.

use grammers_tl_types::{enums, types};

use super::mailbox::{Change, What};
use super::{Channel, Owner, Peers, World};

/// The most changes in one answer.
const SLICE: usize = 500;

/// How much of what was missed is told.
pub(crate) struct CatchingUp {
    /// The most changes in one answer.
    pub(crate) slice: usize,
    /// The most that is told at all, in counts of `pts`.
    pub(crate) total: i32,
}

impl Default for CatchingUp {
    fn default() -> Self {
        Self {
            slice: SLICE,
            total: i32::MAX,
        }
    }
}

/// What happened in a box since a `pts`.
pub(crate) enum Missed {
    Nothing,
    /// The log does not reach back that far.
    TooLong,
    Changes {
        new: Vec<enums::Message>,
        other: Vec<enums::Update>,
        peers: Peers,
        /// The count after the last of them.
        pts: i32,
        /// Whether that is all.
        complete: bool,
    },
}

impl World {
    /// The state of an account's own box.
    pub(crate) fn state(&self, account: i64) -> types::updates::State {
        let pts = self
            .mailbox(Owner::Account(account))
            .map_or(1, super::Mailbox::pts);
        types::updates::State {
            pts,
            qts: 0,
            date: self.clock.unix(),
            seq: 1,
            unread_count: 0,
        }
    }

    /// What `viewer` missed in a box since `pts`, at most `limit` changes.
    pub(crate) fn missed(&self, owner: Owner, viewer: i64, pts: i32, limit: usize) -> Missed {
        let Some(mailbox) = self.mailbox(owner) else {
            return Missed::TooLong;
        };
        if pts >= mailbox.pts() {
            return Missed::Nothing;
        }
        if mailbox.pts().saturating_sub(pts) > self.catching_up.total {
            return Missed::TooLong;
        }
        let Some(changes) = mailbox.since(pts) else {
            return Missed::TooLong;
        };
        let limit = limit.min(self.catching_up.slice).clamp(1, SLICE);
        let changes: Vec<&Change> = changes.take(limit).collect();
        let reached = changes.last().map_or(pts, |change| change.pts);
        let mut peers = Peers::default();
        let (mut new, mut other) = (Vec::new(), Vec::new());
        for change in changes {
            let mentioned = self.mentioned(owner, change);
            peers.users.extend(mentioned.users);
            peers.chats.extend(mentioned.chats);
            match change.what {
                What::New(id) => new.extend(self.tl_message(owner, id, viewer)),
                What::Edited(_) | What::Deleted(_) => {
                    other.extend(self.update(owner, change, viewer));
                }
            }
        }
        Missed::Changes {
            new,
            other,
            peers,
            pts: reached,
            complete: reached == mailbox.pts(),
        }
    }

    /// Tells `viewer` which supergroups and channels changed since `date`: their changes
    /// are asked for one by one.
    pub(crate) fn changed_channels(&self, viewer: i64, date: i32) -> Vec<i64> {
        // A second of doubt costs an empty answer, a missed one a message.
        let changed = |channel: &Channel| {
            channel.members.contains(&viewer) && channel.changed >= date.saturating_sub(1)
        };
        self.channels
            .iter()
            .filter(|(_, channel)| changed(channel))
            .map(|(id, _)| *id)
            .collect()
    }
}
