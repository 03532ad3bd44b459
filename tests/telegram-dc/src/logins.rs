//! What stands in the way of signing in, for tests to order.
//!
//! What is not here is a [`fault`](crate::Datacenter::fault): 420 `FLOOD_WAIT_…` and 500
//! `AUTH_RESTART` on `auth.sendCode`, for example.

use crate::Datacenter;

impl Datacenter {
    /// Bans a number: signing in with it is refused with 400 `PHONE_NUMBER_BANNED`.
    pub fn ban_number(&self, phone: &str) {
        self.shared.world().ban_number(phone);
    }

    /// Makes the code that was sent to this number too old: it is refused with 400
    /// `PHONE_CODE_EXPIRED`, until the next one is sent.
    pub fn expire_login_code(&self, phone: &str) {
        let mut world = self.shared.world();
        if let Some(id) = world.by_phone(phone)
            && let Ok(account) = world.account_mut(id)
        {
            account.expire_code();
        }
    }

    /// Takes a bot's token back, as its owner does at `@BotFather`: it is refused with 400
    /// `ACCESS_TOKEN_EXPIRED`.
    pub fn revoke_bot_token(&self, token: &str) {
        self.shared.world().revoke_bot_token(token);
    }
}
