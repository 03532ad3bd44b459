//! Several datacenters in one world: where accounts live, and signing in carried over.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{Standing, World};
use crate::model::Refusal;

/// How many exported authorisations wait to be imported.
const MAX_EXPORTS: usize = 1_000;

/// How long one is good for, in seconds.
const EXPORT_LIFETIME: i32 = 60;

/// An authorisation on its way to another datacenter.
struct Export {
    bytes: [u8; 32],
    account: i64,
    /// The key it was exported with.
    key: i64,
    to: i32,
    at: i32,
}

/// Authorisations that were exported and not yet imported; each is good once.
#[derive(Default)]
pub(crate) struct Exports {
    waiting: VecDeque<Export>,
}

impl World {
    /// Where a datacenter listens.
    pub(crate) fn address_of(&self, dc_id: i32) -> Option<SocketAddr> {
        let mut all = self.datacenters.iter();
        all.find(|(id, _)| *id == dc_id)
            .map(|(_, address)| *address)
    }

    /// The datacenter that an account lives in: the first, unless it says otherwise.
    pub(crate) fn home(&self, account: i64) -> i32 {
        let chosen = self.accounts.get(&account).and_then(|one| one.user.home);
        let first = self.datacenters.first().map_or(0, |(id, _)| *id);
        chosen.unwrap_or(first)
    }

    /// Lets a signed-in key be followed by a key of another datacenter.
    pub(crate) fn export(&mut self, key: i64, to: i32) -> Result<(i64, [u8; 32]), Refusal> {
        let here = self.keys.get(key).map(|device| device.dc_id);
        if here == Some(to) || self.address_of(to).is_none() {
            return Err(Refusal::bad("DC_ID_INVALID"));
        }
        let account = self.keys.account(key);
        let account = account.ok_or_else(|| Refusal::unauthorized("AUTH_KEY_UNREGISTERED"))?;
        let (bytes, at) = (crate::random::bytes(), self.clock.unix());
        if self.exports.waiting.len() >= MAX_EXPORTS {
            self.exports.waiting.pop_front();
        }
        self.exports.waiting.push_back(Export {
            bytes,
            account,
            key,
            to,
            at,
        });
        Ok((account, bytes))
    }

    /// Signs a key in by what another datacenter exported; the account.
    pub(crate) fn import(&mut self, key: i64, account: i64, bytes: &[u8]) -> Result<i64, Refusal> {
        let invalid = || Refusal::bad("AUTH_BYTES_INVALID");
        let now = self.clock.unix();
        let here = self.keys.get(key).map(|device| device.dc_id);
        let mut waiting = self.exports.waiting.iter();
        let found = waiting
            .position(|one| one.bytes == bytes && one.account == account && Some(one.to) == here);
        let found = found.and_then(|index| self.exports.waiting.remove(index));
        let export = found.ok_or_else(invalid)?;
        let still_signed_in = self.keys.account(export.key) == Some(account);
        if now.saturating_sub(export.at) > EXPORT_LIFETIME || !still_signed_in {
            return Err(invalid());
        }
        self.set_standing(key, Standing::SignedIn(account));
        if let Some(device) = self.keys.get_mut(key) {
            device.imported_from = Some(export.key);
        }
        Ok(account)
    }
}
