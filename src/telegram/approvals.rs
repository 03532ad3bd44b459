//! The commands about requests for approval: asking, deciding, breaking the glass.

use std::fmt::Write;
use std::sync::Arc;

use super::command::Affair;
use super::execute::{broken, failed, request};
use super::handler::{Handler, Origin};
use super::reply::Reply;
use crate::broker::{ApprovalInfo, Beside, BrokerError, Filter, Opened, Vote};
use crate::domain::approval::{Review, State};
use crate::domain::{Action, ApprovalId, Caller, Delivery, SecretValue, Target};

impl Handler {
    /// Does what `affair` says; `None` when somebody else answers it.
    pub(super) async fn approvals(&self, origin: &Origin, affair: Affair) -> Option<Reply> {
        let (broker, id) = (Arc::clone(&self.broker), origin.id.clone());
        let caller = Caller::Telegram(origin.user.clone());
        Some(match affair {
            Affair::Ask(action, target, reason) => {
                let request = request(origin, action, target);
                let opening = async move { broker.open_approval(&request, &reason).await };
                self.told(origin, opening, opened).await
            }
            Affair::Extend(name, reason) => {
                let extending =
                    async move { broker.extend(&id, &caller, name.as_str(), &reason).await };
                self.told(origin, extending, opened).await
            }
            Affair::BreakGlass(target, delivery, reason) => {
                return self.break_glass(origin, target, delivery, reason).await;
            }
            Affair::Show(name) => match broker.approval(&caller, name.as_str()).await {
                Ok(approval) => Reply::approval(&approval, self.promise(&approval)),
                Err(error) => failed(origin, &error),
            },
            Affair::Mine => self.list(origin, Filter::Mine).await,
            Affair::List(filter) => self.list(origin, filter).await,
            Affair::Approve(name, code) => self.approve(origin, &name, code).await,
            Affair::Deny(name, reason) => {
                let vote = Vote::Deny { reason };
                let voting = async move { broker.vote(&id, &caller, name.as_str(), vote).await };
                self.told(origin, voting, |it| Reply::vetoed(&it)).await
            }
            Affair::Cancel(name) => {
                let cancelling = async move { broker.cancel(&id, &caller, name.as_str()).await };
                let said = |it: ApprovalInfo| Reply::request_cancelled(&it);
                self.told(origin, cancelling, said).await
            }
            Affair::Revoke(name) => {
                let revoking =
                    async move { broker.revoke_approval(&id, &caller, name.as_str()).await };
                let said = |it: ApprovalInfo| Reply::grant_revoked(&it);
                self.told(origin, revoking, said).await
            }
            Affair::Review(name, note) => {
                let reviewing =
                    async move { broker.review(&id, &caller, name.as_str(), &note).await };
                self.told(origin, reviewing, |it| Reply::reviewed(&it))
                    .await
            }
        })
    }

    /// Votes for the request `name`.
    pub(super) async fn approve(
        &self,
        origin: &Origin,
        name: &ApprovalId,
        code: Option<SecretValue>,
    ) -> Reply {
        let (broker, id, name) = (Arc::clone(&self.broker), origin.id.clone(), name.clone());
        let caller = Caller::Telegram(origin.user.clone());
        let vote = Vote::Approve { code };
        let voting = async move { broker.vote(&id, &caller, name.as_str(), vote).await };
        self.told(origin, voting, |it| Reply::approved(&it)).await
    }

    /// What to say of what came of `work`, which nobody cuts off.
    async fn told<T: Send + 'static>(
        &self,
        origin: &Origin,
        work: impl Future<Output = Result<T, BrokerError>> + Send + 'static,
        said: impl FnOnce(T) -> Reply,
    ) -> Reply {
        match self.whole(work).await {
            Some(Ok(done)) => said(done),
            Some(Err(error)) => failed(origin, &error),
            None => broken(origin),
        }
    }

    /// Hands over the secret at once, where policy lets the glass be broken.
    async fn break_glass(
        &self,
        origin: &Origin,
        target: Target,
        delivery: Delivery,
        reason: String,
    ) -> Option<Reply> {
        let action = Action::Read(delivery);
        let request = request(origin, action, target.clone());
        let (broker, hold) = (Arc::clone(&self.broker), origin.hold);
        let breaking = async move {
            let approval = match broker.break_glass(&request, &reason).await? {
                Opened::Open(approval) => approval,
                Opened::Denied(denial) => return Ok(Err(denial)),
            };
            let read = broker.handle_held(hold, request, Beside::default()).await;
            Ok(Ok((approval, read)))
        };
        let (approval, read) = match self.whole(breaking).await {
            Some(Ok(Ok(had))) => had,
            Some(Ok(Err(denial))) => return Some(Reply::denied(denial.reason)),
            Some(Err(error)) => return Some(failed(origin, &error)),
            None => return Some(broken(origin)),
        };
        let mut reply = match read {
            Ok(outcome) => self.outcome(&outcome, action, &target)?,
            Err(error) => failed(origin, &error),
        };
        reply.note_glass(&approval);
        Some(reply)
    }

    async fn list(&self, origin: &Origin, filter: Filter) -> Reply {
        let caller = Caller::Telegram(origin.user.clone());
        match self.broker.approvals(&caller, filter).await {
            Ok(found) => Reply::approvals(&found, filter != Filter::Mine, self.clock.now()),
            Err(error) => failed(origin, &error),
        }
    }

    /// What an administrator is told in `/status`: how many requests wait for people.
    pub(super) async fn waiting_requests(&self, origin: &Origin) -> String {
        let caller = Caller::Telegram(origin.user.clone());
        if !self.broker.is_admin(&caller) {
            return String::new();
        }
        let Ok(found) = self.broker.approvals(&caller, Filter::Pending).await else {
            return "\nRequests: the state store does not tell".to_owned();
        };
        let pending = found.iter().filter(|it| it.state == State::Pending);
        let mut text = format!("\nRequests: {} waiting", pending.count());
        let unseen = |it: &&ApprovalInfo| matches!(it.review, Some(Review::Open { .. }));
        match found.iter().filter(unseen).count() {
            0 => {}
            // Writing to a string does not fail.
            unseen => write!(text, ", {unseen} with broken glass to review").unwrap_or_default(),
        }
        text
    }

    /// What is granted, should it be.
    pub(super) fn promise(&self, approval: &ApprovalInfo) -> Option<crate::broker::Promise> {
        let pending = approval.state == State::Pending;
        pending.then(|| self.broker.promise(approval)).flatten()
    }
}

fn opened(opened: Opened) -> Reply {
    match opened {
        Opened::Open(approval) => Reply::requested(&approval),
        Opened::Denied(denial) => Reply::denied(denial.reason),
    }
}
