//! A message box: numbered messages, and the log of changes that `pts` counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::store::MessageKey;
use crate::model::Chat;

/// How many messages and how many changes a box keeps; what is older is forgotten.
const CAPACITY: usize = 50_000;

/// One step of a box's `pts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The count after this change.
    pub(crate) pts: i32,
    /// How far it moved the count.
    pub(crate) count: i32,
    pub(crate) what: What,
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    New(i32),
    Edited(i32),
    Deleted(Vec<i32>),
}

/// The box of an account, or of a supergroup.
pub(crate) struct Mailbox {
    pts: i32,
    last_id: i32,
    messages: BTreeMap<i32, (Chat, MessageKey)>,
    chats: HashMap<Chat, BTreeSet<i32>>,
    log: VecDeque<Change>,
    /// The count before the oldest change in the log.
    floor: i32,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self {
            pts: 1,
            last_id: 0,
            messages: BTreeMap::new(),
            chats: HashMap::new(),
            log: VecDeque::new(),
            floor: 1,
        }
    }

    pub(crate) fn pts(&self) -> i32 {
        self.pts
    }

    /// The message that this number stands for.
    pub(crate) fn get(&self, id: i32) -> Option<MessageKey> {
        self.messages.get(&id).map(|(_, key)| *key)
    }

    /// Files a message; the id it got, and a message that had to be forgotten for it.
    pub(crate) fn add(&mut self, chat: Chat, key: MessageKey) -> (i32, Option<MessageKey>) {
        self.last_id += 1;
        let id = self.last_id;
        self.messages.insert(id, (chat, key));
        self.chats.entry(chat).or_default().insert(id);
        self.record(1, What::New(id));
        let forgotten = if self.messages.len() > CAPACITY {
            self.forget_oldest()
        } else {
            None
        };
        (id, forgotten)
    }

    fn forget_oldest(&mut self) -> Option<MessageKey> {
        let (id, (chat, key)) = self.messages.pop_first()?;
        if let Some(ids) = self.chats.get_mut(&chat) {
            ids.remove(&id);
        }
        Some(key)
    }

    /// Notes that a message changed.
    pub(crate) fn edited(&mut self, id: i32) -> i32 {
        self.record(1, What::Edited(id));
        self.pts
    }

    /// Takes messages out; those that were there.
    pub(crate) fn remove(&mut self, chat: Chat, ids: &[i32]) -> Vec<i32> {
        let gone: Vec<i32> = ids
            .iter()
            .copied()
            .filter(|id| self.messages.remove(id).is_some())
            .collect();
        if let Some(filed) = self.chats.get_mut(&chat) {
            for id in &gone {
                filed.remove(id);
            }
        }
        if let Ok(count) = i32::try_from(gone.len())
            && count > 0
        {
            self.record(count, What::Deleted(gone.clone()));
        }
        gone
    }

    /// The messages of a chat from the newest down, below `before`.
    pub(crate) fn newest(&self, chat: Chat, before: i32) -> impl Iterator<Item = i32> + '_ {
        self.chats
            .get(&chat)
            .into_iter()
            .flat_map(move |ids| ids.range(..before).rev().copied())
    }

    /// The oldest messages of a chat from `from` up.
    pub(crate) fn oldest(&self, chat: Chat, from: i32) -> impl Iterator<Item = i32> + '_ {
        self.chats
            .get(&chat)
            .into_iter()
            .flat_map(move |ids| ids.range(from..).copied())
    }

    /// How many messages a chat has.
    pub(crate) fn len(&self, chat: Chat) -> usize {
        self.chats.get(&chat).map_or(0, BTreeSet::len)
    }

    /// Every chat that has a message, with the newest.
    pub(crate) fn tops(&self) -> impl Iterator<Item = (Chat, i32)> + '_ {
        self.chats
            .iter()
            .filter_map(|(chat, ids)| Some((*chat, *ids.last()?)))
    }

    /// The changes after `pts`, oldest first; `None` if they are no longer known.
    pub(crate) fn since(&self, pts: i32) -> Option<impl Iterator<Item = &Change>> {
        let first = self.log.partition_point(|change| change.pts <= pts);
        (pts >= self.floor).then(|| self.log.range(first..))
    }

    /// The newest change.
    pub(crate) fn latest(&self) -> Option<&Change> {
        self.log.back()
    }

    /// Forgets the log, as Telegram does after a long time.
    pub(crate) fn forget_log(&mut self) {
        self.log.clear();
        self.floor = self.pts;
    }

    fn record(&mut self, count: i32, what: What) {
        self.pts += count;
        self.log.push_back(Change {
            pts: self.pts,
            count,
            what,
        });
        if self.log.len() > CAPACITY
            && let Some(oldest) = self.log.pop_front()
        {
            self.floor = oldest.pts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Chat = Chat::User(2);

    fn filled(count: u64) -> Mailbox {
        let mut mailbox = Mailbox::new();
        for key in 0..count {
            mailbox.add(CHAT, MessageKey(key));
        }
        mailbox
    }

    #[test]
    fn the_log_tells_what_happened_since() {
        let mut mailbox = filled(3);
        mailbox.edited(2);
        assert_eq!(mailbox.remove(CHAT, &[1, 3, 99]), [1, 3]);
        assert_eq!(mailbox.pts(), 1 + 3 + 1 + 2);
        let since: Vec<_> = mailbox
            .since(3)
            .unwrap()
            .map(|c| (c.pts, c.what.clone()))
            .collect();
        let expected = [
            (4, What::New(3)),
            (5, What::Edited(2)),
            (7, What::Deleted(vec![1, 3])),
        ];
        assert_eq!(since, expected);
        assert_eq!(mailbox.newest(CHAT, i32::MAX).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn what_was_forgotten_is_said_to_be_unknown() {
        let mut mailbox = filled(3);
        mailbox.forget_log();
        assert!(mailbox.since(3).is_none());
        assert_eq!(mailbox.since(4).unwrap().count(), 0);
    }

    #[test]
    fn a_box_is_bounded() {
        let mailbox = filled(50_010);
        assert_eq!(mailbox.messages.len(), CAPACITY);
        assert_eq!(mailbox.len(CHAT), CAPACITY);
        assert_eq!(mailbox.log.len(), CAPACITY);
        assert!(mailbox.since(5).is_none());
    }
}
