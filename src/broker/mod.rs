//! The broker: every way in ends at [`Broker::handle`], and there is no other way to a secret.

mod approvals;
mod approve;
mod capabilities;
mod cluster;
mod collect;
mod confirm;
mod error;
mod execute;
mod fitting;
mod health;
mod heir;
mod hold;
mod in_force;
mod keeper;
mod keys;
mod leaks;
mod lease;
mod leases;
mod lock;
mod pipelines;
pub mod ports;
mod proof;
mod turn;
mod unwrap;
mod versions;
mod watches;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use time::{OffsetDateTime, Time};

pub use self::approvals::{
    ApprovalError, ApprovalInfo, ApprovalRules, Filter, Opened, Promise, Told, Waiting,
};
pub use self::approve::Vote;
pub use self::cluster::Answers;
pub use self::collect::{Collected, Offer};
pub use self::confirm::Asked;
pub use self::error::BrokerError;
pub use self::execute::Sealed;
pub use self::health::{Check, Health};
pub use self::heir::Heir;
pub use self::hold::{Hold, Whose};
pub use self::in_force::{InForce, PolicyNews};
pub use self::keeper::Duty;
pub use self::keys::RegisteredKey;
pub use self::leaks::{Holder, Leak};
pub use self::leases::{Keeping, LeaseInfo, LeaseName, MAX_KEPT};
pub use self::pipelines::{
    PipelineWish, PlaceName, Planned, Preview, REASON, RunError, RunLink, RunName, ServedPipelines,
    WorkflowName,
};
pub use self::versions::ChangedVersions;
pub use self::watches::{Followed, Looker, Place, RunStanding, Watch};
use crate::broker::ports::pipelines::Run;
use crate::broker::ports::{
    AuditSink, Clock, Coordination, Random, Sealer, SecretStore, StoreHealth, Wrapped,
};
use crate::domain::policy::DenialReason;
use crate::domain::{
    AuditEntry, Caller, Decision, Denial, Field, History, Mounts, Request, Secret, VersionFacts,
};

/// Answers requests.
pub struct Broker {
    rules: Rules,
    ports: Ports,
    /// Held while somebody's keys change, so that two at once are not more than the most.
    keys_change: tokio::sync::Mutex<()>,
    leases: leases::Registry,
    approvals: approvals::Desk,
    health: health::Memory,
    leaks: leaks::Registry,
    company: cluster::Company,
    watching: watches::Watching,
    unrecorded: leaks::Unrecorded,
    duties: keeper::Duties,
    seen_open: lock::SeenOpen,
}

/// What the broker goes by.
pub struct Rules {
    /// Who may have what, and who the administrators are but for [`Rules::admins`].
    pub policy: InForce,
    /// The mounts that may be asked for.
    pub mounts: Mounts,
    /// How long a wrapping token lives.
    pub wrap_ttl: Duration,
    /// The Unix user of each Telegram account that may collect secrets on this host.
    pub unix_users: BTreeMap<i64, u32>,
    /// The Telegram accounts that look after what is everybody's.
    pub admins: BTreeSet<i64>,
    /// How many requests for approval there may be.
    pub approvals: ApprovalRules,
}

/// What the broker works with.
pub struct Ports {
    /// Where secrets live.
    pub store: Arc<dyn SecretStore>,
    /// The record of everything decided.
    pub audit: Arc<dyn AuditSink>,
    /// State that outlives the process.
    pub coordination: Arc<dyn Coordination>,
    /// Encrypts to people's keys.
    pub sealer: Arc<dyn Sealer>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// Pipelines, where any are served.
    pub pipelines: Option<ServedPipelines>,
}

/// What goes beside a request: policy sees none of it.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The values it is to write, or the parameters it invokes an engine with.
    pub fields: &'a [Field],
    /// How long a wrapping token is to live, up to [`Rules::wrap_ttl`]; so long where this is none.
    pub wrap_ttl: Option<Duration>,
}

impl<'a> Beside<'a> {
    /// Values to write, or parameters.
    #[must_use]
    pub fn fields(fields: &'a [Field]) -> Self {
        Self {
            fields,
            wrap_ttl: None,
        }
    }
}

/// What came of a request.
#[expect(clippy::large_enum_variant, reason = "it is looked at once")]
pub enum Outcome {
    /// The secret, only the field asked for where one was named.
    Released(Secret),
    /// A token that unwraps the secret, once.
    Wrapped(Wrapped),
    /// The secret, encrypted to the caller's keys.
    Sealed(Sealed),
    /// The caller's Unix user may collect the secret.
    Offered(Offer),
    /// The names in a folder.
    Listed(Vec<String>),
    /// The versions of a secret.
    Versions(History),
    /// A secret was written: the new version, where there are versions.
    Written(Option<VersionFacts>),
    /// This version was deleted; where there are none, the secret, for good.
    Deleted(Option<u64>),
    /// This version is no longer deleted.
    Undeleted(u64),
    /// This version is gone for good.
    Destroyed(u64),
    /// A pipeline was started, or something was done with its run.
    Operated(RunLink),
    /// The runs of a pipeline, or of a repository, the newest first.
    Runs(Vec<Run>),
    /// Its runs are told in the chat as they go on, or are not any more.
    Watching(bool),
    /// Policy refused.
    Denied(Denial),
    /// Not without somebody's agreement: what was done about that, or is to be.
    NeedsApproval(Waiting),
    /// This very request was handled before, here or by another replica: stay silent.
    Duplicate,
    /// This very request was begun by a process that then ended: nobody knows whether it was
    /// done, and it is not done again.
    Interrupted,
}

impl Broker {
    /// Puts a broker together from its rules and ports.
    #[must_use]
    pub fn new(rules: Rules, mut ports: Ports) -> Self {
        let health = health::Memory::default();
        ports.audit = health.listening_to(ports.audit);
        let (name, this) = (number(&*ports.random), number(&*ports.random));
        Self {
            health,
            rules,
            ports,
            keys_change: tokio::sync::Mutex::new(()),
            leases: leases::Registry::new(this),
            approvals: approvals::Desk::default(),
            leaks: leaks::Registry::default(),
            company: cluster::Company::default(),
            unrecorded: leaks::Unrecorded::default(),
            watching: watches::Watching::default(),
            duties: keeper::Duties::new(name),
            seen_open: lock::SeenOpen::default(),
        }
    }

    /// Answers `request`: claim, decide, record, act.
    ///
    /// # Errors
    /// See [`BrokerError`]; on any error nothing is handed over.
    pub async fn handle(&self, request: Request) -> Result<Outcome, BrokerError> {
        self.handle_with(request, Beside::default()).await
    }

    /// Answers `request`, as [`Broker::handle`], with what goes beside it.
    ///
    /// # Errors
    /// See [`BrokerError`]; when the store did not answer, nobody knows whether it wrote.
    pub async fn handle_with(
        &self,
        request: Request,
        beside: Beside<'_>,
    ) -> Result<Outcome, BrokerError> {
        match self.hold(&request.id).await?.ours() {
            Some(hold) => self.handle_held(hold, request, beside).await,
            None => Ok(Outcome::Duplicate),
        }
    }

    /// As [`Broker::handle_with`], of a request that was claimed already. What a process that ended
    /// may have done is done again only where that changes nothing.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn handle_held(
        &self,
        hold: Hold,
        request: Request,
        beside: Beside<'_>,
    ) -> Result<Outcome, BrokerError> {
        if hold.again && !self.may_repeat(&request) {
            return Ok(Outcome::Interrupted);
        }
        let (decision, decided) = self.judge(&request).await?;
        if hold.again && self.may_be_used_up(&decision).await? {
            return Ok(Outcome::Interrupted);
        }
        if let Decision::Allow(permit) = &decision
            && permit.grant().is_none()
            && self.in_touch(hold, &request.caller).is_ok()
            && let Some(secret) = self.at_hand(permit)
        {
            return self.hand_out(permit, decided, secret).await;
        }
        self.ports.audit.record(decided).await?;
        match decision {
            Decision::Deny(denial) => Ok(Outcome::Denied(denial)),
            Decision::NeedsApproval(need) => {
                let waiting = self.wait_for(&request, &need).await?;
                Ok(Outcome::NeedsApproval(waiting))
            }
            Decision::Allow(permit) => {
                if let Err(error) = self.in_touch(hold, &request.caller) {
                    return self.conclude(&permit, Err(error)).await;
                }
                let spent = match self.spend(&permit).await {
                    Ok(spent) => spent,
                    Err(error) => return self.conclude(&permit, Err(error)).await,
                };
                // What another request used is not for this one to give back.
                let grant = permit.grant().filter(|_| spent).cloned();
                let done = match self.in_touch(hold, &request.caller) {
                    Ok(()) => self.execute(permit, beside).await,
                    Err(error) => self.conclude(&permit, Err(error)).await,
                };
                if let Err(error) = &done {
                    self.unspend(&request, grant.as_ref(), error).await;
                }
                done
            }
        }
    }

    /// What policy says, and the lock on chat; on record before anybody hears of it.
    async fn decide(&self, request: &Request) -> Result<Decision, BrokerError> {
        let (decision, decided) = self.judge(request).await?;
        self.ports.audit.record(decided).await?;
        Ok(decision)
    }

    /// As [`Broker::decide`], with what is still to be put on record.
    async fn judge(&self, request: &Request) -> Result<(Decision, AuditEntry), BrokerError> {
        let decision = self.judge_alone(request, None).await?;
        let decision = self.decide_by_grants(request, decision).await?;
        let entry = AuditEntry::decided(request, &decision, self.now());
        Ok((decision, entry))
    }

    /// What policy says to `request` and the reason given for it, whatever was granted.
    async fn judge_alone(
        &self,
        request: &Request,
        reason: Option<&str>,
    ) -> Result<Decision, BrokerError> {
        let locked = match request.caller {
            Caller::Telegram(_) => self.chat_locked().await?,
            Caller::Unix(_) | Caller::Job(_) => false,
        };
        Ok(if locked {
            Decision::Deny(Denial {
                reason: DenialReason::ChatLocked,
                policies: vec![],
            })
        } else {
            let policy = self.rules.policy.get();
            policy.decide_with(request, reason, self.now())
        })
    }

    /// The mounts that may be asked for.
    #[must_use]
    pub fn mounts(&self) -> &Mounts {
        &self.rules.mounts
    }

    /// The namespace in the store that everything is in, where there is one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.ports.store.namespace()
    }

    /// The time of day, as everything here is decided by.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.ports.clock.now()
    }

    /// What the clock shows in the time zone that policies go by.
    #[must_use]
    pub fn local_time(&self) -> Time {
        let policy = self.rules.policy.get();
        policy.zone().local(self.now()).time()
    }

    /// The state of the secret store.
    pub async fn store_health(&self) -> StoreHealth {
        self.ports.store.health().await
    }

    /// Names a request of our own.
    fn number(&self) -> u128 {
        number(&*self.ports.random)
    }

    /// Between 0 and 1.
    fn luck(&self) -> f64 {
        let mut byte = [0];
        self.ports.random.fill(&mut byte);
        f64::from(byte[0]) / 255.0
    }

    /// A code of `length` signs for people to type, which nobody can guess.
    #[must_use]
    pub fn code(&self, length: usize) -> String {
        crate::domain::recipe::code(length, &mut |bytes| self.ports.random.fill(bytes))
    }
}

fn number(random: &dyn Random) -> u128 {
    let mut number = [0; 16];
    random.fill(&mut number);
    u128::from_be_bytes(number)
}
