//! Who may have what: Cedar policies, decided for one request at a time. Default deny.

use std::collections::{BTreeMap, HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Context, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicyId, PolicySet, RestrictedExpression, Schema,
};
use time::{OffsetDateTime, UtcOffset};

use crate::domain::approval::Approval;
use crate::domain::demand::{Demand, GRANT};
use crate::domain::group::Groups;
use crate::domain::memo::{Answer, Memo, Question, Spoken};
use crate::domain::need::{Met, Need};
use crate::domain::policy_explain::About;
use crate::domain::zone::day;
use crate::domain::{
    Action, Caller, Dispatch, Permit, PipelineAction, Request, RunOf, SecretPath, Terms, Zone,
};

/// The answer to one request.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is looked at once, and the permit taken out"
)]
pub enum Decision {
    /// Go on, once, with this.
    Allow(Permit),
    /// Refused.
    Deny(Denial),
    /// Not without somebody's agreement.
    NeedsApproval(Need),
}

/// A refusal, for the audit. Callers only learn that they were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: DenialReason,
    /// The ids of the policies that decided; none when nothing allowed it.
    pub policies: Vec<String>,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialReason {
    /// No policy permits it.
    NotPermitted,
    /// A policy forbids it.
    Forbidden,
    /// A policy could not be evaluated, so none is trusted.
    EvaluationFailed,
    /// Chat is locked, whatever policy says.
    ChatLocked,
    /// Somebody would have to agree to it.
    NeedsApproval,
}

impl DenialReason {
    /// The name in the audit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotPermitted => "not_permitted",
            Self::Forbidden => "forbidden",
            Self::EvaluationFailed => "evaluation_failed",
            Self::ChatLocked => "chat_locked",
            Self::NeedsApproval => "needs_approval",
        }
    }
}

/// A validated set of policies with the groups they speak of.
pub struct Policy {
    pub(in crate::domain) policies: PolicySet,
    pub(in crate::domain) schema: Schema,
    pub(in crate::domain) groups: Groups,
    pub(in crate::domain) types: EntityTypes,
    /// Without the `forbid`s that approvals lift.
    pub(in crate::domain) lifted: PolicySet,
    /// Of the policies that name any.
    pub(in crate::domain) terms: BTreeMap<PolicyId, Terms>,
    /// By the name of each policy.
    pub(in crate::domain) about: BTreeMap<String, About>,
    pub(in crate::domain) zone: Zone,
    /// What any of the policies speaks of.
    pub(in crate::domain) spoken: Spoken,
    /// Of the policies that have any.
    pub(in crate::domain) demands: BTreeMap<PolicyId, Demand>,
    pub(in crate::domain) memo: Memo,
}

/// The entity types of the schema, parsed once.
#[derive(Clone)]
pub(in crate::domain) struct EntityTypes {
    pub(in crate::domain) group: EntityTypeName,
    pub(in crate::domain) person: EntityTypeName,
    pub(in crate::domain) telegram_user: EntityTypeName,
    pub(in crate::domain) unix_peer: EntityTypeName,
    pub(in crate::domain) job: EntityTypeName,
    pub(in crate::domain) path: EntityTypeName,
    pub(in crate::domain) action: EntityTypeName,
    pub(in crate::domain) weekday: EntityTypeName,
}

impl Policy {
    /// Decides `request` at `now`. Anything unclear is a refusal.
    #[must_use]
    pub fn decide(&self, request: &Request, now: OffsetDateTime) -> Decision {
        self.decide_with(request, None, now)
    }

    /// As [`Policy::decide`], with the reason that was given for `request`.
    #[must_use]
    pub fn decide_with(
        &self,
        request: &Request,
        reason: Option<&str>,
        now: OffsetDateTime,
    ) -> Decision {
        // Nothing is no reason.
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        let question = Question::of(request, reason, now, self.spoken);
        let judge = || self.judge(request, reason, now);
        match self.memo.answer(question, judge) {
            Answer::Allow { policies, terms } => {
                Decision::Allow(Permit::mint(request.clone(), policies, terms, None, now))
            }
            Answer::Deny(denial) => Decision::Deny(denial),
            Answer::Need(need) => Decision::NeedsApproval(need),
        }
    }

    /// Whether `request` would be allowed, were it made, without anybody's agreement. The answer is
    /// not remembered: those who only ask push nothing out of the memo that others need.
    #[must_use]
    pub fn would_allow(&self, request: &Request, now: OffsetDateTime) -> bool {
        let known = self
            .memo
            .known(&Question::of(request, None, now, self.spoken));
        match known.unwrap_or_else(|| self.judge(request, None, now)) {
            Answer::Allow { .. } => true,
            Answer::Deny(_) | Answer::Need(_) => false,
        }
    }

    /// As [`Policy::decide`], with what was approved: only as long as the votes for it that count
    /// today meet what policy wants today. So neither an approver who is none any more nor a
    /// policy that has become stricter leaves anything behind.
    #[must_use]
    pub fn decide_granted(
        &self,
        request: &Request,
        approval: &Approval,
        now: OffsetDateTime,
    ) -> Decision {
        // The reason of what is not granted, or is about something else, was given for nothing.
        if !approval.is_live(now) || !approval.covers(request, &self.groups) {
            return self.decide(request, now);
        }
        let decision = self.decide_with(request, Some(&approval.reason), now);
        match (self.upheld(&decision, approval, now), decision) {
            (Some((met, until)), _) => {
                let under = Some((approval.id.clone(), until));
                let request = request.clone();
                let permit = Permit::mint(request, met.policies, met.terms, under, now);
                Decision::Allow(permit)
            }
            // For a reason whose time is over.
            (None, Decision::Allow(_)) => self.decide(request, now),
            (None, decided @ (Decision::Deny(_) | Decision::NeedsApproval(_))) => decided,
        }
    }

    /// Whether policy would still grant what `approval` did: if not, nothing that was made by it may
    /// last either.
    #[must_use]
    pub fn upholds(&self, approval: &Approval, now: OffsetDateTime) -> bool {
        let request = &approval.request;
        let decision = self.decide_with(request, Some(&approval.reason), now);
        self.upheld(&decision, approval, now).is_some() || self.would_allow(request, now)
    }

    /// How what `approval` granted is met by what policy says today, and until when.
    fn upheld(
        &self,
        decision: &Decision,
        approval: &Approval,
        now: OffsetDateTime,
    ) -> Option<(Met, OffsetDateTime)> {
        let met = match (decision, &approval.review) {
            (Decision::Deny(_), _) => None,
            // The reason is enough by now.
            (Decision::Allow(permit), _) => Some(Met {
                policies: permit.policies().to_vec(),
                terms: permit.terms().clone(),
                grant: GRANT,
                once: false,
            }),
            (Decision::NeedsApproval(need), Some(_)) => need.broken().map(|(met, _)| met),
            (Decision::NeedsApproval(need), None) => {
                need.met(&approval.cast(&self.groups), approval.reason_length())
            }
        };
        let (met, grant) = (met?, approval.grant.as_ref()?);
        let until = grant.until.min(grant.since + met.grant);
        // What was granted for any number of uses is not what is to be used once.
        let holds = until > now && (grant.once || !met.once);
        holds.then_some((met, until))
    }

    /// The groups and people that policies speak of.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The policies that permit whatever action there is, those that change secrets included.
    #[must_use]
    pub fn for_any_action(&self) -> Vec<String> {
        let any = self.policies.policies().filter(|policy| {
            policy.effect() == Effect::Permit && policy.action_constraint() == ActionConstraint::Any
        });
        let mut names: Vec<String> = any.map(|policy| self.display_id(policy.id())).collect();
        names.sort();
        names
    }

    /// The name people gave a policy with `@id("…")`, else its file and number.
    pub(in crate::domain) fn display_id(&self, id: &PolicyId) -> String {
        self.policies
            .annotation(id, "id")
            .map_or_else(|| id.to_string(), str::to_owned)
    }

    /// Where policies read the clock.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// With the clock read in `zone` instead of UTC.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    pub(in crate::domain) fn question(
        &self,
        request: &Request,
        reason: Option<&str>,
        now: OffsetDateTime,
    ) -> Option<(cedar_policy::Request, Entities)> {
        let (principal, attributes) = self.principal(&request.caller);
        let parents = self.parents(&request.caller);
        let principal_entity = Entity::new(principal.clone(), attributes, parents).ok()?;

        let resource = uid(&self.types.path, &request.target.path.to_string());
        let resource_entity = self.path_entity(&request.target.path)?;

        let mut context = vec![("time".to_owned(), self.time(now)?)];
        context.extend(reason.map(|reason| ("reason".to_owned(), string(reason))));
        if let Some(delivery) = request.action.delivery() {
            context.push(("delivery".to_owned(), string(delivery.name())));
        }
        if let Some(recipe) = request.action.recipe() {
            context.push(("recipe".to_owned(), string(recipe.name())));
        }
        if let Some(cas) = request.action.cas() {
            context.push(("cas".to_owned(), RestrictedExpression::new_bool(cas)));
        }
        if request.action == Action::Pipeline(PipelineAction::Run) {
            let dispatch = request.target.field.as_deref()?.parse().ok()?;
            context.extend(with_what(&dispatch));
        }
        if let Action::Pipeline(action) = request.action
            && action.is_of_run()
            && let Some(Ok(of)) = request.target.field.as_deref().map(str::parse)
        {
            context.extend(of_what(&of));
        }
        match &request.caller {
            Caller::Telegram(user) => {
                context.push(("chat".to_owned(), string(user.chat.name())));
            }
            Caller::Unix(peer) => {
                let socket = peer.socket.as_deref();
                context.extend(socket.map(|name| ("socket".to_owned(), string(name))));
            }
            Caller::Job(_) => {}
        }
        let query = cedar_policy::Request::new(
            principal,
            uid(&self.types.action, request.action.name()),
            resource,
            Context::from_pairs(context).ok()?,
            Some(&self.schema),
        )
        .ok()?;
        let entities =
            Entities::from_entities([principal_entity, resource_entity], Some(&self.schema))
                .ok()?;
        Some((query, entities))
    }

    /// The groups and the person that `caller` is in.
    fn parents(&self, caller: &Caller) -> HashSet<EntityUid> {
        match caller {
            Caller::Job(_) => HashSet::new(),
            Caller::Telegram(_) | Caller::Unix(_) => {
                let groups = self.groups.of(caller);
                let groups = groups.map(|name| uid(&self.types.group, name));
                let person = self.groups.person(caller);
                let known = self.groups.people().named(person.name());
                let person = known.map(|person| uid(&self.types.person, person.name()));
                groups.chain(person).collect()
            }
        }
    }

    /// `context.time`.
    fn time(&self, now: OffsetDateTime) -> Option<RestrictedExpression> {
        let local = self.zone.local(now);
        let utc = now.to_offset(UtcOffset::UTC);
        let begun = format!("{}T{:02}:{:02}:00Z", utc.date(), utc.hour(), utc.minute());
        let weekday = uid(&self.types.weekday, day(local.weekday()));
        let number = |number: u8| RestrictedExpression::new_long(number.into());
        RestrictedExpression::new_record([
            ("hour".to_owned(), number(local.hour())),
            ("minute".to_owned(), number(local.minute())),
            (
                "weekday".to_owned(),
                RestrictedExpression::new_entity_uid(weekday),
            ),
            ("now".to_owned(), RestrictedExpression::new_datetime(begun)),
        ])
        .ok()
    }

    fn principal(&self, caller: &Caller) -> (EntityUid, HashMap<String, RestrictedExpression>) {
        match caller {
            Caller::Telegram(user) => (
                uid(&self.types.telegram_user, &user.id.to_string()),
                HashMap::from([("id".to_owned(), RestrictedExpression::new_long(user.id))]),
            ),
            Caller::Unix(peer) => {
                let mut attributes = HashMap::from([
                    (
                        "uid".to_owned(),
                        RestrictedExpression::new_long(peer.uid.into()),
                    ),
                    (
                        "gid".to_owned(),
                        RestrictedExpression::new_long(peer.gid.into()),
                    ),
                ]);
                if let Some(groups) = &peer.groups {
                    let groups = groups.iter().map(|gid| (*gid).into());
                    let groups = groups.map(RestrictedExpression::new_long);
                    attributes.insert("groups".to_owned(), RestrictedExpression::new_set(groups));
                }
                for (name, text) in peer.texts() {
                    if let Some(text) = text {
                        attributes.insert(name.to_owned(), string(text));
                    }
                }
                (
                    uid(&self.types.unix_peer, &peer.uid.to_string()),
                    attributes,
                )
            }
            Caller::Job(job) => {
                let own = [("issuer", &job.issuer), ("subject", &job.subject)];
                let claims = job.claims.iter().map(|(name, text)| (*name, text));
                let attributes = own.into_iter().chain(claims);
                (
                    uid(&self.types.job, &caller.to_string()),
                    attributes
                        .map(|(name, text)| (name.to_owned(), string(text)))
                        .collect(),
                )
            }
        }
    }

    /// The path with every folder above it as its ancestors, up to the mount.
    fn path_entity(&self, path: &SecretPath) -> Option<Entity> {
        let full = path.to_string();
        let ancestors: HashSet<EntityUid> = full
            .match_indices('/')
            .filter(|(end, _)| *end >= path.mount().len())
            .filter_map(|(end, _)| full.get(..end))
            .map(|folder| uid(&self.types.path, folder))
            .collect();
        let attributes = HashMap::from([
            ("mount".to_owned(), string(path.mount())),
            ("path".to_owned(), string(path.path())),
        ]);
        Entity::new(uid(&self.types.path, &full), attributes, ancestors).ok()
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// What policies see of what a pipeline is started with.
fn with_what(dispatch: &Dispatch) -> Vec<(String, RestrictedExpression)> {
    let inputs = dispatch.inputs().iter();
    let inputs = inputs.map(|(name, value)| string(&format!("{name}={value}")));
    let mut context = vec![
        ("ref".to_owned(), string(dispatch.at())),
        ("inputs".to_owned(), RestrictedExpression::new_set(inputs)),
    ];
    let commit = dispatch.commit();
    context.extend(commit.map(|commit| ("commit".to_owned(), string(commit))));
    context
}

/// What policies see of a run.
fn of_what(of: &RunOf) -> impl Iterator<Item = (String, RestrictedExpression)> {
    let known = [
        ("ref", Some(of.at())),
        ("commit", of.commit()),
        ("event", Some(of.event())),
    ];
    let known = known.into_iter();
    known.filter_map(|(name, text)| Some((name.to_owned(), string(text?))))
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::UnixPeer;
    use crate::domain::policy_load::PolicySource;
    use crate::domain::{Action, Delivery, MountKind, Mounts, RequestId, Target};

    #[test]
    fn who_only_asks_is_told_the_same_and_leaves_the_memo_alone() {
        let source = PolicySource {
            name: "test".to_owned(),
            text: "permit(principal, action, resource in Path::\"secret/app\");".to_owned(),
        };
        let mounts = Mounts::of(vec![("secret".to_owned(), MountKind::Kv2)]).unwrap();
        let policy = Policy::load(&[source], Groups::default(), &mounts).unwrap();
        let now = OffsetDateTime::UNIX_EPOCH;
        for (path, allowed) in [("app/db", true), ("other", false)] {
            let request = Request {
                id: RequestId::Connection(1),
                caller: Caller::Unix(UnixPeer::known(1, 1, 1)),
                action: Action::Read(Delivery::Socket),
                target: Target {
                    path: SecretPath::new("secret", path).unwrap(),
                    field: None,
                    version: None,
                },
            };
            let remembered = || {
                let question = Question::of(&request, None, now, policy.spoken);
                policy.memo.known(&question).is_some()
            };
            assert_eq!(policy.would_allow(&request, now), allowed);
            assert!(!remembered(), "{path}");
            let decided = policy.decide(&request, now);
            assert_eq!(matches!(decided, Decision::Allow(_)), allowed);
            assert!(remembered(), "{path}");
            assert_eq!(policy.would_allow(&request, now), allowed, "from the memo");
        }
    }
}
