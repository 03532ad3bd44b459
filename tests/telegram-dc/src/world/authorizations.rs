//! The devices of an account: signed in, announced to the others, ended.

use grammers_tl_types::{Serializable, enums, types};
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Outgoing, Standing, World};
use crate::model::{Chat, Draft, Refusal, SERVICE_USER};

/// How long a device has to be signed in before it may end others, in seconds.
const FRESH: i32 = 24 * 3600;

impl World {
    /// Signs a key in, and tells the account's other devices.
    pub(crate) fn sign_in(&mut self, key: i64, account: i64) {
        let again = self.keys.account(key) == Some(account);
        let others = self.devices_of(account).into_iter().any(|one| one != key);
        let now = self.clock.unix();
        self.set_standing(key, Standing::SignedIn(account));
        let Some(device) = self.keys.get_mut(key).filter(|_| !again) else {
            return;
        };
        (device.created, device.active) = (now, now);
        device.unconfirmed = others;
        if others && !self.is_bot(account) {
            self.announce(key, account);
        }
    }

    /// The keys that an account is signed in with, or is about to be: the newest first,
    /// and without those that only follow one of them in another datacenter.
    pub(crate) fn devices_of(&self, account: i64) -> Vec<i64> {
        let mut devices = self.keys.of_account(account);
        devices.extend(self.keys.password_due(account));
        let created = |key: i64| self.keys.get(key).map(|device| device.created);
        devices.retain(|key| self.keys.leader(*key).is_none());
        devices.sort_by_key(|key| std::cmp::Reverse((created(*key), *key)));
        devices
    }

    /// Signs one device out, as from another; whether there was one with this hash.
    pub(crate) fn end_authorization(&mut self, account: i64, hash: i64) -> bool {
        let found = self.devices_of(account).contains(&hash);
        if found {
            self.set_standing(hash, Standing::Fresh);
        }
        found
    }

    /// Signs all devices out but this one.
    pub(crate) fn end_other_authorizations(&mut self, account: i64, key: i64) {
        for other in self.devices_of(account) {
            if other != key {
                self.end_key(other, Refusal::unauthorized("SESSION_REVOKED"));
            }
        }
    }

    /// Whether a device signed in too short a time ago to end others.
    pub(crate) fn is_fresh(&self, key: i64) -> bool {
        let created = self.keys.get(key).map_or(0, |device| device.created);
        self.clock.unix().saturating_sub(created) < FRESH
    }

    /// Whether an account is a bot, which has no devices and gets no word from Telegram.
    pub(crate) fn is_bot(&self, account: i64) -> bool {
        let account = self.accounts.get(&account);
        account.is_some_and(|account| account.user.bot_token.is_some())
    }

    /// Tells an account's other devices of a new one: by an update, and by a message.
    fn announce(&mut self, key: i64, account: i64) {
        let (Some(device), Some(owner)) = (self.keys.get(key), self.accounts.get(&account)) else {
            return;
        };
        let about = &device.about;
        let what = format!("{} {}, {}", about.app, about.app_version, about.model);
        let place = match about.region.as_str() {
            "" => about.country.clone(),
            region => format!("{region}, {}", about.country),
        };
        let update = types::UpdateNewAuthorization {
            unconfirmed: device.unconfirmed,
            hash: key,
            date: Some(device.created),
            device: Some(what.clone()),
            location: Some(place.clone()),
        };
        let text = format!(
            "New login. Dear {}, we detected a login into your account from a new device on {}.\n\n\
             Device: {what}, {}\nLocation: {place} (IP = {})\n\n\
             If this wasn't you, you can terminate that session in Settings > Devices (or \
             Privacy & Security > Active Sessions).\n\n\
             If you think that somebody logged in to your account against your will, you can \
             enable Two-Step Verification in Privacy and Security settings.",
            owner.user.name,
            date(device.created),
            about.system,
            about.ip,
        );
        self.push_update(account, update.into());
        self.tell(account, text);
    }

    /// Pushes an update that belongs to no box.
    fn push_update(&self, account: i64, update: enums::Update) {
        let updates = types::Updates {
            updates: vec![update],
            users: Vec::new(),
            chats: Vec::new(),
            date: self.clock.unix(),
            seq: 0,
        };
        let bytes = enums::Updates::from(updates).to_bytes();
        let links = self.accounts.get(&account).map(|account| &account.links);
        for connection in links
            .into_iter()
            .flatten()
            .filter_map(|id| self.links.get(*id))
        {
            connection.link.send(Outgoing::Push(bytes.clone()));
        }
    }

    /// A message from Telegram itself.
    pub(crate) fn tell(&mut self, account: i64, text: String) {
        let sent = self.send(SERVICE_USER, Chat::User(account), Draft::new(text), None);
        if let Err(refusal) = sent {
            tracing::error!(account, %refusal, "cannot send a message from Telegram");
        }
    }
}

/// A date as Telegram's messages have it.
fn date(unix: i32) -> String {
    let format = format_description!("[day]/[month]/[year] at [hour]:[minute]:[second] UTC");
    OffsetDateTime::from_unix_timestamp(unix.into())
        .ok()
        .and_then(|date| date.format(format).ok())
        .unwrap_or_default()
}
