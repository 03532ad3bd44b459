//! Acting in the world without a client: people, chats, messages.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::Datacenter;
use crate::model::{Chat, Draft, Event, Form, Message, Refusal, Sent, User};
use crate::world::{Outgoing, Standing, owner_of};

/// How long ago a provisioned key was made, in seconds: long enough that it may end other
/// devices, as one that has just signed in may not.
const PROVISIONED_AGE: i32 = 30 * 24 * 3600;

/// How many events wait for a subscriber before it misses some.
const EVENTS: usize = 65_536;

impl Datacenter {
    /// Adds a person or a bot; its id.
    #[expect(clippy::must_use_candidate, reason = "it is called to add")]
    pub fn add_user(&self, user: User) -> i64 {
        let id = user.id;
        self.shared.world().add_account(user);
        id
    }

    /// Adds a basic group; its first member made it.
    pub fn add_group(&self, id: i64, title: &str, members: &[i64]) {
        self.shared.world().add_group(id, title, members);
    }

    /// Adds a supergroup; its first member made it.
    pub fn add_supergroup(&self, id: i64, title: &str, members: &[i64]) {
        self.shared.world().add_channel(id, title, members, false);
    }

    /// Adds a channel, where only its first member writes.
    pub fn add_channel(&self, id: i64, title: &str, members: &[i64]) {
        self.shared.world().add_channel(id, title, members, true);
    }

    /// An auth key of this datacenter, which is to be the user's home, that is signed in
    /// as this user already.
    #[must_use]
    pub fn provision_key(&self, user: i64) -> [u8; 256] {
        self.add_key(Standing::SignedIn(user))
    }

    /// An auth key of this datacenter that nobody is signed in with.
    #[must_use]
    pub fn provision_signed_out_key(&self) -> [u8; 256] {
        self.add_key(Standing::Fresh)
    }

    fn add_key(&self, standing: Standing) -> [u8; 256] {
        let data = crate::random::bytes();
        let now = self.shared.clock.unix().saturating_sub(PROVISIONED_AGE);
        let dc_id = self.shared.dc_id;
        self.shared.world().keys.add(data, dc_id, standing, now);
        data
    }

    /// The code that signing in with this number asks for.
    #[must_use]
    pub fn login_code(&self, phone: &str) -> Option<String> {
        let world = self.shared.world();
        Some(world.account(world.by_phone(phone)?).ok()?.login_code())
    }

    /// Sends a message as a person.
    ///
    /// # Errors
    /// What Telegram would refuse.
    pub fn send(&self, from: i64, to: Chat, draft: impl Into<Draft>) -> Result<Sent, Refusal> {
        self.shared.world().send(from, to, draft.into(), None)
    }

    /// Edits a message as its author, by the author's own number for it.
    ///
    /// # Errors
    /// What Telegram would refuse.
    pub fn edit(
        &self,
        author: i64,
        chat: Chat,
        id: i32,
        draft: impl Into<Draft>,
    ) -> Result<(), Refusal> {
        self.shared
            .world()
            .edit(author, chat, id, draft.into(), None)
    }

    /// Deletes messages for everybody, by this user's own numbers; how many there were.
    #[expect(clippy::must_use_candidate, reason = "it is called to delete")]
    pub fn delete(&self, user: i64, chat: Chat, ids: &[i32]) -> usize {
        let channel = if let Chat::Channel(id) = chat {
            Some(id)
        } else {
            None
        };
        self.shared.world().delete(user, channel, ids, true, None)
    }

    /// Delivers the last update once more to every connection of this user.
    pub fn repeat_update(&self, user: i64) {
        let world = self.shared.world();
        let links = world
            .account(user)
            .map(|account| account.links.clone())
            .unwrap_or_default();
        for connection in links.into_iter().filter_map(|link| world.links.get(link)) {
            if let Some(update) = connection.last_update.clone() {
                connection.link.send(Outgoing::Push(update));
            }
        }
    }

    /// Fixes the form of the updates that this user gets.
    pub fn set_form(&self, user: i64, form: Form) {
        if let Ok(account) = self.shared.world().account_mut(user) {
            account.form = form;
        }
    }

    /// A chat as this user sees it, oldest first, without notes about the chat.
    #[must_use]
    pub fn history(&self, user: i64, chat: Chat) -> Vec<Message> {
        let world = self.shared.world();
        let owner = owner_of(chat, user);
        let ids = world.mailbox(owner).map(|mailbox| mailbox.oldest(chat, 1));
        ids.into_iter()
            .flatten()
            .filter_map(|id| world.message(owner, id, user))
            .collect()
    }

    /// Everything that happens from now on, to anybody.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::Receiver<Event> {
        self.shared.world().subscribe(EVENTS)
    }

    /// The first message in a chat, as this user sees it, for which `wanted` holds: one
    /// that is there, or the next to come or be edited. To wait for thousands at once,
    /// [`subscribe`](Self::subscribe) instead.
    pub async fn wait_for(
        &self,
        user: i64,
        chat: Chat,
        patience: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Option<Message> {
        let mut events = self.subscribe();
        if let Some(found) = self.history(user, chat).into_iter().find(&wanted) {
            return Some(found);
        }
        let coming = async {
            while let Some(event) = events.recv().await {
                if let Event::New { account, message } | Event::Edited { account, message } = event
                    && account == user
                    && message.chat == chat
                    && wanted(&message)
                {
                    return Some(message);
                }
            }
            None
        };
        tokio::time::timeout(patience, coming).await.ok().flatten()
    }
}
