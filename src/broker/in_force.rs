//! The policy in force, which a reload replaces whole, and who looks after everything by it.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::broker::Broker;
use crate::broker::lock::itself;
use crate::broker::ports::AuditError;
use crate::domain::person::Account;
use crate::domain::{AuditEntry, AuditEvent, Caller, Policy, RequestId, Subject};

/// The policy that decides now. Who looks at it keeps what it saw until done.
pub struct InForce {
    policy: RwLock<Arc<Policy>>,
    news: watch::Sender<PolicyNews>,
}

/// How the policy in force compares with the one in the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyNews {
    /// What is wrong with the files, so that an older policy is in force; a mistake a line.
    pub problem: Option<String>,
}

/// Whether `caller` administers this host, or is the user that runs us.
pub(super) fn runs_the_host(caller: &Caller) -> bool {
    match caller {
        Caller::Telegram(_) | Caller::Job(_) => false,
        Caller::Unix(peer) => peer.uid == 0 || peer.uid == rustix::process::geteuid().as_raw(),
    }
}

impl From<Policy> for InForce {
    fn from(policy: Policy) -> Self {
        Self {
            policy: RwLock::new(Arc::new(policy)),
            news: watch::Sender::default(),
        }
    }
}

impl InForce {
    /// It.
    #[must_use]
    pub fn get(&self) -> Arc<Policy> {
        // It is replaced in one step, so a panic leaves it whole.
        let policy = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&policy)
    }

    fn set(&self, policy: Policy) {
        let policy = Arc::new(policy);
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }
}

impl Broker {
    /// Puts the policy on record that is in force from the start, by the name `hash`. To be called
    /// before the first request.
    ///
    /// # Errors
    /// When the audit cannot record it; then nothing is to be served.
    pub async fn record_policy(&self, hash: &str) -> Result<(), AuditError> {
        let policies = self.rules.policy.get().len();
        self.record_loaded(hash, policies).await?;
        self.company.goes_by(hash);
        Ok(())
    }

    /// Puts `policy` in force, for every request that is decided from now on. `hash` names it on
    /// record, before anything is decided by it.
    ///
    /// # Errors
    /// When the audit cannot record it; then the one before stays in force.
    pub async fn replace_policy(&self, policy: Policy, hash: &str) -> Result<(), AuditError> {
        self.record_loaded(hash, policy.len()).await?;
        self.rules.policy.set(policy);
        self.company.goes_by(hash);
        // What was granted under the other one may not be any more.
        self.approvals.note_change();
        self.policy_is_current();
        Ok(())
    }

    async fn record_loaded(&self, hash: &str, policies: usize) -> Result<(), AuditError> {
        let entry = AuditEntry {
            at: self.now(),
            id: RequestId::Connection(self.number()),
            caller: Caller::Unix(itself()),
            subject: Subject::Policy,
            event: AuditEvent::PolicyLoaded {
                hash: hash.to_owned(),
                policies,
            },
        };
        self.ports.audit.record(entry).await
    }

    /// Says that the files hold what is in force.
    pub fn policy_is_current(&self) {
        self.rules.policy.news.send_replace(PolicyNews::default());
    }

    /// Says that the files hold something that cannot be put in force.
    pub fn keep_policy(&self, problem: String) {
        let problem = Some(problem);
        self.rules.policy.news.send_replace(PolicyNews { problem });
    }

    /// How the policy in force compares with the one in the files.
    #[must_use]
    pub fn policy_news(&self) -> watch::Receiver<PolicyNews> {
        self.rules.policy.news.subscribe()
    }

    /// Whether `caller` looks after what is everybody's, by whatever account of theirs.
    #[must_use]
    pub fn is_admin(&self, caller: &Caller) -> bool {
        // A job is not who set it going.
        if let Caller::Job(_) = caller {
            return false;
        }
        let policy = self.rules.policy.get();
        let (groups, person) = (policy.groups(), policy.groups().person(caller));
        let mut listed = self.rules.admins.iter();
        listed.any(|id| groups.people().of(&Account::Telegram(*id)) == person)
            || groups.is_admin(caller)
    }

    /// The Telegram accounts of those who do.
    #[must_use]
    pub fn telegram_admins(&self) -> BTreeSet<i64> {
        let policy = self.rules.policy.get();
        let grouped = policy.groups().telegram_admins();
        self.rules.admins.iter().copied().chain(grouped).collect()
    }
}
