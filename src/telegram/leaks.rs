//! Values that were handed out, pasted into a chat that is watched: the message goes, the admins
//! are told, and it is on record.
//!
//! Whoever wrote the message, and whether or not they may command: nothing of its text is kept,
//! logged or told, only where it stood and what was in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grammers_session::types::PeerId;
use metrics::counter;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::admission::Verdict;
use super::backoff::Backoff;
use super::command::parse;
use super::handler::Handler;
use super::incoming::Incoming;
use super::news::{Named, TELL};
use super::progress::Batch;
use super::withdrawal::Withdrawn;
use crate::broker::ports::{Claim, Coordination, CoordinationError};
use crate::broker::{Heir, Holder, Leak};
use crate::domain::RequestId;
use crate::telemetry::metrics::LEAKS;

/// Where what the admins are still to be told is kept.
const UNTOLD: &str = "leaks/untold/";
/// Where it is kept which messages are told of, or will be.
const SEEN: &str = "leaks/seen/";
/// How long that is kept, and what was found where: as long as values are known.
const REMEMBER: time::Duration = time::Duration::days(1);
/// The most that is remembered of what was found; beyond, it may count as new again.
const MAX_FOUND: usize = 10_000;
/// The longest that leaks make a message to the admins, in UTF-16 units: Telegram takes 4096.
const MOST: usize = 3500;
/// The most holders of each that are named in it.
const MAX_NAMED: usize = 8;

const LEAK: Named = Named {
    told: "telegram.leak.told",
    untold: "telegram.leak.untold",
};

/// The chats that are watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WatchedChats {
    /// None.
    #[default]
    None,
    /// Every chat that the account is in, those with single people included.
    All,
    /// Those with these ids, in the Bot API's notation.
    These(BTreeSet<i64>),
}

impl WatchedChats {
    fn has(&self, chat: PeerId) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(ids) => chat.bot_api_dialog_id().is_some_and(|id| ids.contains(&id)),
        }
    }
}

/// What the admins are to be told.
pub(super) struct Leaks {
    coordination: Arc<dyn Coordination>,
    /// What this process is to tell, by its key.
    untold: Mutex<BTreeMap<String, String>>,
    /// What was found in which message, and when.
    found: Mutex<HashMap<String, OffsetDateTime>>,
    news: Notify,
}

impl Leaks {
    pub(super) fn new(coordination: &Arc<dyn Coordination>) -> Self {
        Self {
            coordination: Arc::clone(coordination),
            untold: Mutex::default(),
            found: Mutex::default(),
            news: Notify::new(),
        }
    }

    fn untold(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what processes that ended did not tell.
    async fn inherit(&self) -> Result<(), CoordinationError> {
        let left = self.coordination.inherit(UNTOLD).await?.into_iter();
        let left = left.map(|(key, text)| (key, String::from_utf8_lossy(&text).into_owned()));
        self.untold().extend(left);
        Ok(())
    }

    /// Those of `leaks` that this process did not find in the message before: clients edit messages
    /// by themselves, and one that we may not delete comes again.
    fn new_in(&self, message: &RequestId, leaks: Vec<Leak>, now: OffsetDateTime) -> Vec<Leak> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.retain(|_, at| *at + REMEMBER > now);
        let new = leaks.into_iter().filter(|leak| {
            let name = name(message, leak);
            if found.contains_key(&name) {
                return false;
            }
            if found.len() >= MAX_FOUND {
                found.clear();
            }
            found.insert(name, now);
            true
        });
        new.collect()
    }

    /// Whether it is for this process to tell of the message that `seen` names. Other replicas see the
    /// same message, and each may know other values in it.
    async fn is_to_tell(&self, seen: &str, now: OffsetDateTime) -> bool {
        match self.coordination.claim(seen, now + REMEMBER).await {
            Ok(Claim::Ours | Claim::Abandoned) => true,
            Ok(Claim::Taken | Claim::Done) => false,
            Err(error) => {
                warn!(event = "telegram.leaks.unclear", %error);
                true
            }
        }
    }

    /// It is told of, or will be, and what this process knows of it is on record, or will be: a later
    /// process need not look at it again.
    async fn finish(&self, seen: &str) {
        if let Err(error) = self.coordination.finish(seen).await {
            warn!(event = "telegram.leaks.unwritable", %error);
        }
    }
}

impl Handler {
    /// Takes care of a message that holds values that were handed out; whether it is one.
    pub(super) fn accept_leak(
        self: &Arc<Self>,
        message: &Incoming,
        text: &str,
        verdict: Verdict,
        batch: &Batch,
    ) -> bool {
        let envelope = &message.envelope;
        let own = envelope.outgoing || envelope.sender == Some(self.rules.me);
        if own || !self.settings.watched_chats.has(message.chat) {
            return false;
        }
        let leaks = self.broker.leaks_in(text);
        let id = message.request_id();
        let Some(id) = id.filter(|_| !leaks.is_empty() && !self.is_for_us(text, verdict)) else {
            return false;
        };
        let pasted = Pasted {
            chat: message.chat,
            number: message.id,
            edited_at: message.edited_at,
            writer: envelope.sender,
            id,
        };
        let handler = Arc::clone(self);
        let ticket = batch.ticket();
        self.tasks.spawn(async move {
            let work = handler.take_care(pasted, leaks);
            tokio::select! {
                biased;
                () = handler.closed.cancelled() => {}
                () = work => ticket.done(),
            }
        });
        true
    }

    /// Whether somebody sends us a value, as they should: that message goes anyway.
    fn is_for_us(&self, text: &str, verdict: Verdict) -> bool {
        let (Verdict::SecondHand { chat, .. }
        | Verdict::TooOld { chat, .. }
        | Verdict::Ahead { chat, .. }
        | Verdict::Admit { chat, .. }) = verdict
        else {
            return false;
        };
        let username = self.username();
        let parsed = parse(text, username.as_deref(), chat, self.broker.mounts());
        parsed.is_some_and(|parsed| parsed.sensitive)
    }

    async fn take_care(&self, pasted: Pasted, leaks: Vec<Leak>) {
        let (id, writer) = (&pasted.id, pasted.writer);
        // First of all what helps.
        let withdrawing = self.withdrawals.withdraw(pasted.chat, pasted.number, id);
        let now = self.clock.now();
        let leaks = self.leaks.new_in(id, leaks, now);
        if leaks.is_empty() {
            withdrawing.await;
            return;
        }
        let event = pasted.event();
        let seen = format!("{SEEN}{event}");
        // Each replica records what it handed out; one tells.
        let (withdrawn, kept, tells) = tokio::join!(
            withdrawing,
            self.broker.leaked(&leaks, id, writer),
            self.leaks.is_to_tell(&seen, now)
        );
        let deleted = match withdrawn {
            Withdrawn::Gone => "yes",
            Withdrawn::NotAllowed => "not_allowed",
            Withdrawn::NotYet => "not_yet",
        };
        for leak in &leaks {
            counter!(LEAKS, "deleted" => deleted).increment(1);
            warn!(
                event = "telegram.leak",
                request = %id,
                writer,
                path = %leak.path,
                version = leak.version,
                field = leak.field,
                deleted,
            );
        }
        if !tells {
            return;
        }
        let company = self.broker.has_company();
        let text = told(id, writer, &leaks, withdrawn, company);
        let key = format!("{UNTOLD}{event}");
        let stored = self.leaks.coordination.put(&key, text.as_bytes()).await;
        if let Err(error) = stored {
            warn!(event = "telegram.leaks.unwritable", %error);
        }
        self.leaks.untold().insert(key, text);
        self.leaks.news.notify_one();
        // What nobody will put on record is looked at again, by whoever starts next.
        if kept.is_ok() {
            self.leaks.finish(&seen).await;
        }
    }

    /// Tells the admins what they were not told, also by processes that ended, for as long as it is
    /// polled.
    pub(super) async fn tell_of_leaks(&self) {
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_hours(1));
        let mut heir = Heir::new(&self.leaks.coordination);
        let mut inherits = true;
        loop {
            let mut again = false;
            if inherits && let Err(error) = self.leaks.inherit().await {
                warn!(event = "telegram.leaks.unreadable", %error);
                again = true;
            }
            let untold = self.leaks.untold().clone();
            for (key, text) in untold {
                if !self.tell_of_leak(&key, &text).await {
                    again = true;
                    continue;
                }
                self.leaks.untold().remove(&key);
                if let Err(error) = self.leaks.coordination.delete(&key).await {
                    warn!(event = "telegram.leaks.unwritable", %error);
                }
            }
            if !again {
                backoff.reset();
            }
            inherits = tokio::select! {
                () = self.leaks.news.notified() => inherits && again,
                () = sleep(backoff.next()), if again => inherits,
                () = heir.wait() => true,
            };
        }
    }

    /// Tells every admin; whether that is done with: somebody heard it, and nobody else may hear
    /// it later. The same key is told to nobody twice, whatever the text.
    async fn tell_of_leak(&self, key: &str, text: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let id = hasher.finish().cast_signed();
        let deadline = Instant::now() + TELL;
        self.tell_admins(text, id, deadline, LEAK).await
    }
}

/// A message with values in it.
struct Pasted {
    chat: PeerId,
    number: i32,
    edited_at: Option<i32>,
    writer: Option<i64>,
    id: RequestId,
}

impl Pasted {
    /// Names what happened, to all replicas alike: that it was written, or edited.
    fn event(&self) -> String {
        let id = &self.id;
        match self.edited_at {
            None => id.to_string(),
            Some(at) => format!("{id}/{at}"),
        }
    }
}

/// Names this leak in this message.
fn name(message: &RequestId, leak: &Leak) -> String {
    let (path, version, field) = (&leak.path, leak.version, &leak.field);
    format!("{message} {version:?} {path}#{field}")
}

/// A value that leaked, and who was given it lately.
fn described(leak: &Leak) -> String {
    let version = leak.version.map(|version| format!(", version {version}"));
    let (path, field) = (&leak.path, &leak.field);
    let mut text = format!("\n- {path}#{field}{}", version.unwrap_or_default());
    for holder in leak.holders.iter().take(MAX_NAMED) {
        let (hour, minute) = (holder.at.hour(), holder.at.minute());
        let Holder {
            caller, request, ..
        } = holder;
        text =
            format!("{text}\n  given to {caller} at {hour:02}:{minute:02} UTC (request {request})");
    }
    text
}

/// The length of a text as Telegram counts it.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// What the admins read. No name is in it that somebody could choose.
fn told(
    id: &RequestId,
    writer: Option<i64>,
    leaks: &[Leak],
    withdrawn: Withdrawn,
    company: bool,
) -> String {
    let (chat, message) = match id {
        RequestId::Message { chat, message } => (*chat, *message),
        RequestId::Press(_) | RequestId::Connection(_) => (0, 0),
    };
    let writer = writer.map_or_else(
        || "nobody in particular".to_owned(),
        |id| format!("user {id}"),
    );
    let mut text =
        format!("A secret was leaked: message {message} in chat {chat}, written by {writer}, held");
    let mut named = 0;
    for leak in leaks {
        let part = described(leak);
        if units(&text) + units(&part) > MOST {
            break;
        }
        text.push_str(&part);
        named += 1;
    }
    let more = leaks.len() - named;
    if more > 0 {
        text.extend(["\n- and ", &more.to_string(), " more; the audit has all"]);
    }
    text.push_str(match withdrawn {
        Withdrawn::Gone => "\nI deleted the message; whoever was there may have read it.",
        Withdrawn::NotAllowed => {
            "\nI may not delete it: delete it there, or make me an administrator who may."
        }
        Withdrawn::NotYet => "\nTelegram has not let me delete it yet; I go on trying.",
    });
    if company {
        text.push_str(" What other replicas handed out of it is in their audits.");
    }
    text.push_str(" Change the secret, with /rotate or where it was made.");
    text
}
