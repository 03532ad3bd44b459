//! Sending messages: each once, however often it has to be tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grammers_session::types::{PeerAuth, PeerId, PeerRef};
use grammers_tl_types as tl;
use grammers_tl_types::enums::updates::Difference;
use metrics::counter;
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::call::{ALREADY_SENT, CallError, Gate, Guard, LOCKED, Link, OUT_OF_TOUCH};
use super::incoming::{Incoming, peer_id, remember};
use super::outgoing::{Outgoing, upload};
use super::reply::Reply;
use super::session::FileSession;
use crate::broker::{Broker, BrokerError};
use crate::domain::caller::ChatKind;
use crate::telemetry::metrics::{REPLIES_LATE, REPLIES_LOST};
use crate::telemetry::stage::{Stage, timed};

/// How long a reply is tried: through a long outage, and the longest flood wait that is usual.
const TRY_FOR: Duration = Duration::from_hours(1);
/// How long a secret is: whoever asked has left, and it should neither wait in our memory nor
/// come up on an unwatched screen. Then a notice goes in its place, for the rest of the hour.
const TRY_SECRET_FOR: Duration = Duration::from_mins(10);
/// The notice.
const TOO_LATE: &str =
    "Telegram did not take my answer in time, so I dropped the secret; ask again.";

/// Sends messages.
pub(super) struct Outbox {
    link: Arc<Link>,
    session: Arc<FileSession>,
    broker: Arc<Broker>,
    gate: Gate,
    uploads_gate: Gate,
    /// Replies that are not sent yet.
    waiting: AtomicUsize,
    /// One look-up of an unknown sender at a time; the next may find it done.
    lookup: tokio::sync::Mutex<()>,
}

/// What came of sending a message.
pub(super) struct Sending {
    /// The last word on it.
    pub(super) result: Result<Sent, CallError>,
    /// When the first try began of which nobody knows whether it arrived; it may have, then,
    /// whatever came of the later ones.
    pub(super) unclear: Option<Instant>,
}

/// What is known of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It arrived under this id.
    Id(i32),
    /// It arrived at an earlier try whose answer was lost, so under an id we do not know.
    Earlier,
    /// A notice arrived in place of a secret that was too late.
    Notice,
}

impl Outbox {
    pub(super) fn new(link: Arc<Link>, session: Arc<FileSession>, broker: Arc<Broker>) -> Self {
        Self {
            link,
            session,
            broker,
            gate: Gate::new(),
            uploads_gate: Gate::new(),
            waiting: AtomicUsize::new(0),
            lookup: tokio::sync::Mutex::new(()),
        }
    }

    /// Sends `reply`. `random_id` makes all tries one message.
    pub(super) async fn send(
        &self,
        peer: tl::enums::InputPeer,
        reply: Reply,
        reply_to: Option<i32>,
        random_id: i64,
    ) -> Sending {
        timed(
            Stage::Message,
            self.deliver(peer, reply, reply_to, random_id),
        )
        .await
    }

    async fn deliver(
        &self,
        peer: tl::enums::InputPeer,
        reply: Reply,
        reply_to: Option<i32>,
        random_id: i64,
    ) -> Sending {
        let _waiting = Waiting::new(&self.waiting);
        let began = Instant::now();
        let mut unclear = None;
        let secret = reply.secret;
        let guard = Guard {
            broker: &self.broker,
            unlocked: reply.guarded,
            // Under another, the intent to delete it may be gone.
            term: self.broker.term().filter(|_| secret),
        };
        let try_for = if secret { TRY_SECRET_FOR } else { TRY_FOR };
        let mut peer = peer;
        let mut first = Outgoing::new(peer.clone(), reply, reply_to, random_id);
        let mut result = self
            .try_until(&mut first, began + try_for, &mut unclear, guard)
            .await;
        if result.as_ref().is_err_and(is_stale)
            && let Some(fresh) = self.look_up_again(&peer).await
        {
            peer = fresh;
            first.address(peer.clone());
            result = self
                .try_until(&mut first, began + try_for, &mut unclear, guard)
                .await;
        }
        // Its text is wiped here, before the notice waits.
        drop(first);
        let notice = match &result {
            Err(CallError::Refused(reason)) if reason == LOCKED => Some(Reply::locked()),
            Err(CallError::Refused(reason)) if reason == OUT_OF_TOUCH => {
                Some(Reply::failed(&BrokerError::OutOfTouch))
            }
            Err(error) if secret && error.may_pass() => {
                counter!(REPLIES_LATE).increment(1);
                warn!(event = "telegram.reply_late");
                Some(Reply::plain(TOO_LATE))
            }
            Ok(_) | Err(_) => None,
        };
        if let Some(notice) = notice {
            // Under the same random id: should the secret have arrived after all, this does not.
            let mut notice = Outgoing::new(peer, notice, reply_to, random_id);
            let guard = Guard {
                unlocked: false,
                term: None,
                ..guard
            };
            let sent = self
                .try_until(&mut notice, began + TRY_FOR, &mut unclear, guard)
                .await;
            result = sent.map(|_| Sent::Notice);
        }
        if result.as_ref().is_err_and(CallError::may_pass) {
            counter!(REPLIES_LOST).increment(1);
        }
        Sending { result, unclear }
    }

    async fn try_until(
        &self,
        outgoing: &mut Outgoing,
        deadline: Instant,
        unclear: &mut Option<Instant>,
        guard: Guard<'_>,
    ) -> Result<Sent, CallError> {
        let guard = Some(guard);
        let random_id = outgoing.random_id();
        let (link, gate) = (&self.link, &self.gate);
        let result = match outgoing {
            Outgoing::Text(request) => {
                let trying = link.persist_noting(&**request, gate, deadline, unclear, guard);
                trying.await
            }
            Outgoing::File(document, request) => {
                let uploads = &self.uploads_gate;
                match upload(link, uploads, document, random_id, deadline).await {
                    Ok(media) => {
                        request.media = media;
                        let trying =
                            link.persist_noting(&**request, gate, deadline, unclear, guard);
                        trying.await
                    }
                    Err(error) => Err(error),
                }
            }
        };
        match result {
            Ok(updates) => Ok(sent_id(&updates, random_id).map_or(Sent::Earlier, Sent::Id)),
            Err(CallError::Refused(reason)) if reason == ALREADY_SENT => Ok(Sent::Earlier),
            Err(error) => Err(error),
        }
    }

    /// How many replies are not sent yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How long Telegram wants us to wait before the next message.
    pub(super) fn flood_wait(&self) -> Duration {
        self.gate.closed_for()
    }

    /// A line about what waits, for `/status`; empty when nothing does.
    pub(super) fn queue(&self, now: OffsetDateTime) -> String {
        let (waiting, wait) = (self.waiting(), self.flood_wait());
        let until = if wait.is_zero() {
            String::new()
        } else {
            let open = now + wait;
            format!(
                ", until {:02}:{:02}:{:02} UTC, as Telegram wants it",
                open.hour(),
                open.minute(),
                open.second()
            )
        };
        match waiting {
            0 if until.is_empty() => String::new(),
            _ => format!("\nReplies waiting: {waiting}{until}"),
        }
    }

    /// How to address the chat of `message`; `None` for a group we know nothing of.
    pub(super) fn chat(&self, message: &Incoming) -> Option<tl::enums::InputPeer> {
        let hash = self.session.access_hash(message.chat);
        hash.map(|hash| input_peer(message.chat, hash))
    }

    /// How to address the sender of `message` in private. A short update names its sender by
    /// number only; the account's difference from just before it tells the rest.
    pub(super) async fn sender(&self, message: &Incoming) -> Option<tl::enums::InputPeer> {
        let user = message.envelope.sender?;
        let id = PeerId::user(user)?;
        if let Some(hash) = self.session.access_hash(id) {
            return Some(input_peer(id, hash));
        }
        let _one_at_a_time = self.lookup.lock().await;
        if self.session.access_hash(id).is_none()
            && let Some(pts) = message.pts_before
        {
            self.look_up(pts, message.envelope.date).await;
        }
        if let Some(hash) = self.session.access_hash(id) {
            return Some(input_peer(id, hash));
        }
        match message.envelope.chat {
            // In a group, a member can be named by a message.
            Some(ChatKind::Group) => Some(
                tl::types::InputPeerUserFromMessage {
                    peer: self.chat(message)?,
                    msg_id: message.id,
                    user_id: user,
                }
                .into(),
            ),
            // Contacts, and anybody for a bot, can be named without more.
            Some(ChatKind::Private) | None => Some(input_peer(id, 0)),
        }
    }

    /// Somebody whose access hash Telegram no longer takes: their message made their chat one
    /// of the latest. `None` where it is not there; a bot cannot look, and needs no hash.
    async fn look_up_again(&self, peer: &tl::enums::InputPeer) -> Option<tl::enums::InputPeer> {
        let tl::enums::InputPeer::User(user) = peer else {
            return None;
        };
        let id = PeerId::user(user.user_id)?;
        let page = self.link.dialogs(&self.session).await;
        let page = page
            .inspect_err(|error| debug!(event = "telegram.sender.unknown", %error))
            .ok()??;
        let mut chats = page.dialogs.iter();
        chats.find(|dialog| peer_id(&dialog.peer) == Some(id))?;
        self.session
            .access_hash(id)
            .map(|hash| input_peer(id, hash))
    }

    async fn look_up(&self, pts: i32, date: i64) {
        let request = tl::functions::updates::GetDifference {
            pts,
            pts_limit: None,
            pts_total_limit: None,
            date: i32::try_from(date).unwrap_or(1).max(1),
            qts: self.session.read_until().qts,
            qts_limit: None,
        };
        let difference = match self.link.invoke(&request).await {
            Ok(difference) => difference,
            Err(error) => {
                debug!(event = "telegram.sender.unknown", %error);
                return;
            }
        };
        match difference {
            Difference::Difference(all) => remember(&self.session, &all.users, &all.chats),
            Difference::Slice(part) => remember(&self.session, &part.users, &part.chats),
            Difference::Empty(_) | Difference::TooLong(_) => {}
        }
    }
}

/// Whether the server does not know whom we mean.
fn is_stale(error: &CallError) -> bool {
    matches!(error, CallError::Refused(reason)
        if matches!(reason.as_str(), "PEER_ID_INVALID" | "USER_ID_INVALID" | "ACCESS_HASH_INVALID"))
}

/// Counts a reply for as long as it is not sent.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A peer in calls.
pub(super) fn input_peer(id: PeerId, hash: i64) -> tl::enums::InputPeer {
    let auth = PeerAuth::from_hash(hash);
    tl::enums::InputPeer::from(PeerRef { id, auth })
}

/// The id the server gave the message, from the short or the long form of its answer.
fn sent_id(updates: &tl::enums::Updates, random_id: i64) -> Option<i32> {
    use tl::enums::Updates;
    let list = match updates {
        Updates::UpdateShortSentMessage(sent) => return Some(sent.id),
        Updates::Updates(long) => &long.updates,
        Updates::Combined(long) => &long.updates,
        Updates::TooLong
        | Updates::UpdateShortMessage(_)
        | Updates::UpdateShortChatMessage(_)
        | Updates::UpdateShort(_) => return None,
    };
    list.iter().find_map(|update| {
        if let tl::enums::Update::MessageId(given) = update
            && given.random_id == random_id
        {
            Some(given.id)
        } else {
            None
        }
    })
}
