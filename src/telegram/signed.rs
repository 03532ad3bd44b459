//! What jobs ask for in chat: a command that is signed, sent by an account of who signs.
//!
//! Which accounts these are is configured, so a copy by anybody else is nothing; and the answer goes to
//! the sender in private, so it is where the signer wants it, whichever chat it was asked in. It is
//! never plaintext: a token to unwrap, or sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{error, warn};
use zeroize::Zeroizing;

use super::command::{JobCommand, Mistake, SignedText, Word, parse_signed};
use super::handler::{Handler, Job, OUTAGE};
use super::incoming::Incoming;
use super::progress::Batch;
use super::reply::Reply;
use crate::broker::{Beside, BrokerError, Hold, Opened, Whose};
use crate::domain::caller::TelegramUser;
use crate::domain::{Action, Caller, Delivery, Request, RequestId, Target};
use crate::identity::{IdentityError, Signatures, Signed};

/// What these commands are called in the log and the metrics.
const NAME: &str = "signed";

/// Somebody who signs commands in chat.
#[derive(Debug, Clone, Default)]
pub struct Signer {
    /// The accounts that send what is signed.
    pub accounts: BTreeSet<i64>,
    /// The public keys that answers are sealed to.
    pub age_keys: Vec<String>,
}

/// Those who sign, by what the owner of their keys is called.
pub type Signers = BTreeMap<String, Signer>;

impl Handler {
    /// Whether it is a command that is signed, where anybody's are taken.
    pub(super) fn is_signed(&self, text: &str) -> bool {
        let taken = self.signatures.is_some() && !self.settings.signers.is_empty();
        taken && parse_signed(text, self.username().as_deref()).is_some()
    }

    /// Takes a signed command; returns at once. Whether the sender may send it is judged before anything
    /// is waited for, as anybody can send some.
    pub(super) fn accept_signed(
        self: &Arc<Self>,
        message: Incoming,
        text: Zeroizing<String>,
        batch: &Batch,
    ) {
        let username = self.username().clone();
        let (Some(parsed), Some(id)) = (
            parse_signed(&text, username.as_deref()),
            message.request_id(),
        ) else {
            return;
        };
        match self.signer(&message, parsed.ok().map(|signed| signed.key)) {
            Ok(user) => {
                let handler = Arc::clone(self);
                self.spawn(batch, async move {
                    handler.work_signed(id, user, message, &text).await;
                });
            }
            // Whoever sent it hears nothing, so every replica may say that of it.
            Err(error) => {
                if let Some(recorded) = self.refuse_signed(&id, &message, &error) {
                    self.spawn(batch, recorded);
                }
            }
        }
    }

    async fn work_signed(&self, id: RequestId, user: TelegramUser, message: Incoming, text: &str) {
        let username = self.username().clone();
        let parsed = parse_signed(text, username.as_deref());
        let (Some(parsed), Some(signatures)) = (parsed, self.signatures.as_deref()) else {
            return;
        };
        let taken = self.take(&id, self.settings.command_age + OUTAGE, false);
        let hold = match taken.await {
            Ok(Whose::Ours(hold)) => Ok(hold),
            Ok(Whose::Anothers | Whose::Done) => return,
            Err(error) => Err(BrokerError::Coordination(error)),
        };
        let job = Job::new(id, user, Word::GetSecret, message);
        let name = parsed.as_ref().map_or("?", SignedText::name);
        let reply = match hold {
            Ok(hold) => self.respond_signed(&job, hold, parsed, signatures).await,
            Err(error) => Reply::failed(&error).tagged(name, "failed"),
        };
        let answered = self.answer(&job, reply).await;
        self.finish(&job.id, answered).await;
        job.ended(NAME, answered);
    }

    /// Whose message it is, if they may send what is signed with `key`; of what cannot be read, if they
    /// may send anything.
    fn signer(&self, message: &Incoming, key: Option<&str>) -> Result<TelegramUser, IdentityError> {
        let envelope = &message.envelope;
        let (Some(id), Some(chat), false) = (envelope.sender, envelope.chat, envelope.outgoing)
        else {
            return Err(IdentityError::Sender);
        };
        let owner = key.map(|key| key.split('/').next().unwrap_or(key));
        let theirs = |(name, signer): (&String, &Signer)| {
            owner.is_none_or(|owner| owner == name) && signer.accounts.contains(&id)
        };
        if !self.settings.signers.iter().any(theirs) {
            return Err(IdentityError::Sender);
        }
        if envelope.edited || envelope.forwarded || envelope.automatic {
            return Err(IdentityError::SecondHand);
        }
        Ok(TelegramUser { id, chat })
    }

    /// What to answer to a signed command that is ours.
    async fn respond_signed(
        &self,
        job: &Job,
        hold: Hold,
        parsed: Result<SignedText<'_>, &'static str>,
        signatures: &Signatures,
    ) -> Reply {
        let name = parsed.as_ref().map_or("?", SignedText::name);
        match self.broker.chat_locked().await {
            Ok(false) => {}
            Ok(true) => return Reply::locked().tagged(name, "failed"),
            Err(error) => {
                let reply = Reply::failed(&BrokerError::Coordination(error));
                return reply.tagged(name, "failed");
            }
        }
        // Whoever had it may have used its id up, and answered.
        if hold.again {
            return Reply::interrupted().tagged(name, "failed");
        }
        match self.prove(job, parsed, signatures).await {
            Ok((signed, caller)) => self.ask_as(job, hold, &signed, caller).await,
            Err(error) => {
                if let Some(recorded) = self.refuse_signed(&job.id, &job.message, &error) {
                    recorded.await;
                }
                Reply::plain(error.to_string()).tagged(name, "refused")
            }
        }
    }

    /// Who signed it, and now.
    async fn prove<'t>(
        &self,
        job: &Job,
        parsed: Result<SignedText<'t>, &'static str>,
        signatures: &Signatures,
    ) -> Result<(SignedText<'t>, Caller), IdentityError> {
        let signed = parsed.map_err(IdentityError::Malformed)?;
        let (now, sent) = (self.clock.now().unix_timestamp(), job.message.envelope.date);
        if now.abs_diff(sent) > self.settings.command_age.as_secs() {
            return Err(if sent > now {
                IdentityError::NotYet
            } else {
                IdentityError::Expired
            });
        }
        let proof = Signed {
            key: signed.key,
            id: signed.id,
            timestamp: signed.timestamp,
            signatures: signed.signature,
            content: &[signed.content.as_bytes()],
        };
        let proven = signatures.verify(proof).await?;
        Ok((signed, Caller::Job(proven)))
    }

    /// Does what is signed, for who signed it.
    async fn ask_as(
        &self,
        job: &Job,
        hold: Hold,
        signed: &SignedText<'_>,
        caller: Caller,
    ) -> Reply {
        let name = signed.name();
        match JobCommand::read(signed.content, self.broker.mounts()) {
            Ok(JobCommand::Read(target, delivery)) => {
                let request = request(job, caller, delivery, target);
                self.read_as(hold, name, request).await
            }
            Ok(JobCommand::Request(target, delivery, reason)) => {
                let request = request(job, caller, delivery, target);
                self.request_as(name, request, reason).await
            }
            Err(mistake) => mistaken(mistake, name),
        }
    }

    async fn read_as(&self, hold: Hold, name: &str, request: Request) -> Reply {
        let (broker, id) = (Arc::clone(&self.broker), request.id.clone());
        let (action, target) = (request.action, request.target.clone());
        let signer = match &request.caller {
            Caller::Job(job) => self.settings.signers.get(&job.issuer),
            Caller::Telegram(_) | Caller::Unix(_) => None,
        };
        let keys = signer.map(|signer| signer.age_keys.clone());
        let work = async move {
            let beside = Beside {
                seal_to: &keys.unwrap_or_default(),
                ..Beside::default()
            };
            broker.handle_held(hold, request, beside).await
        };
        match self.whole(work).await {
            Some(Ok(outcome)) => Reply::to_job(name, &outcome, &target, &self.terms(action)),
            Some(Err(error)) => failed(&id, &error, name),
            None => Reply::broken().tagged(name, "failed"),
        }
    }

    async fn request_as(&self, name: &str, request: Request, reason: String) -> Reply {
        let (broker, id) = (Arc::clone(&self.broker), request.id.clone());
        let work = async move { broker.open_approval(&request, &reason).await };
        match self.whole(work).await {
            Some(Ok(Opened::Open(approval))) => Reply::job_waits(name, &approval),
            Some(Ok(Opened::Denied(denial))) => Reply::denied(denial.reason).tagged(name, "denied"),
            Some(Err(error)) => failed(&id, &error, name),
            None => Reply::broken().tagged(name, "failed"),
        }
    }

    /// Logs that a proof is none, and returns what puts it on record; as far as there is room there.
    fn refuse_signed(
        &self,
        id: &RequestId,
        message: &Incoming,
        error: &IdentityError,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let sender = message.envelope.sender;
        let from = sender.or_else(|| message.chat.bot_api_dialog_id());
        let from = format!("telegram:{}", from.unwrap_or_default());
        let (id, reason) = (id.clone(), error.name());
        let broker = &self.broker;
        let recorded = broker.record_refused_proof(&id, "chat", from.clone(), reason)?;
        warn!(event = "telegram.signed_refused", request = %id, from, reason, %error);
        Some(async move {
            if let Err(error) = recorded.await {
                error!(event = "telegram.refusal_unrecorded", request = %id, %error);
            }
        })
    }
}

fn request(job: &Job, caller: Caller, delivery: Delivery, target: Target) -> Request {
    Request {
        id: job.id.clone(),
        caller,
        action: Action::Read(delivery),
        target,
    }
}

fn failed(id: &RequestId, error: &BrokerError, name: &str) -> Reply {
    warn!(event = "telegram.request_failed", request = %id, error = error.name());
    Reply::failed(error).tagged(name, "failed")
}

fn mistaken(mistake: Mistake, name: &str) -> Reply {
    Reply::mistake(mistake).tagged(name, "failed")
}
