//! Asking the broker: what every protocol on the socket has in common.
//!
//! A second protocol (gRPC, say) is one file beside `vault_api`: it turns what it reads into a
//! [`Request`], asks here, and writes the outcome in its own form. `socket` hands it connections
//! whose peer is known, and decides which protocol a connection speaks. Nothing here knows of HTTP.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::task::TaskTracker;

use crate::broker::{Beside, Broker, BrokerError, ChangedVersions, Collected, Outcome, Waiting};
use crate::domain::caller::UnixPeer;
use crate::domain::{Action, Field, Request, RequestId, Secret, SecretPath, SecretValue};

/// Why there is nothing to hand over.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// Policy refuses.
    Denied,
    /// Not without somebody's agreement.
    NeedsApproval(Box<Waiting>),
    /// It was tried.
    Failed(BrokerError),
    /// A fault of our own.
    Broken,
}

impl From<BrokerError> for NoAnswer {
    fn from(error: BrokerError) -> Self {
        Self::Failed(error)
    }
}

tokio::task_local! {
    /// The turn of the request that is being answered, among those of its user.
    pub(super) static TURN: Arc<OwnedSemaphorePermit>;
}

/// Asks the broker. What it does runs in a task of its own, which ends even when the client goes
/// away meanwhile: the audit has an outcome for every decision, and a dynamic secret that nobody
/// waits for is given back.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) broker: Arc<Broker>,
    pub(super) tasks: TaskTracker,
}

impl Asker {
    /// Answers `request`, with the values it writes, or the parameters it invokes with; what is
    /// wrapped lives for `wrap_ttl`.
    pub(super) async fn ask(
        &self,
        request: Request,
        fields: Vec<Field>,
        wrap_ttl: Option<Duration>,
    ) -> Result<Outcome, NoAnswer> {
        let (broker, id) = (Arc::clone(&self.broker), request.id.clone());
        let work = async move {
            let fields = &fields;
            broker
                .handle_with(request, Beside { fields, wrap_ttl })
                .await
        };
        allowed(self.see_to(id, work, secret_of).await??)
    }

    /// What `token` unwraps.
    pub(super) async fn unwrap(
        &self,
        id: RequestId,
        peer: UnixPeer,
        token: SecretValue,
    ) -> Result<Outcome, NoAnswer> {
        let (broker, request) = (Arc::clone(&self.broker), id.clone());
        let work = async move { broker.unwrap(request, &peer, &token).await };
        allowed(self.see_to(id, work, secret_of).await??)
    }

    /// What `peer` asked for in chat.
    pub(super) async fn collect(
        &self,
        id: RequestId,
        peer: UnixPeer,
        code: String,
    ) -> Result<Secret, NoAnswer> {
        let broker = Arc::clone(&self.broker);
        let work = async move { broker.collect(&code, &peer).await };
        let collected = |collected| match collected {
            Collected::Released(secret) => Some(secret),
            Collected::Denied(_) => None,
        };
        collected(self.see_to(id, work, collected).await??).ok_or(NoAnswer::Denied)
    }

    /// Does `action` to `versions`; which of them are changed by that.
    pub(super) async fn change_versions(
        &self,
        id: RequestId,
        peer: UnixPeer,
        action: Action,
        path: SecretPath,
        versions: Vec<u64>,
    ) -> Result<Vec<u64>, NoAnswer> {
        let (broker, request) = (Arc::clone(&self.broker), id.clone());
        let work = async move {
            broker
                .change_versions(&request, &peer, action, &path, &versions)
                .await
        };
        match self.see_to(id, work, |_| None).await?? {
            ChangedVersions::Done(changed) => Ok(changed),
            ChangedVersions::Denied(_) => Err(NoAnswer::Denied),
            ChangedVersions::NeedsApproval(waiting) => {
                Err(NoAnswer::NeedsApproval(Box::new(waiting)))
            }
        }
    }

    /// Does `work` to its end; when nobody waits for what came of it, the secret in that is given
    /// back.
    pub(super) async fn see_to<T: Send + 'static>(
        &self,
        id: RequestId,
        work: impl Future<Output = Result<T, BrokerError>> + Send + 'static,
        secret: fn(T) -> Option<Secret>,
    ) -> Result<Result<T, BrokerError>, NoAnswer> {
        let broker = Arc::clone(&self.broker);
        let (tell, told) = oneshot::channel();
        // Held until the work is done: whoever hangs up does not have it back before.
        let turn = TURN.try_with(Arc::clone).ok();
        self.tasks.spawn(async move {
            let _turn = turn;
            if let Err(Ok(unwanted)) = tell.send(work.await)
                && let Some(secret) = secret(unwanted)
            {
                broker.give_back(&id, &secret).await;
            }
        });
        told.await.map_err(|_| NoAnswer::Broken)
    }
}

fn allowed(outcome: Outcome) -> Result<Outcome, NoAnswer> {
    if let Outcome::Denied(_) = outcome {
        return Err(NoAnswer::Denied);
    }
    if let Outcome::NeedsApproval(waiting) = outcome {
        return Err(NoAnswer::NeedsApproval(Box::new(waiting)));
    }
    Ok(outcome)
}

fn secret_of(outcome: Outcome) -> Option<Secret> {
    let Outcome::Released(secret) = outcome else {
        return None;
    };
    Some(secret)
}
