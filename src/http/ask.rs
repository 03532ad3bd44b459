//! Asking the broker: what every protocol on the socket has in common.
//!
//! A second protocol (gRPC, say) is one file beside `vault_api`: it turns what it reads into a
//! [`Request`], asks here, and writes the outcome in its own form. `socket` hands it connections
//! whose peer is known, and decides which protocol a connection speaks. Nothing here knows of HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::broker::{Beside, Broker, BrokerError, ChangedVersions, Collected, Outcome, Waiting};
use crate::domain::caller::UnixPeer;
use crate::domain::{
    Action, Caller, Field, Origin, Request, RequestId, Secret, SecretPath, SecretValue, Target,
};

/// Why there is nothing to hand over.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// Policy refuses.
    Denied,
    /// Not without somebody's agreement.
    NeedsApproval(Box<Unapproved>),
    /// It was tried.
    Failed(BrokerError),
    /// A fault of our own.
    Broken,
}

/// What others must agree to first.
#[derive(Debug)]
pub(super) struct Unapproved {
    pub(super) waiting: Waiting,
    /// What it is, where the caller said that.
    pub(super) about: Option<(Action, Target)>,
}

impl From<BrokerError> for NoAnswer {
    fn from(error: BrokerError) -> Self {
        Self::Failed(error)
    }
}

tokio::task_local! {
    /// That of the request that is being answered.
    pub(super) static TURN: Arc<Turn>;
}

/// The turn of a request, among those of its user.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    unsent: Mutex<Option<Unsent>>,
}

impl Turn {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: permit,
            unsent: Mutex::default(),
        }
    }

    /// What came of the request, and is to be sent.
    pub(super) fn unsent(&self) -> Option<Unsent> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Unsent>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dynamic secret that is on its way to who asked. Dropped before it is sent, it is given back.
pub(super) struct Unsent {
    asker: Asker,
    id: RequestId,
    /// Where it is from, without its values; `None` once it is settled.
    secret: Option<Secret>,
}

impl Unsent {
    fn new(asker: &Asker, id: &RequestId, secret: &Secret) -> Option<Self> {
        let Origin::Leased(_) = &secret.origin else {
            return None;
        };
        Some(Self {
            asker: asker.clone(),
            id: id.clone(),
            secret: Some(Secret {
                fields: vec![],
                origin: secret.origin.clone(),
                age: None,
            }),
        })
    }

    /// All of the answer is with the kernel: it is the client's now.
    pub(super) fn sent(mut self) {
        self.secret = None;
    }

    async fn give_back(mut self) {
        if let Some(secret) = self.secret.take() {
            self.asker.broker.give_back(&self.id, &secret).await;
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(secret) = self.secret.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let (broker, id) = (Arc::clone(&self.asker.broker), self.id.clone());
            let back = async move { broker.give_back(&id, &secret).await };
            self.asker.tasks.spawn_on(back, &runtime);
        }
    }
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
        let about = (request.action, request.target.clone());
        let work = async move {
            let beside = Beside {
                wrap_ttl,
                ..Beside::fields(&fields)
            };
            broker.handle_with(request, beside).await
        };
        allowed(self.see_to(id, work, secret_of).await??, Some(about))
    }

    /// What `token` unwraps.
    pub(super) async fn unwrap(
        &self,
        id: RequestId,
        caller: Caller,
        token: SecretValue,
    ) -> Result<Outcome, NoAnswer> {
        let (broker, request) = (Arc::clone(&self.broker), id.clone());
        let work = async move { broker.unwrap(request, &caller, &token).await };
        allowed(self.see_to(id, work, secret_of).await??, None)
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
        match self.see_to(id, work, collected).await?? {
            Collected::Released(secret) => Ok(secret),
            Collected::Denied(_) => Err(NoAnswer::Denied),
        }
    }

    /// Does `action` to `versions`; which of them are changed by that.
    pub(super) async fn change_versions(
        &self,
        id: RequestId,
        caller: Caller,
        action: Action,
        path: SecretPath,
        versions: Vec<u64>,
    ) -> Result<Vec<u64>, NoAnswer> {
        let (broker, request) = (Arc::clone(&self.broker), id.clone());
        let target = Target {
            path: path.clone(),
            field: None,
            version: None,
        };
        let work = async move {
            broker
                .change_versions(&request, &caller, action, &path, &versions)
                .await
        };
        match self.see_to(id, work, |_| None).await?? {
            ChangedVersions::Done(changed) => Ok(changed),
            ChangedVersions::Denied(_) => Err(NoAnswer::Denied),
            ChangedVersions::NeedsApproval(waiting) => {
                let about = Some((action, target));
                Err(NoAnswer::NeedsApproval(Box::new(Unapproved {
                    waiting,
                    about,
                })))
            }
        }
    }

    /// Does `work` to its end. A dynamic `secret` in what came of it is given back, unless that is
    /// sent.
    pub(super) async fn see_to<T: Send + 'static>(
        &self,
        id: RequestId,
        work: impl Future<Output = Result<T, BrokerError>> + Send + 'static,
        secret: fn(&T) -> Option<&Secret>,
    ) -> Result<Result<T, BrokerError>, NoAnswer> {
        let asker = self.clone();
        let (tell, told) = oneshot::channel();
        // Held until the work is done: whoever hangs up does not have it back before.
        let turn = TURN.try_with(Arc::clone).ok();
        let held = turn.clone();
        let doing = async move {
            let _held = held;
            let done = work.await;
            let secret = done.as_ref().ok().and_then(secret);
            let unsent = secret.and_then(|secret| Unsent::new(&asker, &id, secret));
            if let Err((_, Some(unsent))) = tell.send((done, unsent)) {
                unsent.give_back().await;
            }
        };
        self.tasks.spawn(doing.in_current_span());
        let (done, unsent) = told.await.map_err(|_| NoAnswer::Broken)?;
        if let Some(turn) = turn {
            *turn.lock() = unsent;
        }
        Ok(done)
    }
}

fn allowed(outcome: Outcome, about: Option<(Action, Target)>) -> Result<Outcome, NoAnswer> {
    if let Outcome::Denied(_) = outcome {
        return Err(NoAnswer::Denied);
    }
    if let Outcome::NeedsApproval(waiting) = outcome {
        return Err(NoAnswer::NeedsApproval(Box::new(Unapproved {
            waiting,
            about,
        })));
    }
    Ok(outcome)
}

fn secret_of(outcome: &Outcome) -> Option<&Secret> {
    let Outcome::Released(secret) = outcome else {
        return None;
    };
    Some(secret)
}

fn collected(collected: &Collected) -> Option<&Secret> {
    match collected {
        Collected::Released(secret) => Some(secret),
        Collected::Denied(_) => None,
    }
}
