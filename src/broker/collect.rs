//! Asked for in Telegram, collected on the host: by the requester's own Unix user, once.
//!
//! What waits is the permission, not the secret: it is read when it is collected, and policy
//! decides again at that moment.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::broker::fitting::fitting;
use crate::broker::ports::{Claim, CoordinationError};
use crate::broker::tally::Tally;
use crate::broker::{Broker, BrokerError};
use crate::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use crate::domain::policy::DenialReason;
use crate::domain::recipe::normalise_code;
use crate::domain::{
    Action, AuditEntry, AuditEvent, Caller, Decision, Delivery, Denial, Permit, Request, RequestId,
    Secret,
};

/// How long an offer stands.
const LIFETIME: Duration = Duration::minutes(10);
/// Signs of an offer's code: nobody else can use it, so it need not be long.
const CODE_LENGTH: usize = 6;
/// Where offers are kept.
const PREFIX: &str = "offers/";

/// A secret that waits to be collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Names it.
    pub code: String,
    /// The Unix user that may collect it.
    pub uid: u32,
    /// Until when.
    pub expires: OffsetDateTime,
}

/// What came of collecting.
pub enum Collected {
    /// The secret.
    Released(Secret),
    /// Policy refuses by now.
    Denied(Denial),
}

/// An offer as it is kept; it holds no plaintext.
#[derive(Serialize, Deserialize)]
struct Stored {
    chat: i64,
    message: i32,
    user: i64,
    group: bool,
    target: String,
    uid: u32,
    expires: i64,
}

impl Broker {
    /// Offers what `permit` is for to the Unix user of `user`.
    pub(super) async fn offer(
        &self,
        permit: &Permit,
        user: &TelegramUser,
    ) -> Result<Offer, BrokerError> {
        let uid = *self
            .rules
            .unix_users
            .get(&user.id)
            .ok_or(BrokerError::NoUnixUser)?;
        let RequestId::Message { chat, message } = permit.request().id else {
            return Err(BrokerError::NoUnixUser);
        };
        self.forget_old_offers().await?;
        let expires = self.now() + LIFETIME;
        let stored = Stored {
            chat,
            message,
            user: user.id,
            group: user.chat == ChatKind::Group,
            target: permit.target().to_string(),
            uid,
            expires: expires.unix_timestamp(),
        };
        let value =
            serde_json::to_vec(&stored).map_err(|error| CoordinationError(error.to_string()))?;
        let coordination = &self.ports.coordination;
        loop {
            let code = self.code(CODE_LENGTH);
            let key = format!("{PREFIX}{code}");
            // Unless that code is given already.
            if coordination.swap(&key, None, Some(&value)).await? {
                return Ok(Offer { code, uid, expires });
            }
        }
    }

    /// Hands what is offered under `code` to `peer`, once: decide, record, read, claim, record.
    /// The claim comes last, so that a failure before it uses nothing up.
    ///
    /// # Errors
    /// See [`BrokerError`]; on any error nothing is handed over.
    pub async fn collect(&self, code: &str, peer: &UnixPeer) -> Result<Collected, BrokerError> {
        let mut tally = Tally::by("socket");
        let collected = self.collect_counted(code, peer, &mut tally).await;
        tally.end(collected)
    }

    async fn collect_counted(
        &self,
        code: &str,
        peer: &UnixPeer,
        tally: &mut Tally,
    ) -> Result<Collected, BrokerError> {
        let code = normalise_code(code);
        let key = format!("{PREFIX}{code}");
        // The code is not looked up as a prefix of others.
        let offers = self.ports.coordination.list(PREFIX).await?;
        let found = offers.into_iter().find(|(name, _)| *name == key);
        let stored: Stored = found
            .and_then(|(_, value)| serde_json::from_slice(&value).ok())
            .filter(|stored: &Stored| stored.expires > self.now().unix_timestamp())
            .ok_or(BrokerError::NothingToCollect)?;
        // Whose account is whose may have changed since.
        let mapped = self.rules.unix_users.get(&stored.user) == Some(&peer.uid);
        if stored.uid != peer.uid || !mapped {
            tracing::warn!(
                event = "broker.collect_foreign",
                uid = peer.uid,
                pid = peer.pid,
                user = stored.user,
                of_uid = stored.uid,
            );
            return Err(BrokerError::NothingToCollect);
        }
        let target = self.rules.mounts.parse(&stored.target);
        let request = Request {
            id: RequestId::Message {
                chat: stored.chat,
                message: stored.message,
            },
            caller: Caller::Telegram(TelegramUser {
                id: stored.user,
                chat: if stored.group {
                    ChatKind::Group
                } else {
                    ChatKind::Private
                },
            }),
            action: Action::Read(Delivery::Socket),
            // A mount that is configured no more.
            target: target.map_err(|_| BrokerError::NothingToCollect)?,
        };
        let decision = self.decide(&request).await?;
        tally.decided(&decision);
        let denial = match decision {
            Decision::Allow(permit) => {
                let secret = self.hand_over(permit, &code, peer).await?;
                return Ok(Collected::Released(secret));
            }
            Decision::Deny(denial) => denial,
            // It was granted when it was offered.
            Decision::NeedsApproval(need) => Denial {
                reason: DenialReason::NeedsApproval,
                policies: need.policies(),
            },
        };
        tracing::warn!(
            event = "broker.collect_denied",
            request = %request.id,
            uid = peer.uid,
            user = stored.user,
            reason = denial.reason.name(),
        );
        Ok(Collected::Denied(denial))
    }

    async fn hand_over(
        &self,
        permit: Permit,
        code: &str,
        peer: &UnixPeer,
    ) -> Result<Secret, BrokerError> {
        let result = match self.read_fitting(&permit).await {
            Ok(secret) => match self.use_up(&permit, code).await {
                Ok(()) => Ok(secret),
                Err(error) => {
                    self.give_back(&permit.request().id, &secret).await;
                    Err(error)
                }
            },
            Err(error) => Err(error),
        };
        let event = match &result {
            Ok(secret) => AuditEvent::Collected {
                reading: secret.into(),
                uid: peer.uid,
                pid: peer.pid,
            },
            Err(error) => AuditEvent::Failed {
                reason: error.name(),
            },
        };
        let entry = AuditEntry::outcome(&permit, event, self.now());
        if let Err(error) = self.ports.audit.record(entry).await {
            if let Ok(secret) = &result {
                self.give_back(&permit.request().id, secret).await;
            }
            return Err(error.into());
        }
        if let Ok(secret) = &result {
            self.issued(&permit, secret);
        }
        result
    }

    /// What is mounted there may be another thing than when it was asked for.
    async fn read_fitting(&self, permit: &Permit) -> Result<Secret, BrokerError> {
        fitting(permit.request(), &self.rules.mounts)?;
        self.read(permit).await
    }

    /// Takes the offer under `code` for one release, of however many that were begun.
    async fn use_up(&self, permit: &Permit, code: &str) -> Result<(), BrokerError> {
        self.spend_now(permit).await?;
        let coordination = &self.ports.coordination;
        let until = self.now() + 2 * LIFETIME;
        let once = format!("collected/{code}");
        if coordination.claim(&once, until).await? != Claim::Ours {
            return Err(BrokerError::NothingToCollect);
        }
        // Nobody need wait for it.
        coordination.finish(&once).await?;
        // What is left behind when this fails is claimed, and expires.
        Ok(coordination.delete(&format!("{PREFIX}{code}")).await?)
    }

    async fn forget_old_offers(&self) -> Result<(), BrokerError> {
        let now = self.now().unix_timestamp();
        for (key, value) in self.ports.coordination.list(PREFIX).await? {
            let stored: Option<Stored> = serde_json::from_slice(&value).ok();
            if stored.is_none_or(|stored| stored.expires <= now) {
                self.ports.coordination.delete(&key).await?;
            }
        }
        Ok(())
    }
}
