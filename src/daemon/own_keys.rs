//! Keys of our own where Vault has them: by what right they are read, and how `serve` waits for those of
//! the application.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::broker::ports::{Clock, StoreHealth, SystemClock};
use crate::broker::{ApprovalRules, Broker, Outcome, Ports, Rules};
use crate::daemon::application::{from_secret, malformed};
use crate::domain::caller::UnixPeer;
use crate::domain::group::Groups;
use crate::domain::policy_load::PolicySource;
use crate::domain::{
    Action, Caller, Decision, Delivery, Mounts, Permit, Policy, Request, RequestId, Secret,
    SecretPath, Target,
};
use crate::telegram::Backoff;

/// How long a start may take before it is worth a word.
const QUIET: Duration = Duration::from_secs(2);

/// Their place in Vault, and a broker of its own that reads nothing else: by policy, and on
/// the audit's record.
pub(super) struct OwnKeys {
    broker: Broker,
    path: SecretPath,
}

impl OwnKeys {
    /// Reads `path` by way of `ports`.
    ///
    /// # Errors
    /// When there can be no policy for it.
    pub(super) fn new(path: SecretPath, mounts: Mounts, ports: Ports) -> Result<Self, String> {
        let rules = Rules {
            policy: policy(&path, &mounts)?.into(),
            mounts,
            // Nothing is wrapped, and nobody collects.
            wrap_ttl: Duration::ZERO,
            unix_users: BTreeMap::new(),
            admins: BTreeSet::new(),
            approvals: ApprovalRules::default(),
        };
        let broker = Broker::new(rules, ports);
        Ok(Self { broker, path })
    }

    /// The application's id, once Vault can be asked and has it.
    pub(super) async fn api_id(&self) -> i32 {
        let began = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        loop {
            let reason = match self.application().await {
                Ok(id) => return id,
                Err(reason) => reason,
            };
            let delay = backoff.next();
            if began.elapsed() >= QUIET {
                let retry_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(
                    event = "telegram.keys_awaited",
                    path = %self.path,
                    reason,
                    retry_in_ms
                );
            }
            sleep(delay).await;
        }
    }

    async fn application(&self) -> Result<i32, String> {
        let secret = self.read().await?;
        let found = from_secret(&secret).ok_or_else(|| malformed(&self.path))?;
        Ok(found.id)
    }

    /// All that is there now.
    ///
    /// # Errors
    /// Says why it cannot be read.
    pub(super) async fn read(&self) -> Result<Secret, String> {
        // Asked first, so that a Vault that is down leaves no records of what could not be.
        match self.broker.store_health().await {
            StoreHealth::Ready(_) => {}
            StoreHealth::LoggedOut { reason } => {
                return Err(format!("Vault does not let us in: {reason}"));
            }
            StoreHealth::Sealed => return Err("Vault is sealed".to_owned()),
            StoreHealth::Uninitialized => return Err("Vault is not initialised".to_owned()),
            StoreHealth::Unreachable { reason } => {
                return Err(format!("Vault does not answer: {reason}"));
            }
        }
        let outcome = self.broker.handle(request(&self.path)).await;
        let Outcome::Released(secret) = outcome.map_err(|error| error.to_string())? else {
            return Err("the path is not one of [vault] mounts".to_owned());
        };
        Ok(secret)
    }
}

/// A permission for this one path, to ourselves, by the same road as every other: policy.
///
/// # Errors
/// When the path is none of `mounts`.
pub(super) fn permit(path: &SecretPath, mounts: &Mounts) -> Result<Permit, String> {
    match policy(path, mounts)?.decide(&request(path), SystemClock.now()) {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(_) | Decision::NeedsApproval(_) => {
            Err("the path is not one of [vault] mounts".to_owned())
        }
    }
}

/// That we may read our own keys.
fn policy(path: &SecretPath, mounts: &Mounts) -> Result<Policy, String> {
    let uid = rustix::process::geteuid().as_raw();
    let source = PolicySource {
        name: "own keys".to_owned(),
        text: format!(
            "@id(\"own-keys\") permit(principal == UnixPeer::\"{uid}\", action == Action::\"read\", \
             resource == Path::\"{path}\");"
        ),
    };
    let groups = Groups::default();
    Policy::load(&[source], groups, mounts).map_err(|error| error.to_string())
}

fn request(path: &SecretPath) -> Request {
    Request {
        id: RequestId::Connection(rand::random()),
        caller: Caller::Unix(UnixPeer::known(
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
            rustix::process::getpid().as_raw_nonzero().get(),
        )),
        target: Target {
            path: path.clone(),
            field: None,
            version: None,
        },
        action: Action::Read(Delivery::Socket),
    }
}
