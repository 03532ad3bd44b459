//! What was handed out lately, so that it is known again where it must not be: in a message that
//! others read.
//!
//! Nothing of a value is kept but what [`crate::domain::leak`] says, in memory alone: a restart
//! forgets it. What is wrapped never passes here, and is not known.

mod leaves;
mod registry;
mod unrecorded;

use time::OffsetDateTime;

use self::leaves::leaves;
pub(super) use self::registry::Registry;
pub(super) use self::unrecorded::Unrecorded;
use crate::broker::Broker;
use crate::broker::ports::AuditError;
use crate::domain::leak::Key;
use crate::domain::{
    Action, ApprovalId, AuditEntry, AuditEvent, Caller, Permit, RequestId, Secret, SecretPath,
    Subject, Target,
};

/// A value that was handed out, in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Whose it is.
    pub path: SecretPath,
    /// Its version, where there are versions.
    pub version: Option<u64>,
    /// Its field.
    pub field: String,
    /// Who was given it in the last day, the latest first.
    pub holders: Vec<Holder>,
}

/// Somebody who was given a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub caller: Caller,
    /// By what request, the last time.
    pub request: RequestId,
    /// When, the last time.
    pub at: OffsetDateTime,
    /// What was to be done with the secret.
    action: Action,
    /// The lease that it ends with, where it has one.
    lease: Option<String>,
    /// The request for approval under which it was, where that was needed.
    grant: Option<ApprovalId>,
}

impl Broker {
    /// From now on what is handed out is remembered, to be found by [`Broker::leaks_in`].
    pub fn watch_for_leaks(&self) {
        let mut key = Key::new([0; 48]);
        self.ports.random.fill(key.as_mut_slice());
        self.leaks.start(key);
    }

    /// The values in `text` that were handed out in the last day. Nothing of it is kept.
    #[must_use]
    pub fn leaks_in(&self, text: &str) -> Vec<Leak> {
        self.leaks.find(text, self.now())
    }

    /// Does what there is to do about `leaks` in the message `message` of `writer`: puts them on
    /// record for each who had them, and ends the leases of what was given to them. What the audit
    /// does not take now, [`Broker::record_leaks`] records.
    ///
    /// # Errors
    /// When the audit cannot be written, and the state store cannot keep it until it can; what can
    /// be ended is ended all the same.
    pub async fn leaked(
        &self,
        leaks: &[Leak],
        message: &RequestId,
        writer: Option<i64>,
    ) -> Result<(), AuditError> {
        let entries = leaks.iter().flat_map(|leak| {
            let entry = |holder| self.entry(leak, holder, message, writer);
            leak.holders.iter().map(entry)
        });
        let entries: Vec<_> = entries.collect();
        let recorded = self.ports.audit.record_all(entries.clone()).await;
        for holder in leaks.iter().flat_map(|leak| &leak.holders) {
            if let Some(grant) = &holder.grant {
                self.end_grant(&holder.request, grant).await;
            }
            if let Some(lease) = &holder.lease {
                self.revoke(&holder.request, lease).await;
            }
        }
        match recorded {
            Ok(()) => Ok(()),
            Err(error) => self.keep_unrecorded(entries, error).await,
        }
    }

    fn entry(
        &self,
        leak: &Leak,
        holder: &Holder,
        message: &RequestId,
        writer: Option<i64>,
    ) -> AuditEntry {
        AuditEntry {
            at: self.now(),
            id: holder.request.clone(),
            caller: holder.caller.clone(),
            subject: Subject::Secret {
                action: holder.action,
                target: Target {
                    path: leak.path.clone(),
                    field: Some(leak.field.clone()),
                    version: leak.version,
                },
            },
            event: AuditEvent::Leaked {
                message: message.clone(),
                writer,
            },
        }
    }

    /// Remembers that `secret` is handed to who asked with `permit`. Everything that goes out as
    /// it is comes by here.
    pub(super) fn issued(&self, permit: &Permit, secret: &Secret) {
        self.leaks.add(permit, secret, self.now());
    }
}
