//! What goes wrong on demand, and what was asked for.

use crate::Datacenter;
use crate::control::Fault;
use crate::model::Refusal;

/// What a client is told whose session was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// 401 `AUTH_KEY_UNREGISTERED`
    Unregistered,
    /// 401 `SESSION_REVOKED`
    Revoked,
    /// 401 `USER_DEACTIVATED`
    Deactivated,
}

impl Datacenter {
    /// Orders a fault for the next `times` calls of a method such as `messages.sendMessage`.
    pub fn fault(&self, method: &str, fault: Fault, times: usize) {
        self.shared.control.order(method, fault, times);
    }

    /// Takes back every fault that was ordered and has not happened.
    pub fn clear_faults(&self) {
        self.shared.control.clear();
    }

    /// Cuts every connection; clients may come back at once.
    pub fn drop_connections(&self) {
        self.shared.world().links.cut_all();
    }

    /// Whether new connections are closed as soon as they are made.
    pub fn refuse(&self, on: bool) {
        self.shared.control.set_refuse(on);
    }

    /// Whether the datacenter keeps its connections and says nothing, whatever it reads.
    ///
    /// What is sent into the hole is lost: it is not answered when the hole closes.
    pub fn black_hole(&self, on: bool) {
        self.shared.control.set_black_hole(on);
    }

    /// Makes every server salt wrong that clients know.
    pub fn rotate_salt(&self) {
        self.shared.salts.rotate();
    }

    /// Ends every session of a user, as if from another device.
    pub fn revoke(&self, user: i64, revocation: Revocation) {
        let text = match revocation {
            Revocation::Unregistered => "AUTH_KEY_UNREGISTERED",
            Revocation::Revoked => "SESSION_REVOKED",
            Revocation::Deactivated => "USER_DEACTIVATED",
        };
        let mut world = self.shared.world();
        for key in world.keys.of_account(user) {
            world.end_key(key, Refusal::unauthorized(text));
        }
    }

    /// Forgets the keys of a user: clients that use them get the transport error -404.
    pub fn forget_key(&self, user: i64) {
        let mut world = self.shared.world();
        for key in world.keys.of_account(user) {
            world.forget_key(key);
        }
    }

    /// Sets the server's clock this many seconds ahead of the machine's.
    pub fn clock_skew(&self, seconds: i64) {
        self.shared.clock.set_skew(seconds);
    }

    /// Forgets what happened to a user's box, so that catching up is `differenceTooLong`.
    pub fn forget_updates(&self, user: i64) {
        if let Ok(account) = self.shared.world().account_mut(user) {
            account.mailbox.forget_log();
        }
    }

    /// How often clients called a method; pings count as `ping`, and methods that are not
    /// served as [`UNKNOWN_METHOD`](crate::UNKNOWN_METHOD), too.
    #[must_use]
    pub fn count(&self, method: &str) -> u64 {
        self.shared.control.count(method)
    }

    /// Makes keys with clients that trust Telegram's own RSA key alone, such as grammers. What
    /// they encrypt to it is found among the random bytes that they leave in `file`: they run
    /// with `overhear.c` preloaded.
    pub fn overhear(&self, file: &std::path::Path) {
        self.shared.control.overhear(file);
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.world().links.len()
    }
}
