//! Finding the secrets we sent into a chat: by their mark, and by what carries the secret.

use grammers_session::types::PeerId;
use grammers_tl_types as tl;
use grammers_tl_types::enums::messages::Messages;
use tokio::time::{Duration, Instant};

use super::call::{CallError, Gate, Link};
use super::outbox::input_peer;
use super::reply::SECRET_MARK;

/// Messages in one call.
pub(super) const PAGE: i32 = 100;
/// How long one call is tried.
const TRY_FOR: Duration = Duration::from_mins(1);
/// How far our clock and Telegram's may differ, in seconds.
const CLOCK_SLACK: i64 = 60;
/// How long after its intent a secret may still arrive, in seconds: as long as a reply is tried.
const LATEST: i64 = 15 * 60;
/// So many numbers in a row without a message are the end of them: a bot's newest messages were
/// deleted at most so many at a time.
const END: i32 = 1000;
/// What a method for people says to a bot.
const NOT_FOR_BOTS: &str = "BOT_METHOD_INVALID";

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The private chat's user.
    pub(super) user: PeerId,
    /// How to address it.
    pub(super) hash: i64,
    /// When the first of them was about to be sent, in unix seconds.
    pub(super) since: i64,
    /// When the last of them was about to be sent, in unix seconds.
    pub(super) until: i64,
    /// A message older than all of them, in the account's own numbering; 0 where none is known.
    pub(super) after: i32,
}

/// A secret we sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The message.
    pub(super) id: i32,
    /// When it was sent, in unix seconds.
    pub(super) date: i64,
}

/// The secrets we sent since then.
pub(super) async fn secrets(
    link: &Link,
    gate: &Gate,
    wanted: &Wanted,
) -> Result<Vec<Found>, CallError> {
    match in_history(link, gate, wanted).await {
        Err(CallError::Refused(reason)) if reason == NOT_FOR_BOTS => {
            by_number(link, gate, wanted).await
        }
        result => result,
    }
}

/// Reads the chat backwards, from its end.
async fn in_history(link: &Link, gate: &Gate, wanted: &Wanted) -> Result<Vec<Found>, CallError> {
    let mut found = vec![];
    let mut request = tl::functions::messages::GetHistory {
        peer: input_peer(wanted.user, wanted.hash),
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: PAGE,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    loop {
        let deadline = Instant::now() + TRY_FOR;
        let messages = list(link.persist(&request, gate, deadline).await?);
        let mut last = None;
        for message in &messages {
            last = Some(message.id());
            let tl::enums::Message::Message(message) = message else {
                continue;
            };
            if i64::from(message.date) < wanted.since - CLOCK_SLACK {
                return Ok(found);
            }
            if is_our_secret(message) {
                found.push(Found {
                    id: message.id,
                    date: message.date.into(),
                });
            }
        }
        match last {
            Some(id) if id != request.offset_id => request.offset_id = id,
            _ => return Ok(found),
        }
    }
}

/// Looks at every message of the account, forwards: a bot can only name messages by number.
async fn by_number(link: &Link, gate: &Gate, wanted: &Wanted) -> Result<Vec<Found>, CallError> {
    if wanted.after == 0 {
        return Err(CallError::Refused("no number to search from".to_owned()));
    }
    let user = tl::enums::Peer::from(wanted.user);
    let (mut found, mut next, mut empty) = (vec![], wanted.after, 0);
    while empty < END {
        let first = next.saturating_add(1);
        next = next.saturating_add(PAGE);
        let id = |id| tl::types::InputMessageId { id }.into();
        let request = tl::functions::messages::GetMessages {
            id: (first..=next).map(id).collect(),
        };
        let deadline = Instant::now() + TRY_FOR;
        empty += PAGE;
        for message in list(link.persist(&request, gate, deadline).await?) {
            let tl::enums::Message::Message(message) = message else {
                continue;
            };
            empty = 0;
            if i64::from(message.date) > wanted.until + LATEST {
                return Ok(found);
            }
            if message.peer_id == user && is_our_secret(&message) {
                found.push(Found {
                    id: message.id,
                    date: message.date.into(),
                });
            }
        }
    }
    Ok(found)
}

pub(super) fn list(page: Messages) -> Vec<tl::enums::Message> {
    match page {
        Messages::Messages(all) => all.messages,
        Messages::Slice(part) => part.messages,
        Messages::ChannelMessages(part) => part.messages,
        Messages::NotModified(_) => vec![],
    }
}

/// Ours, marked, and with something that carries a secret. People may begin a text with the mark
/// too, but not in our name.
fn is_our_secret(message: &tl::types::Message) -> bool {
    use tl::enums::{MessageEntity, MessageMedia};
    let mut entities = message.entities.iter().flatten();
    let hides =
        entities.any(|entity| matches!(entity, MessageEntity::Spoiler(_) | MessageEntity::Pre(_)));
    let file = matches!(message.media, Some(MessageMedia::Document(_)));
    message.out && message.message.starts_with(SECRET_MARK) && (hides || file)
}
