//! Why policies said what they said, and what would have to be different for a yes.
//!
//! Everything is asked of the policies themselves, by the same code as every request: what is said
//! to help was seen to help.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

use crate::domain::caller::{ChatKind, UnixPeer};
use crate::domain::group::Groups;
use crate::domain::job::CLAIMS;
use crate::domain::memo::Memo;
use crate::domain::{
    Action, Caller, Decision, Delivery, Dispatch, PipelineAction, Policy, Request, policy_lint,
};

/// How far ahead a better time is looked for, and in which steps.
const AHEAD: Duration = Duration::days(7);
const STEP: Duration = Duration::minutes(15);

/// Where a policy stands, and what its author says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its file.
    pub file: String,
    /// The line it begins in.
    pub line: usize,
    /// Its `@description`.
    pub description: Option<String>,
}

/// One difference that makes a refused request an allowed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A reason is given.
    Reason,
    /// It is handed over in another way.
    Delivery(Delivery),
    /// It is asked in another kind of chat.
    Chat(ChatKind),
    /// Another version written meanwhile is not written over (check-and-set), or is.
    Cas(bool),
    /// Of the process, this is something else.
    Known(&'static str, String),
    /// It is asked then.
    At(OffsetDateTime),
    /// Who asks is in this group.
    Group(String),
}

impl Policy {
    /// Where the policy of that name stands.
    #[must_use]
    pub fn about(&self, name: &str) -> Option<&About> {
        self.about.get(name)
    }

    /// What would have to be different for `request` to be allowed: each of these alone is enough.
    #[must_use]
    pub fn changes(
        &self,
        request: &Request,
        reason: Option<&str>,
        now: OffsetDateTime,
    ) -> Vec<Change> {
        let allows = |policy: &Self, request: &Request, reason: Option<&str>, now| {
            matches!(policy.decide_with(request, reason, now), Decision::Allow(_))
        };
        let mut found = vec![];
        if reason.is_none() && allows(self, request, Some("a reason"), now) {
            found.push(Change::Reason);
        }
        for (change, request) in self.variants(request) {
            if allows(self, &request, reason, now) {
                found.push(change);
            }
        }
        if self.spoken.time {
            let quarter = now.unix_timestamp().rem_euclid(STEP.whole_seconds());
            let mut at = now - Duration::seconds(quarter) + STEP;
            let end = now + AHEAD;
            while at < end && !allows(self, request, reason, at) {
                at += STEP;
            }
            found.extend((at < end).then_some(Change::At(at)));
        }
        let own: Vec<&str> = self.groups.of(&request.caller).collect();
        for group in self.groups.names().filter(|name| !own.contains(name)) {
            let policy = self.with_groups(self.groups.with_member(&request.caller, group));
            if allows(&policy, request, reason, now) {
                found.push(Change::Group(group.to_owned()));
            }
        }
        found
    }

    /// The same policies with other groups.
    fn with_groups(&self, groups: Groups) -> Self {
        Self {
            policies: self.policies.clone(),
            schema: self.schema.clone(),
            groups,
            types: self.types.clone(),
            lifted: self.lifted.clone(),
            terms: self.terms.clone(),
            demands: self.demands.clone(),
            about: self.about.clone(),
            zone: self.zone.clone(),
            spoken: self.spoken,
            memo: Memo::default(),
        }
    }

    /// `request` with one difference each.
    fn variants(&self, request: &Request) -> Vec<(Change, Request)> {
        let with_action = |action| Request {
            action,
            ..request.clone()
        };
        let with_caller = |caller| Request {
            caller,
            ..request.clone()
        };
        let mut variants = vec![];
        if let Some(now) = request.action.delivery() {
            let others = deliveries(&request.caller).iter().copied();
            variants.extend(others.filter(|other| *other != now).map(|other| {
                let action = if let Action::Invoke(_) = request.action {
                    Action::Invoke(other)
                } else {
                    Action::Read(other)
                };
                (Change::Delivery(other), with_action(action))
            }));
        }
        if let Some(cas) = request.action.cas() {
            let over = (!cas).then_some(0);
            let action = if let Action::Patch { .. } = request.action {
                Action::Patch { over }
            } else {
                Action::Put { over }
            };
            variants.push((Change::Cas(!cas), with_action(action)));
        }
        for (name, text) in self.compared(&["ref"]) {
            if let Some(other) = at_ref(request, &text) {
                variants.push((Change::Known(name, text), other));
            }
        }
        match &request.caller {
            Caller::Telegram(user) => {
                let mut user = user.clone();
                user.chat = match user.chat {
                    ChatKind::Private => ChatKind::Group,
                    ChatKind::Group => ChatKind::Private,
                };
                let chat = Change::Chat(user.chat);
                variants.push((chat, with_caller(Caller::Telegram(user))));
            }
            Caller::Unix(peer) => {
                for (name, text) in self.compared(&FACTS) {
                    let mut other = peer.clone();
                    let Some(fact) = fact(&mut other, name) else {
                        continue;
                    };
                    if fact.as_ref() != Some(&text) {
                        *fact = Some(text.clone());
                        let change = Change::Known(name, text);
                        variants.push((change, with_caller(Caller::Unix(other))));
                    }
                }
            }
            Caller::Job(job) => {
                for (name, text) in self.compared(&CLAIMS) {
                    let mut other = job.clone();
                    let before = other.claims.insert(name, text.clone());
                    if before.as_ref() != Some(&text) {
                        let change = Change::Known(name, text);
                        variants.push((change, with_caller(Caller::Job(other))));
                    }
                }
            }
        }
        variants
    }

    /// What policies compare any of `names` with.
    fn compared(&self, names: &[&'static str]) -> Vec<(&'static str, String)> {
        let compared = names.iter().flat_map(|name| {
            let policies = self.policies.policies();
            let texts = policies.flat_map(|it| policy_lint::compared(it, name));
            let texts: BTreeSet<String> = texts.collect();
            texts.into_iter().map(|text| (*name, text))
        });
        compared.collect()
    }
}

/// `request` to start something, at the ref `at`; `None` where it is another one, or at that ref.
fn at_ref(request: &Request, at: &str) -> Option<Request> {
    if request.action != Action::Pipeline(PipelineAction::Run) {
        return None;
    }
    let now: Dispatch = request.target.field.as_deref()?.parse().ok()?;
    let other = Dispatch::new(at, now.commit(), now.inputs().to_vec())?;
    (other != now).then(|| {
        let mut request = request.clone();
        request.target.field = Some(other.to_string());
        request
    })
}

/// What may be known of a process, and policies may compare.
const FACTS: [&str; 7] = [
    "unit",
    "slice",
    "executable",
    "executable_sha256",
    "container",
    "pod",
    "socket",
];

fn fact<'p>(peer: &'p mut UnixPeer, name: &str) -> Option<&'p mut Option<String>> {
    Some(match name {
        "unit" => &mut peer.unit,
        "slice" => &mut peer.slice,
        "executable" => &mut peer.executable,
        "executable_sha256" => &mut peer.executable_sha256,
        "container" => &mut peer.container,
        "pod" => &mut peer.pod,
        "socket" => &mut peer.socket,
        _ => return None,
    })
}

/// The ways a secret can be handed to `caller`.
#[must_use]
pub fn deliveries(caller: &Caller) -> &'static [Delivery] {
    match caller {
        Caller::Telegram(_) => &Delivery::ALL,
        Caller::Unix(_) | Caller::Job(_) => &[Delivery::Socket, Delivery::Wrapped],
    }
}
