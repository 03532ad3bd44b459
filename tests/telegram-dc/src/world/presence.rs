//! Connections coming and going, and what that means for keys and accounts.

use super::{Standing, World};
use crate::model::Refusal;

impl World {
    /// Gives a connection its key; `false` if another session uses the key right now.
    pub(crate) fn connect(&mut self, link: u64, key: i64, session: i64) -> bool {
        let Some(device) = self.keys.get_mut(key) else {
            return true;
        };
        if device
            .links
            .iter()
            .any(|(other, theirs)| *other != link && *theirs != session)
        {
            return false;
        }
        device.links.retain(|(other, _)| *other != link);
        device.links.push((link, session));
        if let Some(connection) = self.links.get_mut(link) {
            connection.key = Some(key);
        }
        true
    }

    /// A key turned out to be in use twice: it is worth nothing from now on.
    pub(crate) fn end_duplicate(&mut self, link: u64, key: i64, session: i64) {
        let refusal = Refusal {
            code: 406,
            text: "AUTH_KEY_DUPLICATED".to_owned(),
        };
        self.end_key(key, refusal);
        if let Some(device) = self.keys.get_mut(key) {
            device.links.push((link, session));
        }
        if let Some(connection) = self.links.get_mut(link) {
            connection.key = Some(key);
        }
    }

    /// From now on a connection gets the updates of the account it is signed in as.
    pub(crate) fn attach(&mut self, link: u64, key: i64) {
        // A key that was carried over to another datacenter gets files there, no updates.
        if let Some(account) = self
            .keys
            .account(key)
            .filter(|_| self.keys.leader(key).is_none())
            .and_then(|id| self.accounts.get_mut(&id))
            && !account.links.contains(&link)
        {
            account.links.push(link);
        }
    }

    /// A connection ended.
    pub(crate) fn disconnect(&mut self, link: u64) {
        let Some(key) = self
            .links
            .remove(link)
            .and_then(|connection| connection.key)
        else {
            return;
        };
        if let Some(device) = self.keys.get_mut(key) {
            device.links.retain(|(one, _)| *one != link);
        }
        self.detach(key, link);
    }

    /// Signs a key out; every call with it gets this answer from now on.
    pub(crate) fn end_key(&mut self, key: i64, refusal: Refusal) {
        self.set_standing(key, Standing::Ended(refusal));
    }

    /// Changes how far a key has come in signing in; keys of other datacenters that
    /// follow it are signed out.
    pub(crate) fn set_standing(&mut self, key: i64, standing: Standing) {
        let links = self
            .keys
            .get(key)
            .map(|device| device.links.clone())
            .unwrap_or_default();
        for (link, _) in links {
            self.detach(key, link);
        }
        for follower in self.keys.followers(key) {
            self.set_standing(
                follower,
                match &standing {
                    Standing::Ended(refusal) => Standing::Ended(refusal.clone()),
                    Standing::Fresh | Standing::PasswordDue(_) | Standing::SignedIn(_) => {
                        Standing::Fresh
                    }
                },
            );
        }
        if let Some(device) = self.keys.get_mut(key) {
            device.standing = standing;
            device.introduced.clear();
            device.imported_from = None;
        }
    }

    /// Forgets a key as if it had never been made, and cuts its connections.
    pub(crate) fn forget_key(&mut self, key: i64) {
        let links = self
            .keys
            .get(key)
            .map(|device| device.links.clone())
            .unwrap_or_default();
        for (link, _) in links {
            self.detach(key, link);
            if let Some(connection) = self.links.get(link) {
                connection.link.cut();
            }
        }
        self.keys.remove(key);
    }

    fn detach(&mut self, key: i64, link: u64) {
        if let Some(account) = self
            .keys
            .account(key)
            .and_then(|id| self.accounts.get_mut(&id))
        {
            account.links.retain(|one| *one != link);
        }
    }
}
