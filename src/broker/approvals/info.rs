//! Requests for approval, as those see them who may.

use std::collections::BTreeSet;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::broker::in_force::runs_the_host;
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::approval::{Ask, Grant, Review, State, Vote};
use crate::domain::person::Account;
use crate::domain::{Action, Approval, ApprovalId, Caller, Person, Policy, Target};

/// A request for approval, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalInfo {
    /// What people call it.
    pub id: ApprovalId,
    /// Who asked: the person.
    pub requester: String,
    /// By which account, and for a program, what the kernel says of it.
    pub caller: Caller,
    /// Whether that was in a chat.
    pub in_chat: bool,
    /// What is to be done.
    pub action: Action,
    /// With what.
    pub target: Target,
    /// Why.
    pub reason: String,
    /// When it was opened.
    pub opened: OffsetDateTime,
    /// Until when it waits for votes.
    pub waits_until: OffsetDateTime,
    /// What became of it.
    pub state: State,
    /// Since when it is in that state.
    pub since: OffsetDateTime,
    /// What was granted, once something was.
    pub grant: Option<Grant>,
    /// Where the glass was broken: whether somebody has looked at it.
    pub review: Option<Review>,
    /// The grant that is to last longer, where it is about that.
    pub extends: Option<ApprovalId>,
    /// The votes for it.
    pub votes: Vec<Vote>,
    /// What it takes, and how far that is met, as it was when somebody last voted.
    pub asks: Vec<Ask>,
    /// Counts its changes: what was told of another revision is out of date.
    pub revision: u64,
}

impl ApprovalInfo {
    /// Whether nobody agreed to what was granted, as its reason was enough.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.grant.is_some() && self.votes.is_empty() && self.review.is_none()
    }

    fn of(approval: &Approval, now: OffsetDateTime) -> Self {
        let request = &approval.request;
        // Time may have passed without anybody's noting it.
        let (today, _) = approval.clone().tick(now);
        Self {
            id: approval.id.clone(),
            requester: approval.requester.clone(),
            caller: request.caller.clone(),
            in_chat: request.id.is_of_chat(),
            action: request.action,
            target: request.target.clone(),
            reason: approval.reason.clone(),
            opened: approval.opened,
            waits_until: approval.waits_until,
            state: today.state,
            since: today.since,
            grant: approval.grant.clone(),
            review: approval.review.clone(),
            extends: approval.extends.clone(),
            votes: approval.votes.clone(),
            asks: approval.asks.clone(),
            revision: approval.revision,
        }
    }
}

/// Which requests for approval somebody wants to see, of those they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Their own, of the last days too.
    Mine,
    /// Those that wait for votes, or for somebody to look at broken glass.
    Pending,
    /// All of them, of the last days too.
    All,
}

/// The Telegram accounts of the people whom a request for approval concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Its requester's.
    pub requester: BTreeSet<i64>,
    /// Those of everybody who may vote on it.
    pub approvers: BTreeSet<i64>,
    /// Those of the administrators.
    pub admins: BTreeSet<i64>,
}

/// Somebody who looks at requests for approval.
struct Viewer {
    caller: Caller,
    account: Account,
    /// The groups that the person is in.
    theirs: BTreeSet<String>,
    admin: bool,
    policy: Arc<Policy>,
}

impl Viewer {
    /// Whether it is for them to see: its requester, those who may vote on it, administrators.
    fn sees(&self, approval: &Approval) -> bool {
        if let Caller::Job(job) = &self.caller {
            let requester = &approval.request.caller;
            return matches!(requester, Caller::Job(other) if job.is_same_run(other));
        }
        let mut asked = approval.asks.iter().flat_map(Ask::groups);
        self.admin || asked.any(|group| self.theirs.contains(group)) || self.has(approval)
    }

    /// Whether it is their own.
    fn has(&self, approval: &Approval) -> bool {
        approval.is_of(&self.account, self.policy.groups())
    }
}

impl Broker {
    /// The request `name`, if `caller` may see it.
    ///
    /// # Errors
    /// When they may not, or there is none: all one to who asks.
    pub async fn approval(&self, caller: &Caller, name: &str) -> Result<ApprovalInfo, BrokerError> {
        let id = ApprovalId::read(name).ok_or(ApprovalError::Unknown)?;
        let found = self.find(&id).await?.ok_or(ApprovalError::Unknown)?;
        let approval = found.read.approval();
        if !self.sees(caller, approval) {
            return Err(ApprovalError::Unknown.into());
        }
        Ok(self.info(approval))
    }

    /// The requests of `filter` that `caller` may see, the newest first.
    ///
    /// # Errors
    /// When the state store cannot tell.
    pub async fn approvals(
        &self,
        caller: &Caller,
        filter: Filter,
    ) -> Result<Vec<ApprovalInfo>, BrokerError> {
        let mut all = self.open_ones().await?.to_vec();
        match filter {
            Filter::Pending => {}
            Filter::Mine | Filter::All => all.extend(self.past_ones().await?),
        }
        let (now, viewer) = (self.now(), self.viewer(caller));
        let wanted = |approval: &Approval| match filter {
            Filter::Mine => viewer.sees(approval) && viewer.has(approval),
            Filter::Pending => {
                let unseen = matches!(approval.review, Some(Review::Open { .. }));
                let pending = approval.state_at(now) == State::Pending;
                (pending || unseen) && viewer.sees(approval)
            }
            Filter::All => viewer.sees(approval),
        };
        let found = all.iter().map(super::Read::approval);
        let found = found.filter(|approval| wanted(approval));
        let mut infos: Vec<_> = found.map(|approval| self.info(approval)).collect();
        infos.sort_by(|one, other| (other.opened, &other.id).cmp(&(one.opened, &one.id)));
        // One that is being put away is in both places.
        infos.dedup_by(|one, other| one.id == other.id);
        Ok(infos)
    }

    /// Changes whenever a request for approval may have changed in this process. Other replicas'
    /// changes are seen by looking.
    #[must_use]
    pub fn approvals_changed(&self) -> watch::Receiver<u64> {
        self.approvals.changed.subscribe()
    }

    /// All that people are to be told about: those that are open, and for at least ten minutes
    /// those that are over. For the front end that tells people, whoever they are.
    ///
    /// # Errors
    /// When the state store cannot tell.
    pub async fn approvals_for_notices(&self) -> Result<Vec<ApprovalInfo>, BrokerError> {
        let all = self.open_ones().await?;
        Ok(all.iter().map(|read| self.info(read.approval())).collect())
    }

    /// The request `id`, for the front end that told people of it.
    ///
    /// # Errors
    /// When the state store cannot tell.
    pub async fn approval_for_notice(
        &self,
        id: &ApprovalId,
    ) -> Result<Option<ApprovalInfo>, BrokerError> {
        let found = self.find(id).await?;
        Ok(found.map(|found| self.info(found.read.approval())))
    }

    /// Whom `approval` concerns, on Telegram. A requester is never among its approvers.
    #[must_use]
    pub fn concerned(&self, approval: &ApprovalInfo) -> Told {
        let policy = self.rules.policy.get();
        let groups = policy.groups();
        let requester = groups.person(&approval.caller);
        let asked = approval.asks.iter().flat_map(Ask::groups);
        let asked = asked.flat_map(|name| groups.people_in(name));
        let telegram = |person: &Person| {
            let accounts = groups.people().accounts(person);
            let accounts = accounts.filter_map(|account| account.telegram());
            accounts.collect::<Vec<_>>()
        };
        Told {
            requester: telegram(&requester).into_iter().collect(),
            approvers: asked
                .filter(|person| *person != requester)
                .flat_map(|person| telegram(&person))
                .collect(),
            admins: self.telegram_admins(),
        }
    }

    pub(in crate::broker) fn info(&self, approval: &Approval) -> ApprovalInfo {
        ApprovalInfo::of(approval, self.now())
    }

    /// Whether `caller` may know of it.
    pub(in crate::broker) fn sees(&self, caller: &Caller, approval: &Approval) -> bool {
        self.viewer(caller).sees(approval)
    }

    fn viewer(&self, caller: &Caller) -> Viewer {
        let policy = self.rules.policy.get();
        let groups = policy.groups();
        let person = groups.person(caller);
        let theirs = groups.of_person(&person);
        Viewer {
            caller: caller.clone(),
            account: caller.into(),
            theirs: theirs.map(str::to_owned).collect(),
            // Or whoever administers this host.
            admin: self.is_admin(caller) || runs_the_host(caller),
            policy,
        }
    }
}
