//! From a pressed button of a bot's question, or of a request's card, to what became of it.

use std::sync::Arc;
use std::time::Duration;

use grammers_tl_types as tl;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::buttons::{Choice, Press};
use super::call::{CallError, Guard};
use super::handler::{Handler, Origin};
use super::outbox::input_peer;
use super::progress::Batch;
use super::reply::changed::STALE;
use super::reply::{Part, Reply, random_id};
use crate::broker::Whose;
use crate::domain::caller::{ChatKind, TelegramUser};
use crate::domain::{ApprovalId, RequestId};

/// How long the presser's app waits for the answer to a press, by and large.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long the question is tried to be changed into what became of it.
const EDIT_WITHIN: Duration = Duration::from_mins(1);
/// What Telegram says when a message says so already.
pub(super) const SAME: &str = "MESSAGE_NOT_MODIFIED";
/// Longest answer to a press, in UTF-16 code units.
const MAX_ANSWER: usize = 200;

impl Handler {
    /// Takes a press; returns at once. Whoever presses is authorised as if they had written:
    /// what we sent with the button proves nothing of who presses it.
    pub(super) fn accept_press(self: &Arc<Self>, press: Press, batch: &Batch) {
        let own_chat = press.chat.bot_api_dialog_id() == Some(press.user);
        let (Some(question), Some(choice)) = (press.request_id(), press.choice()) else {
            return;
        };
        if !self.rules.allowed.contains(&press.user) {
            return;
        }
        let chat = if own_chat {
            ChatKind::Private
        } else {
            ChatKind::Group
        };
        let user = TelegramUser {
            id: press.user,
            chat,
        };
        let known = match choice {
            Choice::Confirm(_) | Choice::Cancel(_) => own_chat,
            Choice::Approve(_) | Choice::Deny(_) => own_chat || self.decides(press.chat),
        };
        if !known {
            return;
        }
        let handler = Arc::clone(self);
        self.spawn(batch, async move {
            handler.pressed(press, question, user, choice).await;
        });
    }

    /// Every replica hears of a press; whoever takes it answers it.
    async fn pressed(&self, press: Press, question: RequestId, user: TelegramUser, choice: Choice) {
        if let Choice::Confirm(code) | Choice::Cancel(code) = &choice {
            self.leave_to_others(user.id, code).await;
        }
        let id = RequestId::Press(press.query);
        let hold = match self.take(&id, ANSWER_WITHIN, false).await {
            Ok(Whose::Ours(hold)) => hold,
            Ok(Whose::Anothers | Whose::Done) => return,
            Err(error) => {
                let text = Reply::failed(&error.into()).text;
                return self.answer_press(press.query, Some(short(text))).await;
            }
        };
        match choice {
            Choice::Confirm(_) | Choice::Cancel(_) => {
                let origin = Origin {
                    id: question,
                    user,
                    hold,
                };
                self.pressed_question(press, origin, choice).await;
            }
            Choice::Approve(request) => {
                let origin = Origin {
                    id: id.clone(),
                    user,
                    hold,
                };
                self.pressed_approve(press.query, &origin, request).await;
            }
            Choice::Deny(request) => self.pressed_deny(press.query, &user, request).await,
        }
        if let Err(error) = self.broker.finish(&id).await {
            warn!(event = "telegram.finish_failed", request = %id, %error);
        }
    }

    /// Votes for `request`. Everybody presses the same button, so the press names the vote.
    async fn pressed_approve(&self, query: i64, origin: &Origin, request: ApprovalId) {
        let voted = self.approve(origin, &request, None).await;
        self.answer_press(query, Some(short(voted.text))).await;
        info!(event = "telegram.button", choice = "approve", user = origin.user.id, %request);
    }

    /// Who votes against something says why, for which a button has no room. Whoever may not know of
    /// the request learns nothing of it here.
    async fn pressed_deny(&self, query: i64, user: &TelegramUser, request: ApprovalId) {
        let text =
            format!("Say why: reply to this message with deny REASON, or /deny {request} REASON");
        self.answer_press(query, Some(text)).await;
        info!(event = "telegram.button", choice = "deny", user = user.id, %request);
    }

    async fn pressed_question(&self, press: Press, mut origin: Origin, choice: Choice) {
        let (name, reply) = match (self.broker.chat_locked().await, choice) {
            (Ok(true), _) => ("locked", Some(Reply::locked())),
            (Err(error), _) => ("locked", Some(Reply::failed(&error.into()))),
            // Nobody knows what whoever had it before did.
            (Ok(false), Choice::Confirm(_)) if origin.hold.again => {
                ("locked", Some(Reply::interrupted()))
            }
            (Ok(false), choice) => match self.broker.hold(&origin.id).await {
                Err(error) => ("locked", Some(Reply::failed(&error.into()))),
                // The question was answered before.
                Ok(Whose::Anothers | Whose::Done) => ("stale", None),
                Ok(Whose::Ours(hold)) => {
                    origin.hold = hold;
                    match choice {
                        Choice::Confirm(code) => ("confirm", self.confirm(&origin, &code).await),
                        Choice::Cancel(code) => ("cancel", self.cancel(&origin, &code)),
                        // These are not questions, and have their own way.
                        Choice::Approve(_) | Choice::Deny(_) => return,
                    }
                }
            },
        };
        let reply = reply.unwrap_or_else(Reply::stale_code);
        // What changes nothing is told to who pressed, and the question stays as it is.
        if name == "locked" || reply.text == STALE {
            self.answer_press(press.query, Some(short(reply.text)))
                .await;
            debug!(event = "telegram.button_stale", user = press.user, request = %origin.id);
            return;
        }
        self.answer_press(press.query, None).await;
        self.settle(&press, &origin, reply).await;
        if let Err(error) = self.broker.finish(&origin.id).await {
            warn!(event = "telegram.finish_failed", request = %origin.id, %error);
        }
        info!(
            event = "telegram.button",
            choice = name,
            user = press.user,
            request = %origin.id,
        );
    }

    async fn answer_press(&self, query: i64, alert: Option<String>) {
        let request = tl::functions::messages::SetBotCallbackAnswer {
            alert: alert.is_some(),
            query_id: query,
            message: alert,
            url: None,
            cache_time: 0,
        };
        let deadline = Instant::now() + ANSWER_WITHIN;
        let answering = self.link.persist(&request, &self.buttons_gate, deadline);
        if let Err(error) = answering.await {
            // The button looks pressed a little longer; the chat says what happened.
            warn!(event = "telegram.button_unanswered", %error);
        }
    }

    /// Changes the question into what became of it, without buttons; where it cannot be changed,
    /// says so below.
    async fn settle(&self, press: &Press, origin: &Origin, reply: Reply) {
        let hash = self.session.access_hash(press.chat).unwrap_or_default();
        let peer = input_peer(press.chat, hash);
        let request = tl::functions::messages::EditMessage {
            no_webpage: true,
            invert_media: false,
            peer: peer.clone(),
            id: press.message,
            message: Some(reply.text.clone()),
            media: None,
            reply_markup: None,
            entities: None,
            schedule_date: None,
            schedule_repeat_period: None,
            quick_reply_shortcut_id: None,
            rich_message: None,
        };
        let deadline = Instant::now() + EDIT_WITHIN;
        let guard = Guard {
            broker: &self.broker,
            unlocked: reply.guarded,
            term: None,
        };
        let (gate, mut unclear) = (&self.buttons_gate, None);
        let editing = self
            .link
            .persist_noting(&request, gate, deadline, &mut unclear, Some(guard));
        let error = match editing.await {
            Ok(_) => return,
            // An earlier try arrived, and only its answer was lost.
            Err(CallError::Refused(reason)) if reason == SAME => return,
            Err(error) => error,
        };
        warn!(event = "telegram.question_not_changed", request = %origin.id, %error);
        let random_id = random_id(&origin.id, Part::Answer);
        let sent = self.outbox.send(peer, reply, None, random_id).await;
        if let Err(error) = sent.result {
            warn!(event = "telegram.reply_failed", request = %origin.id, %error);
        }
    }
}

/// As much of `text` as the answer to a press has room for.
fn short(text: String) -> String {
    let mut length = 0;
    let fits = |sign: &char| {
        length += sign.len_utf16();
        length < MAX_ANSWER
    };
    let cut: String = text.chars().take_while(fits).collect();
    if cut.len() < text.len() {
        return cut + "…";
    }
    text
}
