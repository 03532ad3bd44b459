//! Requests that were claimed: by which process, and whether one had them before that ended.

use time::OffsetDateTime;

use crate::broker::ports::{Claim, CoordinationError};
use crate::broker::{Broker, BrokerError};
use crate::domain::{Action, Caller, Decision, MountKind, Request, RequestId};

/// How long a message stays claimed: far longer than an old command is accepted.
const CLAIM_LIFETIME: time::Duration = time::Duration::days(1);

/// A request that this process has claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The membership in which it was claimed: under another it may be somebody else's.
    term: Option<u64>,
    /// A process that ended had it before, and nobody knows how far it got.
    pub again: bool,
}

/// Whose a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This process's, from now on.
    Ours(Hold),
    /// A living process's, perhaps this one's since before.
    Anothers,
    /// Nobody's any more: it is done.
    Done,
}

impl Whose {
    /// It, if it is this process's.
    #[must_use]
    pub fn ours(self) -> Option<Hold> {
        match self {
            Self::Ours(hold) => Some(hold),
            Self::Anothers | Self::Done => None,
        }
    }
}

impl Broker {
    /// Takes the request for this process, if it is nobody's. For what is answered without
    /// [`Broker::handle`], which claims by itself.
    ///
    /// # Errors
    /// When the coordination store cannot tell.
    pub async fn hold(&self, id: &RequestId) -> Result<Whose, CoordinationError> {
        let term = self.ports.coordination.term();
        Ok(match self.claim(id).await? {
            Claim::Ours => Whose::Ours(Hold { term, again: false }),
            Claim::Abandoned => Whose::Ours(Hold { term, again: true }),
            Claim::Taken => Whose::Anothers,
            Claim::Done => Whose::Done,
        })
    }

    /// As [`Broker::hold`], in the store's own words.
    ///
    /// # Errors
    /// When the coordination store cannot tell.
    pub async fn claim(&self, id: &RequestId) -> Result<Claim, CoordinationError> {
        match id {
            RequestId::Message { .. } | RequestId::Press(_) => {
                let until = self.now() + CLAIM_LIFETIME;
                self.ports.coordination.claim(&claim_key(id), until).await
            }
            RequestId::Connection(_) => Ok(Claim::Ours),
        }
    }

    /// Whether what `name` stands for was not done since `until` began, by any replica. It is
    /// from now on.
    ///
    /// # Errors
    /// When the coordination store cannot tell.
    pub async fn first(
        &self,
        name: &str,
        until: OffsetDateTime,
    ) -> Result<bool, CoordinationError> {
        let coordination = &self.ports.coordination;
        let first = match coordination.claim(name, until).await? {
            Claim::Ours | Claim::Abandoned => true,
            Claim::Taken | Claim::Done => false,
        };
        if first {
            coordination.finish(name).await?;
        }
        Ok(first)
    }

    /// Says that the request is answered, so that it stays claimed after a restart too: what was
    /// claimed and not finished is done again, or told to have been interrupted.
    ///
    /// # Errors
    /// When the coordination store cannot keep it.
    pub async fn finish(&self, id: &RequestId) -> Result<(), CoordinationError> {
        match id {
            RequestId::Message { .. } | RequestId::Press(_) => {
                self.company.answered(id);
                self.ports.coordination.finish(&claim_key(id)).await
            }
            RequestId::Connection(_) => Ok(()),
        }
    }

    /// Which membership of the replicas' company this is; `None` while the others may take this
    /// process for one that has ended, and do what it does.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.ports.coordination.term()
    }

    /// Whether the state store is shared with others, as far as is known.
    #[must_use]
    pub fn has_company(&self) -> bool {
        !self.ports.coordination.alone() || self.term().is_none()
    }

    /// Refuses what another replica may do by now: a program's request came to this one alone, but
    /// a message came to all.
    pub(super) fn in_touch(&self, hold: Hold, caller: &Caller) -> Result<(), BrokerError> {
        let term = self.term();
        match caller {
            Caller::Telegram(_) if term.is_none() || term != hold.term => {
                Err(BrokerError::OutOfTouch)
            }
            Caller::Telegram(_) | Caller::Unix(_) | Caller::Job(_) => Ok(()),
        }
    }

    /// Whether doing `action` twice changes nothing, as far as can be told by it alone. The answer
    /// is the same message, however often it is sent.
    pub(super) fn may_repeat(&self, request: &Request) -> bool {
        let mount = request.target.path.mount();
        match request.action {
            // What an engine makes is made anew.
            Action::Read(_) => self.rules.mounts.kind(mount) != Some(MountKind::Engine),
            Action::List | Action::Versions => true,
            Action::Put { .. }
            | Action::Patch { .. }
            | Action::Rotate { .. }
            | Action::Delete
            | Action::Undelete
            | Action::Destroy
            | Action::Unwrap
            | Action::Invoke(_) => false,
            Action::Pipeline(action) => !action.changes(),
        }
    }

    /// Whether a process that ended may have used up what `decision` hangs on, or lacks.
    pub(super) async fn may_be_used_up(
        &self,
        decision: &Decision,
    ) -> Result<bool, CoordinationError> {
        let grant = match decision {
            Decision::Deny(_) => return Ok(false),
            Decision::NeedsApproval(_) => return Ok(true),
            Decision::Allow(permit) => permit.grant(),
        };
        let Some(grant) = grant else {
            return Ok(false);
        };
        let found = self.find(grant).await?;
        let grant = found.and_then(|found| found.read.approval().grant.clone());
        Ok(grant.is_none_or(|grant| grant.once))
    }
}

fn claim_key(id: &RequestId) -> String {
    format!("claims/{id}")
}
