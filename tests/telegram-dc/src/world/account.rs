//! One account: its profile, box and what it has read.

use std::collections::{HashMap, HashSet, VecDeque};

use super::mailbox::Mailbox;
use crate::model::{Chat, Form, Refusal, User};
use crate::srp::Verifier;

/// How many `random_id`s an account's sends are compared with.
const REMEMBERED_SENDS: usize = 20_000;

/// How long a login code is good for, in seconds.
const CODE_LIFETIME: i32 = 300;

/// A send that was carried out, to be answered the same way again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) chat: Chat,
    pub(crate) id: i32,
    pub(crate) pts: i32,
}

/// An account.
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) mailbox: Mailbox,
    pub(crate) password: Option<Verifier>,
    pub(crate) form: Form,
    /// The newest message read in each chat.
    pub(crate) read: HashMap<Chat, i32>,
    /// Who has written to it, which lets a bot write to them.
    pub(crate) started_by: HashSet<i64>,
    /// Its live connections.
    pub(crate) links: Vec<u64>,
    /// The login code that was sent: its hash, and when.
    code: Option<(String, i32)>,
    sends: HashMap<i64, Done>,
    send_order: VecDeque<i64>,
}

impl Account {
    pub(crate) fn new(user: User) -> Self {
        Self {
            password: user.password.as_deref().map(Verifier::new),
            user,
            mailbox: Mailbox::new(),
            form: Form::default(),
            read: HashMap::new(),
            started_by: HashSet::new(),
            links: Vec::new(),
            code: None,
            sends: HashMap::new(),
            send_order: VecDeque::new(),
        }
    }

    /// What a `random_id` did when it came first.
    pub(crate) fn done(&self, random_id: i64) -> Option<Done> {
        self.sends.get(&random_id).copied()
    }

    /// Remembers what a `random_id` did.
    pub(crate) fn remember(&mut self, random_id: i64, done: Done) {
        self.sends.insert(random_id, done);
        self.send_order.push_back(random_id);
        if self.send_order.len() > REMEMBERED_SENDS
            && let Some(oldest) = self.send_order.pop_front()
        {
            self.sends.remove(&oldest);
        }
    }

    /// The code that signs this account in: fixed, so that tests can know it.
    pub(crate) fn login_code(&self) -> String {
        let derived = || format!("{:05}", self.user.id.unsigned_abs() * 7919 % 100_000);
        self.user.login_code.clone().unwrap_or_else(derived)
    }

    /// Sends the login code, as it were; the hash that signing in has to name.
    pub(crate) fn send_code(&mut self, now: i32) -> String {
        let hash = format!("{:016x}", crate::random::id());
        self.code = Some((hash.clone(), now));
        hash
    }

    /// Makes the code that was sent too old.
    pub(crate) fn expire_code(&mut self) {
        if let Some((_, sent)) = &mut self.code {
            *sent = sent.saturating_sub(CODE_LIFETIME + 1);
        }
    }

    /// The hash of the code that was sent last.
    pub(crate) fn code_hash(&self) -> Option<&str> {
        self.code.as_ref().map(|(hash, _)| hash.as_str())
    }

    /// Checks a login code and uses it up.
    pub(crate) fn check_code(&mut self, hash: &str, code: &str, now: i32) -> Result<(), Refusal> {
        match &self.code {
            _ if code.is_empty() => Err(Refusal::bad("PHONE_CODE_EMPTY")),
            Some((sent, _)) if sent != hash => Err(Refusal::bad("PHONE_CODE_HASH_INVALID")),
            Some((_, at)) if now - at <= CODE_LIFETIME => {
                if code != self.login_code() {
                    return Err(Refusal::bad("PHONE_CODE_INVALID"));
                }
                self.code = None;
                Ok(())
            }
            Some(_) | None => Err(Refusal::bad("PHONE_CODE_EXPIRED")),
        }
    }
}
