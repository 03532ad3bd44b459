//! Who is found by what they sign in with, and who may not.

use super::{World, digits};
use crate::model::Refusal;

/// How many digits a number has, with its country code.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

impl World {
    /// The account of a number that may sign in.
    pub(crate) fn signs_in_with(&self, phone: &str) -> Result<i64, Refusal> {
        let number = digits(phone);
        let strange = |c: char| !c.is_ascii_digit() && !"+-() ".contains(c);
        if phone.contains(strange) || !PHONE_DIGITS.contains(&number.len()) {
            return Err(Refusal::bad("PHONE_NUMBER_INVALID"));
        }
        if self.banned.contains(&number) {
            return Err(Refusal::bad("PHONE_NUMBER_BANNED"));
        }
        let found = self.by_phone(phone);
        found.ok_or_else(|| Refusal::bad("PHONE_NUMBER_UNOCCUPIED"))
    }

    /// The bot of a token.
    pub(crate) fn by_bot_token(&self, token: &str) -> Result<i64, Refusal> {
        match self.bots.get(token) {
            Some(Some(id)) => Ok(*id),
            Some(None) => Err(Refusal::bad("ACCESS_TOKEN_EXPIRED")),
            None => Err(Refusal::bad("ACCESS_TOKEN_INVALID")),
        }
    }

    pub(crate) fn ban_number(&mut self, phone: &str) {
        self.banned.insert(digits(phone));
    }

    pub(crate) fn revoke_bot_token(&mut self, token: &str) {
        self.bots.insert(token.to_owned(), None);
    }

    /// Sends the login code as a message to an account's devices; `false` if there is none.
    pub(crate) fn tell_code(&mut self, account: i64, code: &str) -> bool {
        if self.keys.of_account(account).is_empty() {
            return false;
        }
        let text = format!(
            "Login code: {code}. Do not give this code to anyone, even if they say they are \
             from Telegram!\n\n\
             This code can be used to log in to your Telegram account. We never ask it for \
             anything else.\n\n\
             If you didn't request this code by trying to log in on another device, simply \
             ignore this message."
        );
        self.tell(account, text);
        true
    }
}
