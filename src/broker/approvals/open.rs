//! Opening a request for approval: all that can be looked at is, before anybody is bothered.

use tokio::sync::MutexGuard;

use super::change::By;
use super::words::words;
use super::{ApprovalInfo, Read};
use crate::broker::fitting::fitting;
use crate::broker::ports::StoreError;
use crate::broker::turn::Turn;
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::approval::{ApprovalRecord, ApprovalStep, Effect, LENGTH, State};
use crate::domain::{
    Action, Approval, ApprovalId, AuditEntry, Decision, Denial, MountKind, Need, Request,
};

/// The turn of who opens one.
const OPENING: &str = "approvals";
/// How often a name is drawn: there are a billion.
const DRAWS: usize = 100;

/// The turn to open one, in this process and among all replicas.
pub(super) type Opening<'a> = (MutexGuard<'a, ()>, Option<Turn>);

/// What came of asking for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is looked at once")]
pub enum Opened {
    /// It waits for votes; or it is granted, where a reason was enough or the glass was broken.
    Open(ApprovalInfo),
    /// Policy refuses, whoever agrees.
    Denied(Denial),
}

/// What somebody is told who may not have something unless others agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// It was requested for them just now.
    Opened(ApprovalInfo),
    /// They requested it before, and it waits.
    Known(ApprovalInfo),
    /// They must request it themselves, and say why.
    ReasonNeeded {
        /// In at least so many characters.
        characters: usize,
        /// Nobody need agree besides.
        alone: bool,
    },
}

impl Waiting {
    /// The request that waits.
    #[must_use]
    pub fn approval(&self) -> Option<&ApprovalInfo> {
        match self {
            Self::Opened(approval) | Self::Known(approval) => Some(approval),
            Self::ReasonNeeded { .. } => None,
        }
    }
}

impl Broker {
    /// Waits for the turn to open one, and looks anew then: whoever had it before opened one.
    pub(super) async fn turn_to_open(&self) -> Result<Opening<'_>, BrokerError> {
        let here = self.approvals.opening.lock().await;
        let elsewhere = self.turn(OPENING).await?;
        if elsewhere.is_some() {
            self.approvals.look_again();
        }
        Ok((here, elsewhere))
    }

    /// Asks that `request` be approved, for `reason`; where that is enough it is granted at once. It is
    /// not claimed here.
    ///
    /// # Errors
    /// When nothing needs approval, there is nothing to approve, it is asked for or granted
    /// already, the reason is none, or there are too many.
    pub async fn open_approval(
        &self,
        request: &Request,
        reason: &str,
    ) -> Result<Opened, BrokerError> {
        let request = &*self.exact(request).await;
        let need = match self.wanted(request, reason).await? {
            Ok(need) => need,
            Err(denial) => return Ok(Opened::Denied(denial)),
        };
        let reason = words(reason, need.reason())?;
        let open = self.open_ones().await?;
        if let Some(known) = self.known(request, &need, &reason, &open) {
            return Err(known.into());
        }
        self.open(request, &need, reason).await.map(Opened::Open)
    }

    /// What policy wants approved before `request`; it is on record that somebody asked, before
    /// anything is looked at. An error where it wants nothing.
    pub(super) async fn wanted(
        &self,
        request: &Request,
        reason: &str,
    ) -> Result<Result<Need, Denial>, BrokerError> {
        fitting(request, &self.rules.mounts)?;
        let mut decision = self.judge_alone(request, Some(reason)).await?;
        if let Decision::Allow(permit) = &decision {
            // A plain request gives no reason: what only one allows is granted for it.
            let need = match self.judge_alone(request, None).await? {
                Decision::Allow(_) => None,
                Decision::Deny(_) | Decision::NeedsApproval(_) => Need::of_reason(permit),
            };
            decision = Decision::NeedsApproval(need.ok_or(ApprovalError::NotNeeded)?);
        }
        let entry = AuditEntry::decided(request, &decision, self.now());
        self.ports.audit.record(entry).await?;
        match decision {
            Decision::Allow(_) => Err(ApprovalError::NotNeeded.into()),
            Decision::Deny(denial) => Ok(Err(denial)),
            Decision::NeedsApproval(need) => Ok(Ok(need)),
        }
    }

    /// What somebody is told whose `request` needs approval: the request for that is opened at
    /// once, where no reason is asked for.
    pub(in crate::broker) async fn wait_for(
        &self,
        request: &Request,
        need: &Need,
    ) -> Result<Waiting, BrokerError> {
        fitting(request, &self.rules.mounts)?;
        let open = self.open_ones().await?;
        if let Some(read) = self.pending(request, &open) {
            return Ok(Waiting::Known(self.info(&read.approval)));
        }
        // Why wait for others where a reason is enough?
        let alone = need.reason_alone();
        let characters = alone.unwrap_or_else(|| need.reason());
        if characters > 0 {
            let alone = alone.is_some();
            return Ok(Waiting::ReasonNeeded { characters, alone });
        }
        match self.open(request, need, String::new()).await {
            Ok(opened) => Ok(Waiting::Opened(opened)),
            // By whoever was faster.
            Err(BrokerError::Approval(ApprovalError::Asked(id))) => {
                let known = self.approval_for_notice(&id).await?;
                Ok(Waiting::Known(known.ok_or(ApprovalError::Busy)?))
            }
            Err(error) => Err(error),
        }
    }

    /// What is there already of what `request` asks for, with `reason`. Who need wait for nobody is
    /// not told to.
    fn known(
        &self,
        request: &Request,
        need: &Need,
        reason: &str,
        open: &[Read],
    ) -> Option<ApprovalError> {
        let enough = need.reason_alone();
        let waits = enough.is_none_or(|enough| reason.chars().count() < enough);
        let pending = self.pending(request, open).filter(|_| waits);
        let asked = pending.map(|read| ApprovalError::Asked(read.approval.id.clone()));
        asked.or_else(|| self.granted(request, open).map(ApprovalError::Granted))
    }

    /// The one among `open` that waits for what `request` is about.
    fn pending<'r>(&self, request: &Request, open: &'r [Read]) -> Option<&'r Read> {
        let (now, policy) = (self.now(), self.rules.policy.get());
        open.iter().find(|read| {
            let approval = &read.approval;
            approval.extends.is_none()
                && approval.state_at(now) == State::Pending
                && approval.covers(request, policy.groups())
        })
    }

    /// The grant among `open` under which `request` would be allowed. Broken glass is none that
    /// anybody agreed to.
    fn granted(&self, request: &Request, open: &[Read]) -> Option<ApprovalId> {
        let policy = self.rules.policy.get();
        let mut open = open.iter().map(|read| &read.approval);
        let found = open.find(|approval| {
            approval.review.is_none()
                && approval.covers(request, policy.groups())
                && matches!(
                    policy.decide_granted(request, approval, self.now()),
                    Decision::Allow(_)
                )
        });
        found.map(|approval| approval.id.clone())
    }

    /// Opens a request for approval, unless an equal one has been opened meanwhile. Whoever may ask
    /// no more today is not told whether there is such a secret either.
    async fn open(
        &self,
        request: &Request,
        need: &Need,
        reason: String,
    ) -> Result<ApprovalInfo, BrokerError> {
        self.within_person(request, &self.open_ones().await?)?;
        self.count_today(request).await?;
        self.look(request, need).await?;
        let _one_at_a_time = self.turn_to_open().await?;
        let open = self.open_ones().await?;
        if let Some(known) = self.known(request, need, &reason, &open) {
            return Err(known.into());
        }
        self.within_person(request, &open)?;
        let opened = |id| {
            let approval = self.new_approval(id, request, reason.clone(), need);
            approval.unasked(need)
        };
        self.keep_new(By::of(request), need, opened).await
    }

    pub(super) fn new_approval(
        &self,
        id: ApprovalId,
        request: &Request,
        reason: String,
        need: &Need,
    ) -> Approval {
        let policy = self.rules.policy.get();
        // What is kept has whole seconds.
        let now = self.now();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        Approval::open(id, request.clone(), reason, need, policy.groups(), now)
    }

    /// Keeps what `make` makes under a name that nothing else has, once it is on record with what
    /// that brings about; `need` is what policy wants.
    pub(super) async fn keep_new(
        &self,
        by: By<'_>,
        need: &Need,
        make: impl Fn(ApprovalId) -> (Approval, Option<Effect>) + Send,
    ) -> Result<ApprovalInfo, BrokerError> {
        for _ in 0..DRAWS {
            let Some(id) = ApprovalId::read(&self.code(LENGTH)) else {
                continue;
            };
            if self.find(&id).await?.is_some() {
                continue;
            }
            let (approval, effect) = make(id);
            let opened = approval.record(opened(&approval, need));
            let effect = effect.and_then(|effect| ApprovalRecord::of(&approval, &effect));
            let records = [Some(opened), effect].into_iter().flatten().collect();
            self.record_steps(by, &approval, records).await?;
            if self.swap(None, &approval).await? {
                if approval.is_half_done() {
                    self.follow(by, &approval).await;
                }
                return Ok(self.info(&approval));
            }
        }
        Err(ApprovalError::Busy.into())
    }

    /// Looks whether there is what `request` is for, where that can be told without a value.
    pub(super) async fn look(&self, request: &Request, need: &Need) -> Result<(), BrokerError> {
        let there_before = match request.action {
            Action::Read(_)
            | Action::Versions
            | Action::Patch { .. }
            | Action::Delete
            | Action::Undelete
            | Action::Destroy
            | Action::Rotate { .. } => true,
            Action::Pipeline(action) => {
                self.preview(action, &request.target).await?;
                return Ok(());
            }
            Action::List | Action::Put { .. } | Action::Unwrap | Action::Invoke(_) => false,
        };
        let kind = self.rules.mounts.kind(request.target.path.mount());
        let permit = need.permit_to_look(request, self.now());
        let there = match kind.filter(|_| there_before) {
            Some(MountKind::Kv2) => self.ports.store.history(&permit).await.map(|_| true),
            Some(MountKind::Kv1) => self.ports.store.exists(&permit).await,
            Some(MountKind::Engine | MountKind::Pipelines) | None => return Ok(()),
        };
        match there {
            // Whoever may do it may perhaps not look.
            Ok(true) | Err(StoreError::Forbidden | StoreError::RoleRefused) => Ok(()),
            Ok(false) => Err(StoreError::NotFound.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// How `approval` begins, for the audit.
fn opened(approval: &Approval, need: &Need) -> ApprovalStep {
    let reason = approval.reason.clone();
    match (&approval.review, &approval.grant) {
        (Some(_), Some(grant)) => ApprovalStep::BrokenGlass {
            reason,
            until: grant.until,
        },
        (Some(_) | None, _) => ApprovalStep::Opened {
            reason,
            policies: need.policies(),
            extends: approval.extends.clone(),
        },
    }
}
