//! MTProto that wipes what it has read, and keeps a call's body no longer than it must.
//!
//! grammers' sender hands each packet to [`Mtp::deserialize`] where it lies in the read buffer,
//! to be decrypted in place; that is the moment to wipe it. The sender takes only one call at a
//! time from outside, so calls are put in and answers taken out here too.

use std::sync::PoisonError;

use grammers_crypto::DequeBuffer;
use grammers_mtproto::MsgId;
use grammers_mtproto::mtp::{BadMessage, Deserialization, DeserializeError, Encrypted, Mtp};
use grammers_mtsender::InvocationError;
use grammers_session::updates::UpdatesLike;
use grammers_tl_types::{self as tl, Deserializable, Identifiable};
use tokio::sync::mpsc::{self, error::TrySendError};
use tracing::warn;
use zeroize::Zeroize;

use super::call::CallError;
use super::line::{Call, Queue};
use super::own_words;

/// See the module.
pub(super) struct Forgetful {
    mtp: Encrypted,
    /// Calls that are new.
    queue: Queue,
    /// Calls that wait for their answer.
    waiting: Vec<Waiting>,
    updates: mpsc::Sender<UpdatesLike>,
}

struct Waiting {
    call: Call,
    /// Its message and the container that went around it; `None` while it is not sent.
    sent: Option<(MsgId, MsgId)>,
}

impl Forgetful {
    pub(super) fn new(mtp: Encrypted, queue: Queue, updates: mpsc::Sender<UpdatesLike>) -> Self {
        Self {
            mtp,
            queue,
            waiting: vec![],
            updates,
        }
    }

    /// Does with a result what is ours to do, and gives back those of the sender's own calls.
    fn take(&mut self, result: Deserialization) -> Result<Option<Deserialization>, TooMany> {
        Ok(match result {
            Deserialization::Update(update) => {
                let update = read_updates(&update).unwrap_or(UpdatesLike::MalformedUpdates);
                self.pass_on(update)?;
                None
            }
            Deserialization::OwnUpdate { msg_id, update } => {
                // What cannot be read is an error to whoever made the call.
                if let Some(update) = read_updates(&update) {
                    self.pass_on(self.completed(msg_id, update))?;
                }
                None
            }
            Deserialization::RpcResult(result) => match self.answered(result.msg_id) {
                Some(call) => answer(call, Ok(result.body)),
                None => Some(Deserialization::RpcResult(result)),
            },
            Deserialization::RpcError(error) => match self.answered(error.msg_id) {
                Some(call) => answer(call, Err(InvocationError::Rpc(error.error.into()))),
                None => Some(Deserialization::RpcError(error)),
            },
            Deserialization::Failure(failure) => match self.answered(failure.msg_id) {
                Some(call) => answer(call, Err(failure.error.into())),
                None => Some(Deserialization::Failure(failure)),
            },
            Deserialization::BadMessage(bad) => {
                self.bad_message(&bad);
                // The container may have held one of the sender's too.
                Some(Deserialization::BadMessage(bad))
            }
        })
    }

    fn pass_on(&self, mut update: UpdatesLike) -> Result<(), TooMany> {
        own_words::take_out(&mut update);
        match self.updates.try_send(update) {
            // Nobody listens any more: the connection is on its way down.
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(TooMany),
        }
    }

    /// The update that one of our calls led to, with what only the call knows.
    fn completed(&self, msg_id: MsgId, update: UpdatesLike) -> UpdatesLike {
        use tl::functions::{channels::DeleteMessages, messages::SendMessage};
        let body = self.waiting.iter().find_map(|waiting| {
            let (id, _) = waiting.sent?;
            (id == msg_id).then_some(waiting.call.body.as_slice())
        });
        match update {
            UpdatesLike::Updates(tl::enums::Updates::UpdateShortSentMessage(update)) => {
                match body.and_then(read_request::<SendMessage>) {
                    Some(request) => UpdatesLike::ShortSentMessage { request, update },
                    None => UpdatesLike::Updates(update.into()),
                }
            }
            // The call was given up, and whose counter this is went with it: all is fetched.
            UpdatesLike::AffectedMessages(_) if body.is_none() => {
                UpdatesLike::Updates(tl::enums::Updates::TooLong)
            }
            UpdatesLike::AffectedMessages(affected) => match body.and_then(read_request) {
                Some(DeleteMessages {
                    channel: tl::enums::InputChannel::Channel(channel),
                    id,
                }) => UpdatesLike::AffectedChannelMessages {
                    affected,
                    channel_id: channel.channel_id,
                    message_ids: id,
                },
                Some(_) | None => UpdatesLike::AffectedMessages(affected),
            },
            other @ (UpdatesLike::Updates(_)
            | UpdatesLike::ShortSentMessage { .. }
            | UpdatesLike::AffectedChannelMessages { .. }
            | UpdatesLike::InvitedUsers(_)
            | UpdatesLike::ChatInviteJoinResult(_)
            | UpdatesLike::ConnectionClosed
            | UpdatesLike::MalformedUpdates) => other,
        }
    }

    /// The call that was sent as this message; it is over.
    fn answered(&mut self, msg_id: MsgId) -> Option<Call> {
        let is_it = |waiting: &Waiting| waiting.sent.is_some_and(|(id, _)| id == msg_id);
        let place = self.waiting.iter().position(is_it)?;
        Some(self.waiting.swap_remove(place).call)
    }

    /// The server did not take a message, or a container: what was in it is sent again, where
    /// that helps.
    fn bad_message(&mut self, bad: &BadMessage) {
        let concerned = |waiting: &Waiting| {
            let ids = waiting.sent;
            ids.is_some_and(|(id, around)| id == bad.msg_id || around == bad.msg_id)
        };
        if bad.retryable() {
            for waiting in self.waiting.iter_mut().filter(|one| concerned(one)) {
                waiting.sent = None;
            }
            return;
        }
        warn!(event = "telegram.message_refused", why = bad.description());
        // Those who wait for an answer hear that there will be none.
        self.waiting.retain(|waiting| !concerned(waiting));
    }

    /// Takes up what is new, and drops what nobody waits for any more: it may be a secret.
    fn take_up(&mut self) {
        self.waiting
            .retain(|waiting| !waiting.call.answer.is_closed());
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let new = queue.drain(..).map(|call| Waiting { call, sent: None });
        self.waiting.extend(new);
    }
}

impl Mtp for Forgetful {
    fn push(&mut self, buffer: &mut DequeBuffer<u8>, request: &[u8]) -> Option<MsgId> {
        self.mtp.push(buffer, request)
    }

    fn finalize(&mut self, buffer: &mut DequeBuffer<u8>) -> Option<MsgId> {
        self.take_up();
        let mut pushed = vec![];
        let unsent = self.waiting.iter_mut().filter(|one| one.sent.is_none());
        for waiting in unsent {
            let Some(id) = self.mtp.push(buffer, &waiting.call.body) else {
                break;
            };
            // Without a container, the message goes by itself.
            pushed.push(waiting.sent.insert((id, id)));
        }
        let around = self.mtp.finalize(buffer)?;
        for sent in pushed {
            sent.1 = around;
        }
        Some(around)
    }

    fn deserialize(
        &mut self,
        payload: &mut [u8],
    ) -> Result<Vec<Deserialization>, DeserializeError> {
        let results = self.mtp.deserialize(payload);
        payload.zeroize();
        let mut others = vec![];
        for result in results? {
            let Ok(other) = self.take(result) else {
                // The next connection fetches what is missing; nothing is dropped unseen.
                warn!(event = "telegram.updates.too_many");
                return Err(DeserializeError::MessageBufferTooSmall);
            };
            others.extend(other);
        }
        Ok(others)
    }
}

/// More updates wait to be read than may.
struct TooMany;

/// Whoever asked may have given up meanwhile.
fn answer(call: Call, answer: Result<Vec<u8>, InvocationError>) -> Option<Deserialization> {
    call.answer.send(answer.map_err(CallError::from)).ok();
    None
}

/// Updates, or one of the answers that count as such.
fn read_updates(bytes: &[u8]) -> Option<UpdatesLike> {
    use tl::enums::messages::{AffectedMessages, ChatInviteJoinResult, InvitedUsers};
    if let Ok(updates) = tl::enums::Updates::from_bytes(bytes) {
        return Some(UpdatesLike::Updates(updates));
    }
    if let Ok(AffectedMessages::Messages(affected)) = AffectedMessages::from_bytes(bytes) {
        return Some(UpdatesLike::AffectedMessages(affected));
    }
    if let Ok(InvitedUsers::Users(invited)) = InvitedUsers::from_bytes(bytes) {
        return Some(UpdatesLike::InvitedUsers(invited));
    }
    match ChatInviteJoinResult::from_bytes(bytes) {
        Ok(ChatInviteJoinResult::Ok(joined)) => Some(UpdatesLike::ChatInviteJoinResult(joined)),
        Ok(_) | Err(_) => None,
    }
}

/// The call that `body` is, if it is one of these.
fn read_request<R: Identifiable + Deserializable>(body: &[u8]) -> Option<R> {
    let (id, fields) = body.split_first_chunk()?;
    if u32::from_le_bytes(*id) != R::CONSTRUCTOR_ID {
        return None;
    }
    R::from_bytes(fields).ok()
}

#[cfg(test)]
mod tests {
    use grammers_tl_types::{Serializable, enums, types};
    use tokio::sync::oneshot;

    use super::*;
    use crate::telegram::outgoing::Outgoing;
    use crate::telegram::reply::Reply;

    const SECRET: &str = "hunter2-hunter2";

    /// A line on which one call was sent.
    struct Stand {
        line: Forgetful,
        /// The call's message.
        sent: MsgId,
        answered: Option<oneshot::Receiver<Result<Vec<u8>, CallError>>>,
        updates: mpsc::Receiver<UpdatesLike>,
    }

    impl Stand {
        fn sending(body: Vec<u8>) -> Self {
            let (passed_on, updates) = mpsc::channel(9);
            let mtp = Encrypted::build().finish([7; 256]);
            let mut line = Forgetful::new(mtp, Queue::default(), passed_on);
            let (answer, answered) = oneshot::channel();
            line.queue.lock().unwrap().push_back(Call { body, answer });
            write(&mut line);
            let (sent, _) = line.waiting[0].sent.unwrap();
            Self {
                line,
                sent,
                answered: Some(answered),
                updates,
            }
        }

        /// What is passed on of an update that the call led to.
        fn led_to(&mut self, update: &impl Serializable) -> UpdatesLike {
            let update = update.to_bytes();
            let own = Deserialization::OwnUpdate {
                msg_id: self.sent,
                update,
            };
            assert!(matches!(self.line.take(own), Ok(None)));
            self.updates.try_recv().expect("something is passed on")
        }
    }

    /// What the sender does whenever there is something to write.
    fn write(line: &mut Forgetful) {
        line.finalize(&mut DequeBuffer::with_capacity(1 << 10, 1 << 6));
    }

    fn bold() -> Vec<enums::MessageEntity> {
        let (offset, length) = (0, 3);
        vec![types::MessageEntityBold { offset, length }.into()]
    }

    fn send() -> Vec<u8> {
        let reply = Reply {
            text: SECRET.to_owned(),
            entities: bold(),
            ..Reply::default()
        };
        match Outgoing::new(enums::InputPeer::PeerSelf, reply, None, 1) {
            Outgoing::Text(request) => request.to_bytes(),
            Outgoing::File(..) => panic!("a file"),
        }
    }

    #[test]
    fn what_we_sent_does_not_wait_among_the_updates() {
        let mut stand = Stand::sending(send());
        let update = stand.led_to(&enums::Updates::from(types::UpdateShortSentMessage {
            out: true,
            id: 8,
            pts: 12,
            pts_count: 1,
            date: 5,
            media: None,
            entities: Some(bold()),
            ttl_period: None,
        }));
        let UpdatesLike::ShortSentMessage { request, update } = update else {
            panic!("something else is passed on");
        };
        assert_eq!((request.message.as_str(), request.entities), ("", None));
        assert_eq!((update.id, update.pts, update.entities), (8, 12, None));
    }

    #[test]
    fn a_late_answer_counts_against_no_wrong_counter() {
        let affected = enums::messages::AffectedMessages::from(types::messages::AffectedMessages {
            pts: 12,
            pts_count: 1,
        });
        let channel = types::InputChannel {
            channel_id: 7,
            access_hash: 1,
        };
        let delete = tl::functions::channels::DeleteMessages {
            channel: channel.into(),
            id: vec![3],
        };
        let mut stand = Stand::sending(delete.to_bytes());
        let UpdatesLike::AffectedChannelMessages { channel_id: 7, .. } = stand.led_to(&affected)
        else {
            panic!("it is the channel's");
        };
        drop(stand.answered.take());
        write(&mut stand.line);
        let UpdatesLike::Updates(enums::Updates::TooLong) = stand.led_to(&affected) else {
            panic!("nobody knows whose it is");
        };
        let delete = tl::functions::messages::DeleteMessages {
            revoke: true,
            id: vec![3],
        };
        let mut stand = Stand::sending(delete.to_bytes());
        let UpdatesLike::AffectedMessages(_) = stand.led_to(&affected) else {
            panic!("it is the account's");
        };
    }

    #[test]
    fn what_others_write_stays_and_what_we_wrote_goes() {
        for (out, expected) in [(true, ""), (false, SECRET)] {
            let mut stand = Stand::sending(vec![]);
            let update = stand.led_to(&enums::Updates::from(types::UpdateShortMessage {
                out,
                mentioned: false,
                media_unread: false,
                silent: false,
                id: 8,
                user_id: 9,
                message: SECRET.to_owned(),
                pts: 12,
                pts_count: 1,
                date: 5,
                fwd_from: None,
                via_bot_id: None,
                reply_to: None,
                entities: Some(bold()),
                ttl_period: None,
            }));
            let UpdatesLike::Updates(enums::Updates::UpdateShortMessage(short)) = update else {
                panic!("something else is passed on");
            };
            assert_eq!((short.message.as_str(), short.pts), (expected, 12));
            assert_eq!(short.entities.is_none(), out);
        }
    }
}
