//! What becomes of a dynamic secret that nobody is going to have: its lease ends.

use crate::broker::Broker;
use crate::domain::{Origin, RequestId, Secret};

impl Broker {
    /// Ends the lease of `secret`, if it has one: who asked in `request` did not get it.
    pub async fn give_back(&self, request: &RequestId, secret: &Secret) {
        if let Origin::Leased(lease) = &secret.origin {
            self.revoke(request, &lease.id).await;
        }
    }

    /// Ends a lease as well as it can be done; where it cannot now, it is tried again until its
    /// time is up.
    pub(super) async fn revoke(&self, request: &RequestId, lease: &str) {
        let code = self.lease_code(lease);
        match self.ports.store.revoke(lease).await {
            Ok(()) => {
                tracing::info!(event = "broker.lease_given_back", %request, lease);
                if let Some(code) = code {
                    self.forget(&code).await;
                }
            }
            Err(error) => {
                tracing::warn!(
                    event = "broker.lease_not_given_back",
                    %request,
                    lease,
                    error = error.name(),
                    advice = "run: bao lease revoke LEASE; vaultgram's Vault policy must let it update sys/leases/revoke"
                );
                if let Some(code) = code {
                    self.give_up(&code);
                }
            }
        }
    }
}
