//! The world behind the datacenter: accounts, chats, messages, keys, connections.
//!
//! One lock guards all of it, so that what a client is told and in which order
//! always agrees with the boxes. Nothing here waits.

mod account;
mod act;
mod authorizations;
mod callbacks;
mod datacenters;
mod deliver;
mod difference;
mod files;
mod keys;
mod lifetimes;
mod links;
mod logins;
mod mailbox;
mod peers;
mod presence;
mod reactions;
mod store;
mod view;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use account::{Account, Done};
use callbacks::Callbacks;
pub(crate) use callbacks::Presser;
use datacenters::Exports;
pub(crate) use difference::{CatchingUp, Missed};
use files::Uploads;
pub(crate) use keys::{Keys, Standing};
use lifetimes::Lifetimes;
pub(crate) use links::{Link, Links, Outgoing};
pub(crate) use mailbox::Mailbox;
pub(crate) use peers::Peers;
pub(crate) use store::{Owner, Place, Store};
use tokio::sync::mpsc;
pub(crate) use view::peer;

use crate::clock::Clock;
use crate::model::{ANONYMOUS_ADMIN, Announce, Chat, Event, Refusal, SERVICE_USER, User};

/// A basic group; the first member made it.
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) members: Vec<i64>,
    pub(crate) created: i32,
}

/// A supergroup, or a channel if only its creator may write.
pub(crate) struct Channel {
    pub(crate) title: String,
    pub(crate) creator: i64,
    pub(crate) members: HashSet<i64>,
    pub(crate) broadcast: bool,
    pub(crate) created: i32,
    /// When its box changed last.
    pub(crate) changed: i32,
    /// How its members are told of changes.
    pub(crate) announce: Announce,
    pub(crate) mailbox: Mailbox,
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) clock: Arc<Clock>,
    /// Every datacenter of this world, the first one opened first.
    pub(crate) datacenters: Vec<(i32, SocketAddr)>,
    exports: Exports,
    pub(crate) accounts: HashMap<i64, Account>,
    pub(crate) groups: HashMap<i64, Group>,
    pub(crate) channels: HashMap<i64, Channel>,
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) links: Links,
    pub(crate) uploads: Uploads,
    pub(crate) callbacks: Callbacks,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) catching_up: CatchingUp,
    /// What access hashes are made from.
    secret: [u8; 32],
    usernames: HashMap<String, i64>,
    phones: HashMap<String, i64>,
    /// Numbers, in digits, that may not sign in.
    banned: HashSet<String>,
    /// Bots by token; a token that was taken back has none.
    bots: HashMap<String, Option<i64>>,
    subscribers: Vec<mpsc::Sender<Event>>,
}

impl World {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        let mut world = Self {
            clock,
            datacenters: Vec::new(),
            exports: Exports::default(),
            accounts: HashMap::new(),
            groups: HashMap::new(),
            channels: HashMap::new(),
            store: Store::default(),
            keys: Keys::default(),
            links: Links::default(),
            uploads: Uploads::default(),
            callbacks: Callbacks::default(),
            lifetimes: Lifetimes::default(),
            catching_up: CatchingUp::default(),
            secret: crate::random::bytes(),
            usernames: HashMap::new(),
            phones: HashMap::new(),
            banned: HashSet::new(),
            bots: HashMap::new(),
            subscribers: Vec::new(),
        };
        world.add_account(User::new(SERVICE_USER, "Telegram"));
        world.add_account(User::new(ANONYMOUS_ADMIN, "Group").username("GroupAnonymousBot"));
        world
    }

    /// Adds an account, or replaces the one with this id.
    pub(crate) fn add_account(&mut self, user: User) {
        let id = user.id;
        if let Some(username) = &user.username {
            self.usernames.insert(username.to_lowercase(), id);
        }
        if let Some(phone) = &user.phone {
            self.phones.insert(digits(phone), id);
        }
        if let Some(token) = &user.bot_token {
            self.bots.insert(token.clone(), Some(id));
        }
        self.accounts.insert(id, Account::new(user));
    }

    pub(crate) fn by_username(&self, username: &str) -> Option<i64> {
        self.usernames
            .get(&username.trim_start_matches('@').to_lowercase())
            .copied()
    }

    pub(crate) fn by_phone(&self, phone: &str) -> Option<i64> {
        self.phones.get(&digits(phone)).copied()
    }

    /// The account, which must exist.
    pub(crate) fn account(&self, id: i64) -> Result<&Account, Refusal> {
        self.accounts
            .get(&id)
            .ok_or_else(|| Refusal::bad("USER_ID_INVALID"))
    }

    /// The account, to change it.
    pub(crate) fn account_mut(&mut self, id: i64) -> Result<&mut Account, Refusal> {
        self.accounts
            .get_mut(&id)
            .ok_or_else(|| Refusal::bad("USER_ID_INVALID"))
    }

    /// The box of an owner.
    pub(crate) fn mailbox(&self, owner: Owner) -> Option<&Mailbox> {
        match owner {
            Owner::Account(id) => self.accounts.get(&id).map(|account| &account.mailbox),
            Owner::Channel(id) => self.channels.get(&id).map(|channel| &channel.mailbox),
        }
    }

    pub(crate) fn mailbox_mut(&mut self, owner: Owner) -> Option<&mut Mailbox> {
        match owner {
            Owner::Account(id) => self
                .accounts
                .get_mut(&id)
                .map(|account| &mut account.mailbox),
            Owner::Channel(id) => self
                .channels
                .get_mut(&id)
                .map(|channel| &mut channel.mailbox),
        }
    }

    /// Does what is due by now.
    pub(crate) fn tick(&mut self, now: tokio::time::Instant) {
        self.expire_presses(now);
        self.expire_messages();
    }

    /// A queue of everything that happens from now on.
    pub(crate) fn subscribe(&mut self, capacity: usize) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(capacity);
        self.subscribers.push(sender);
        receiver
    }

    fn publish(&self, event: &Event) {
        for subscriber in &self.subscribers {
            if subscriber.try_send(event.clone()).is_err() && !subscriber.is_closed() {
                tracing::warn!("a subscriber is full and misses an event");
            }
        }
    }
}

/// The box that `viewer` finds a chat's messages in.
pub(crate) fn owner_of(chat: Chat, viewer: i64) -> Owner {
    match chat {
        Chat::Channel(id) => Owner::Channel(id),
        Chat::User(_) | Chat::Group(_) => Owner::Account(viewer),
    }
}

fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}
