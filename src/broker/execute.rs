//! Acting on a permit: read, record, hand over.

use crate::broker::{Broker, BrokerError};
use crate::domain::{AuditEntry, AuditEvent, Permit, Secret};

impl Broker {
    /// Uses up `permit`. The secret leaves here only after its release is on record.
    pub(super) async fn execute(&self, permit: Permit) -> Result<Secret, BrokerError> {
        let result = self.read(&permit).await;
        let event = match &result {
            Ok(secret) => AuditEvent::Released {
                version: secret.version,
            },
            Err(error) => AuditEvent::Failed {
                reason: error.name(),
            },
        };
        self.audit
            .record(AuditEntry::outcome(&permit, event, self.clock.now()))
            .await?;
        result
    }

    async fn read(&self, permit: &Permit) -> Result<Secret, BrokerError> {
        if permit.expires() <= self.clock.now() {
            return Err(BrokerError::PermitExpired);
        }
        let mut secret = self.store.read(permit).await?;
        if let Some(wanted) = &permit.target().field {
            let Some(position) = secret.fields.iter().position(|field| field.name == *wanted)
            else {
                return Err(BrokerError::NoSuchField(
                    secret.names().map(str::to_owned).collect(),
                ));
            };
            secret.fields = vec![secret.fields.swap_remove(position)];
        }
        Ok(secret)
    }
}
