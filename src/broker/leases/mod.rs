//! The leases of dynamic secrets that were handed over: who has them, how long they last, and
//! what their holders want done with them.
//!
//! A lease lives no longer than the process that looks after it: all are revoked when it stops
//! ([`keeper`]), and those that a crash left behind at the next start, or by another replica after a
//! minute. Any replica shows them all, and whichever is asked to keep one looks after it ([`shared`]).

mod keeper;
mod registry;
mod shared;

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

pub(super) use self::registry::Registry;
use self::registry::{Entry, MAX_EACH, PREFIX, after};
use crate::broker::in_force::runs_the_host;
use crate::broker::ports::{AuditError, StoreError};
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::{
    AuditEntry, AuditEvent, Caller, Lease, LeaseAction, Permit, RequestId, Subject,
};

/// Signs of a lease's code: only who has the lease can use it, so it need not be long.
const CODE_LENGTH: usize = 4;
/// The longest somebody may want to keep a lease.
pub const MAX_KEPT: Duration = Duration::from_hours(24 * 30);
/// Vault grants whole seconds, and takes its time.
const ROUNDED: Duration = Duration::from_secs(2);

/// A lease, as its holder and administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseInfo {
    /// What people call it.
    pub code: String,
    /// Its name in Vault.
    pub lease: String,
    /// Where the secret was read or made.
    pub path: String,
    /// Who has it: `telegram:1001`, `uid:990`.
    pub holder: String,
    /// When it was made.
    pub made: OffsetDateTime,
    /// When it was last renewed.
    pub renewed: Option<OffsetDateTime>,
    /// Whether it can be asked to last longer.
    pub renewable: bool,
    /// How long it lasts, unless it is renewed.
    pub left: Duration,
    /// For how long it is renewed from now on, where its holder wants that.
    pub kept: Option<Duration>,
}

/// What came of keeping a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// The lease as it is now.
    pub lease: LeaseInfo,
    /// Vault lets it last no longer, though more was asked for.
    pub cut: bool,
}

/// How somebody names a lease.
#[derive(Debug, Clone, Copy)]
pub enum LeaseName<'a> {
    /// By its code.
    Code(&'a str),
    /// As Vault does.
    Id(&'a str),
}

/// A request about a lease, by somebody who may.
struct Asked<'a> {
    id: &'a RequestId,
    caller: &'a Caller,
    action: LeaseAction,
    code: String,
    entry: Entry,
}

impl Broker {
    /// The leases of `caller`, and of everybody for an administrator; the one that ends first
    /// comes first.
    ///
    /// # Errors
    /// When the state store does not tell which leases other replicas have.
    pub async fn leases(&self, caller: &Caller) -> Result<Vec<LeaseInfo>, BrokerError> {
        let all = self.all_leases().await?;
        let theirs = all.iter().filter(|(_, entry)| self.may(caller, entry));
        let mut leases: Vec<_> = theirs.map(|(code, entry)| info(code, entry)).collect();
        leases.sort_by_key(|lease| lease.left);
        Ok(leases)
    }

    /// How many leases this process looks after.
    #[must_use]
    pub fn lease_count(&self) -> usize {
        self.leases.all().len()
    }

    /// The lease that `caller` names, if it is theirs or they are an administrator.
    ///
    /// # Errors
    /// When it is not, or there is none: all one to who asks.
    pub async fn lease(
        &self,
        caller: &Caller,
        name: LeaseName<'_>,
    ) -> Result<LeaseInfo, BrokerError> {
        let named = self.named(name).await?;
        let (code, entry) = named.ok_or(BrokerError::UnknownLease)?;
        if !self.may(caller, &entry) {
            return Err(BrokerError::UnknownLease);
        }
        Ok(info(&code, &entry))
    }

    /// Renews a lease as often as needed for `span` from now on. Vault is asked at once how long
    /// it lets it last; after that it is renewed step by step, so that should this process end for
    /// good, the lease soon does too.
    ///
    /// # Errors
    /// See [`BrokerError`]; on any error it is kept no longer than before.
    pub async fn keep_lease(
        &self,
        id: &RequestId,
        caller: &Caller,
        name: LeaseName<'_>,
        span: Duration,
    ) -> Result<Keeping, BrokerError> {
        if span.is_zero() || span > MAX_KEPT {
            return Err(BrokerError::KeptTooLong);
        }
        let mut asked = self.asked(id, caller, LeaseAction::Keep, name).await?;
        let done = match self.adopt(&mut asked).await {
            Ok(()) => self.keep(&asked, span).await,
            Err(error) => Err(error),
        };
        let cut = self.ended(&asked, done).await?;
        let lease = self.lease(caller, LeaseName::Code(&asked.code)).await?;
        Ok(Keeping { lease, cut })
    }

    /// Renews a lease once, for `increment` (zero: for as long as Vault likes) or as long as Vault
    /// lets it.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn renew_lease(
        &self,
        id: &RequestId,
        caller: &Caller,
        name: LeaseName<'_>,
        increment: Duration,
    ) -> Result<LeaseInfo, BrokerError> {
        let mut asked = self.asked(id, caller, LeaseAction::Renew, name).await?;
        let done = match self.adopt(&mut asked).await {
            Ok(()) => self.renew(&asked.code, &asked.entry, increment).await,
            Err(error) => Err(error),
        };
        let done = match done {
            Ok(granted) => {
                let seconds = granted.as_secs();
                let renewed = AuditEvent::LeaseRenewed { seconds };
                self.record_lease(&asked, renewed).await.map_err(Into::into)
            }
            Err(error) => Err(error),
        };
        self.ended(&asked, done).await?;
        self.lease(caller, LeaseName::Code(&asked.code)).await
    }

    /// Ends a lease, and with it what hangs on it; what it was.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn revoke_lease(
        &self,
        id: &RequestId,
        caller: &Caller,
        name: LeaseName<'_>,
    ) -> Result<LeaseInfo, BrokerError> {
        let asked = self.asked(id, caller, LeaseAction::Revoke, name).await?;
        let done = self.ports.store.revoke(&asked.entry.lease).await;
        self.ended(&asked, done.map_err(Into::into)).await?;
        // Whoever looks after it: there is nothing left to look after.
        self.leases.all().remove(&asked.code);
        self.remove(&asked.code).await;
        if let Err(error) = self.record_lease(&asked, AuditEvent::LeaseRevoked).await {
            let lease = &asked.entry.lease;
            tracing::error!(event = "broker.change_unrecorded", request = %id, lease, %error);
            return Err(BrokerError::DoneUnrecorded);
        }
        Ok(info(&asked.code, &asked.entry))
    }

    /// Looks after the lease of what `permit` brought; its code.
    pub(super) async fn book(&self, permit: &Permit, lease: &Lease) -> Result<String, BrokerError> {
        let holder = permit.request().caller.to_string();
        let about = (permit.target().path.to_string(), holder);
        let (now, granted) = (self.now(), lease.duration);
        let entry = Entry {
            grant: permit.grant().map(ToString::to_string),
            ..Entry::new((&lease.id, lease.renewable), granted, about, now)
        };
        let value = entry.stored(&self.leases.keeper, now, granted).write()?;
        let code = loop {
            let added = self.leases.add(entry.clone(), || self.code(CODE_LENGTH));
            let code = added.ok_or(BrokerError::TooManyLeases(MAX_EACH))?;
            let coordination = &self.ports.coordination;
            match coordination.swap(&key(&code), None, Some(&value)).await {
                Ok(true) => break code,
                // Another replica has given that code.
                Ok(false) => {
                    self.leases.all().remove(&code);
                }
                Err(error) => {
                    self.leases.all().remove(&code);
                    return Err(error.into());
                }
            }
        };
        // Whoever took it back meanwhile did not know of this lease.
        if let Some(grant) = permit.grant()
            && !self.grant_holds(grant).await?
        {
            return Err(ApprovalError::Over.into());
        }
        Ok(code)
    }

    async fn keep(&self, asked: &Asked<'_>, span: Duration) -> Result<bool, BrokerError> {
        let Asked { code, entry, .. } = asked;
        let seconds = span.as_secs();
        // Before it lasts any longer.
        self.record_lease(asked, AuditEvent::LeaseKept { seconds })
            .await?;
        let until = |span| Some(after(Instant::now(), span));
        let left = entry.left();
        if span <= left {
            self.want(code, until(span)).await?;
            return Ok(false);
        }
        if !entry.renewable {
            return Err(BrokerError::NotRenewable);
        }
        let most = self.renew(code, entry, span).await?;
        let step = entry.step.max(left);
        let granted = if most > step {
            // What was granted stands, where this fails.
            self.renew(code, entry, step).await.unwrap_or(most)
        } else {
            most
        };
        let cut = most + ROUNDED < span;
        let kept = if cut { most } else { span };
        self.want(code, until(kept)).await?;
        let seconds = granted.as_secs();
        self.record_lease(asked, AuditEvent::LeaseRenewed { seconds })
            .await?;
        Ok(cut)
    }

    /// Its holder wants a lease until then.
    async fn want(&self, code: &str, until: Option<Instant>) -> Result<(), BrokerError> {
        self.leases.update(code, |entry| entry.keep = until);
        let entry = self.leases.get(code).ok_or(BrokerError::UnknownLease)?;
        let stored = entry.stored(&self.leases.keeper, self.now(), entry.left());
        if !self.rewrite(code, &entry, Some(&stored)).await? {
            return Err(BrokerError::UnknownLease);
        }
        Ok(())
    }

    /// Has Vault lengthen a lease; for how long from now on.
    async fn renew(
        &self,
        code: &str,
        entry: &Entry,
        increment: Duration,
    ) -> Result<Duration, BrokerError> {
        let now = self.now();
        let most = increment.max(entry.step).max(entry.left());
        let stored = entry.stored(&self.leases.keeper, now, most);
        if !self.rewrite(code, entry, Some(&stored)).await? {
            return Err(BrokerError::UnknownLease);
        }
        let granted = self.ports.store.renew(&entry.lease, increment).await?;
        let luck = self.luck();
        self.leases
            .update(code, |entry| entry.granted(granted, now, luck));
        Ok(granted)
    }

    /// The lease that `caller` wants something done with, if they may; on record either way.
    async fn asked<'a>(
        &self,
        id: &'a RequestId,
        caller: &'a Caller,
        action: LeaseAction,
        name: LeaseName<'_>,
    ) -> Result<Asked<'a>, BrokerError> {
        if let Caller::Telegram(_) = caller {
            self.not_locked().await?;
        }
        let named = self.named(name).await?;
        let (code, entry) = named.ok_or(BrokerError::UnknownLease)?;
        let allowed = self.may(caller, &entry);
        let asked = Asked {
            id,
            caller,
            action,
            code,
            entry,
        };
        let decided = AuditEvent::Decided {
            allowed,
            reason: (!allowed).then_some("not_the_holder"),
            policies: vec![],
            vault_role: None,
            grant: None,
        };
        self.record_lease(&asked, decided).await?;
        if !allowed {
            tracing::warn!(event = "broker.lease_foreign", request = %id, %caller);
            return Err(BrokerError::UnknownLease);
        }
        Ok(asked)
    }

    /// `done`, with a failure on record.
    async fn ended<T>(
        &self,
        asked: &Asked<'_>,
        done: Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        let Err(error) = done else { return done };
        let lease = &asked.entry.lease;
        let advice = advice(&error);
        tracing::warn!(
            event = "broker.lease_request_failed",
            request = %asked.id,
            lease,
            error = error.name(),
            advice,
        );
        let reason = error.name();
        self.record_lease(asked, AuditEvent::Failed { reason })
            .await?;
        Err(error)
    }

    async fn record_lease(&self, asked: &Asked<'_>, event: AuditEvent) -> Result<(), AuditError> {
        let entry = AuditEntry {
            at: self.now(),
            id: asked.id.clone(),
            caller: asked.caller.clone(),
            subject: Subject::Lease {
                action: asked.action,
                lease: asked.entry.lease.clone(),
                path: asked.entry.path.clone(),
            },
            event,
        };
        self.ports.audit.record(entry).await
    }

    /// The code of the lease that Vault calls `lease`.
    pub(super) fn lease_code(&self, lease: &str) -> Option<String> {
        self.leases.code_of(lease)
    }

    /// Nobody has the lease of that code: it is revoked as soon as that works.
    pub fn give_up(&self, code: &str) {
        let luck = self.luck();
        self.leases.update(code, |entry| {
            entry.unwanted = true;
            entry.failed(luck);
        });
    }

    /// Looks after a lease no more, which another replica may do.
    pub(super) async fn forget(&self, code: &str) {
        let known = self.leases.all().remove(code);
        if self.ports.coordination.alone() {
            return self.remove(code).await;
        }
        if let Some(entry) = known
            && let Err(error) = self.rewrite(code, &entry, None).await
        {
            tracing::warn!(event = "broker.lease_not_forgotten", code, %error);
        }
    }

    async fn remove(&self, code: &str) {
        if let Err(error) = self.ports.coordination.delete(&key(code)).await {
            // The next start finds it, and revokes what is gone already.
            tracing::warn!(event = "broker.lease_not_forgotten", code, %error);
        }
    }

    /// Whether `caller` has the lease, or is an administrator.
    fn may(&self, caller: &Caller, entry: &Entry) -> bool {
        let own = |caller: &Caller| entry.holder == caller.to_string();
        if own(caller) || self.is_admin(caller) || runs_the_host(caller) {
            return true;
        }
        match caller {
            Caller::Telegram(_) | Caller::Job(_) => false,
            Caller::Unix(peer) => {
                // What an account was offered, its Unix user collected.
                let collects = |(user, uid): (&i64, &u32)| {
                    *uid == peer.uid && entry.holder == format!("telegram:{user}")
                };
                self.rules.unix_users.iter().any(collects)
            }
        }
    }
}

fn info(code: &str, entry: &Entry) -> LeaseInfo {
    let now = Instant::now();
    LeaseInfo {
        code: code.to_owned(),
        lease: entry.lease.clone(),
        path: entry.path.clone(),
        holder: entry.holder.clone(),
        made: entry.made,
        renewed: entry.renewed,
        renewable: entry.renewable,
        left: whole(entry.left()),
        kept: entry
            .keep
            .map(|until| whole(until.saturating_duration_since(now)))
            .filter(|kept| !kept.is_zero()),
    }
}

/// In whole seconds, to the next one: what was just granted is told in full.
fn whole(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs() + u64::from(span.subsec_nanos() > 0))
}

fn key(code: &str) -> String {
    format!("{PREFIX}{code}")
}

/// What an operator can do about it.
fn advice(error: &BrokerError) -> Option<&'static str> {
    matches!(error, BrokerError::Store(StoreError::Forbidden)).then_some(
        "vaultgram's Vault policy must let it update sys/leases/renew and sys/leases/revoke \
         (policies/vault/broker.hcl)",
    )
}
