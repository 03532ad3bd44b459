//! The commands about leases: `/leases`, `/keep_lease`, `/revoke_lease`.

use std::sync::Arc;
use std::time::Duration;

use super::execute::{broken, failed};
use super::handler::{Handler, Origin};
use super::reply::Reply;
use crate::broker::LeaseName;
use crate::domain::Caller;

impl Handler {
    /// The leases of who asks; of everybody, for an administrator.
    pub(super) async fn leases(&self, origin: &Origin) -> Option<Reply> {
        let caller = Caller::Telegram(origin.user.clone());
        Some(match self.broker.leases(&caller).await {
            Ok(leases) => Reply::leases(&leases, &caller),
            Err(error) => failed(origin, &error),
        })
    }

    /// Renews the lease of that code as often as needed for `time`.
    pub(super) async fn keep_lease(
        &self,
        origin: &Origin,
        code: String,
        time: Duration,
    ) -> Option<Reply> {
        let (broker, id) = (Arc::clone(&self.broker), origin.id.clone());
        let caller = Caller::Telegram(origin.user.clone());
        let keeping = async move {
            let name = LeaseName::Code(&code);
            broker.keep_lease(&id, &caller, name, time).await
        };
        Some(match self.whole(keeping).await {
            Some(Ok(kept)) => Reply::lease_kept(&kept),
            Some(Err(error)) => failed(origin, &error),
            None => broken(origin),
        })
    }

    /// Ends the lease of that code.
    pub(super) async fn revoke_lease(&self, origin: &Origin, code: String) -> Option<Reply> {
        let (broker, id) = (Arc::clone(&self.broker), origin.id.clone());
        let caller = Caller::Telegram(origin.user.clone());
        let revoking = async move {
            let name = LeaseName::Code(&code);
            broker.revoke_lease(&id, &caller, name).await
        };
        Some(match self.whole(revoking).await {
            Some(Ok(lease)) => Reply::lease_revoked(&lease),
            Some(Err(error)) => failed(origin, &error),
            None => broken(origin),
        })
    }
}
