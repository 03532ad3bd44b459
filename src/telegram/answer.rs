//! From a reply to its reader: in the private chat, with a notice in the group; or, where requests are
//! decided on, in that group.

use std::sync::Arc;

use grammers_tl_types as tl;
use metrics::counter;
use tracing::{debug, info, warn};

use super::call::CallError;
use super::handler::{Handler, Job};
use super::outbox::Sent;
use super::reply::{ANSWERED_IN_PRIVATE, CANNOT_WRITE, COULD_NOT_ANSWER, Part, Reply, random_id};
use super::withdrawal::Withdrawn;
use crate::broker::BrokerError;
use crate::domain::caller::ChatKind;
use crate::telemetry::metrics::COMMANDS;

impl Handler {
    /// Who wrote a value into a message that was answered before hears of it where it stands.
    pub(super) async fn tell_that_it_stands(&self, job: &Job, withdrawn: Withdrawn) {
        if !job.message.envelope.edited || withdrawn == Withdrawn::Gone {
            return;
        }
        let Some(peer) = self.outbox.sender(&job.message).await else {
            return;
        };
        let mut reply = Reply::second_hand();
        reply.note_withdrawal(withdrawn, true);
        let random_id = random_id(&job.id, part(job));
        let sent = self.outbox.send(peer, reply, None, random_id).await;
        if let Err(error) = sent.result {
            warn!(event = "telegram.reply_failed", request = %job.id, %error);
        }
    }

    /// Answers in private, wherever the command was given; a group is only told that.
    pub(super) async fn answer(&self, job: &Job, reply: Reply) -> Answered {
        if reply.in_place
            && self.decides(job.message.chat)
            && let Some(peer) = self.outbox.chat(&job.message)
        {
            return self.answer_in_place(job, reply, peer).await;
        }
        let lease = reply.lease.clone();
        let (answered, as_meant) = self.answer_in_private(job, reply).await;
        if let Some(code) = lease.filter(|_| !as_meant) {
            // Or nobody knows; then it is better gone, too.
            self.broker.give_up(&code);
        }
        if job.user.chat == ChatKind::Group {
            self.tell_group(job, answered.notice()).await;
        }
        answered
    }

    async fn answer_in_place(
        &self,
        job: &Job,
        reply: Reply,
        peer: tl::enums::InputPeer,
    ) -> Answered {
        let random_id = random_id(&job.id, Part::Answer);
        let to = (!job.gone).then_some(job.message.id);
        let sent = self.outbox.send(peer, reply, to, random_id).await;
        match sent.result {
            Ok(_) => Answered::InPlace,
            Err(error) => {
                warn!(event = "telegram.reply_failed", request = %job.id, %error);
                Answered::failed(&error)
            }
        }
    }

    /// What became of `reply`, and whether it is what arrived.
    async fn answer_in_private(&self, job: &Job, mut reply: Reply) -> (Answered, bool) {
        let Some(peer) = self.outbox.sender(&job.message).await else {
            warn!(event = "telegram.sender.unknown", user = job.user.id);
            return (Answered::Refused, false);
        };
        let (mut intent, mut as_meant) = (None, true);
        if reply.secret {
            let made = self.deletions.intend(&job.id, &peer, reply.lasts);
            match made.await {
                Ok(made) => {
                    intent = Some(made);
                    let net = Arc::clone(&self.second_net);
                    let (user, peer) = (job.user.id, peer.clone());
                    self.tasks
                        .spawn(async move { net.spread(user, peer).await });
                }
                // What could not be deleted again is not sent.
                Err(error) => {
                    warn!(event = "telegram.deletions.unwritable", %error);
                    reply = Reply::failed(&BrokerError::Coordination(error));
                    as_meant = false;
                }
            }
        }
        let random_id = random_id(&job.id, part(job));
        let sent = self.outbox.send(peer, reply, None, random_id).await;
        if let Some(intent) = intent {
            self.deletions.sent(intent, &sent);
        }
        match sent.result {
            Ok(Sent::Notice) => (Answered::InPrivate, false),
            Ok(Sent::Id(_) | Sent::Earlier) => (Answered::InPrivate, as_meant),
            Err(error) => {
                warn!(event = "telegram.reply_failed", request = %job.id, %error);
                (Answered::failed(&error), false)
            }
        }
    }

    async fn tell_group(&self, job: &Job, text: &str) {
        let Some(peer) = self.outbox.chat(&job.message) else {
            return;
        };
        let (reply, random_id) = (Reply::plain(text), random_id(&job.id, Part::Notice));
        let sent = self
            .outbox
            .send(peer, reply, Some(job.message.id), random_id)
            .await;
        if let Err(error) = sent.result {
            debug!(event = "telegram.notice_failed", request = %job.id, %error);
        }
    }
}

impl Job {
    /// Logs and counts what became of the command `name`.
    pub(super) fn ended(&self, name: &'static str, answered: Answered) {
        info!(
            event = "telegram.command",
            command = name,
            user = self.user.id,
            chat = self.user.chat.name(),
            request = %self.id,
            answered = answered.name(),
        );
        counter!(COMMANDS, "command" => name, "answer" => answered.name()).increment(1);
    }
}

/// Of an edit no replica knows whether another answers it as the message's first, or after what it
/// was before: either way it is told once.
fn part(job: &Job) -> Part {
    if job.message.envelope.edited {
        Part::Edit
    } else {
        Part::Answer
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// It arrived in the private chat.
    InPrivate,
    /// It arrived in the group.
    InPlace,
    /// Telegram does not let us write there.
    Refused,
    /// It did not arrive, or nobody knows.
    NotAtAll,
    /// The command was answered before, or by another replica.
    Elsewhere,
}

impl Answered {
    /// As far as it was to be answered in private.
    pub(super) fn of(sent: &Result<Sent, CallError>) -> Self {
        match sent {
            Ok(_) => Self::InPrivate,
            Err(error) => Self::failed(error),
        }
    }

    pub(super) fn failed(error: &CallError) -> Self {
        match error {
            CallError::Refused(_) => Self::Refused,
            CallError::Disconnected
            | CallError::Flood(_)
            | CallError::Server(_)
            | CallError::SignedOut(_) => Self::NotAtAll,
        }
    }

    /// What a group is told.
    fn notice(self) -> &'static str {
        match self {
            Self::InPrivate | Self::InPlace => ANSWERED_IN_PRIVATE,
            Self::Refused => CANNOT_WRITE,
            Self::NotAtAll | Self::Elsewhere => COULD_NOT_ANSWER,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InPrivate => "private",
            Self::InPlace => "in_place",
            Self::Refused => "refused",
            Self::NotAtAll => "failed",
            Self::Elsewhere => "before",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_group_hears_of_a_refusal_only_when_there_was_one() {
        let refused = CallError::Refused("USER_PRIVACY_RESTRICTED".into());
        assert_eq!(Answered::failed(&refused).notice(), CANNOT_WRITE);
        for error in [
            CallError::Disconnected,
            CallError::Flood(Duration::from_hours(1)),
            CallError::Server("Timeout".into()),
        ] {
            assert_eq!(Answered::failed(&error).notice(), COULD_NOT_ANSWER);
        }
    }
}
