//! What a request still lacks: the demands that votes must meet before it may go on.

use std::time::Duration;

use time::OffsetDateTime;

use crate::domain::approval::{Ask, Cast};
use crate::domain::demand::{Demand, MAX_REASON};
use crate::domain::{Action, Permit, Request, Target, Terms};

/// What policy wants to be agreed to; only the policy says so. Each way in is one of its own, any
/// of them is enough; what is closed besides must be lifted, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The least demanding first; never none.
    ways: Vec<Way>,
    lifts: Vec<Lift>,
}

/// A `permit` that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::domain) struct Way {
    pub(in crate::domain) policy: String,
    /// What it costs; `None` where it costs nothing by itself.
    pub(in crate::domain) demand: Option<Demand>,
    pub(in crate::domain) terms: Terms,
}

impl Way {
    /// The least comes first; by name where two cost the same.
    fn weight(&self) -> (Option<(usize, bool, usize)>, &str) {
        (self.demand.as_ref().map(Demand::weight), &self.policy)
    }
}

/// A `forbid` that matches, and can be lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::domain) struct Lift {
    pub(in crate::domain) policy: String,
    pub(in crate::domain) demand: Demand,
}

/// How a need was met.
pub(in crate::domain) struct Met {
    pub(in crate::domain) policies: Vec<String>,
    pub(in crate::domain) terms: Terms,
    /// For so long from then on.
    pub(in crate::domain) grant: Duration,
    /// For one use.
    pub(in crate::domain) once: bool,
}

impl Need {
    /// `None` where there is no way in.
    pub(in crate::domain) fn new(mut ways: Vec<Way>, mut lifts: Vec<Lift>) -> Option<Self> {
        ways.sort_by(|one, other| one.weight().cmp(&other.weight()));
        lifts.sort_by(|one, other| one.policy.cmp(&other.policy));
        (!ways.is_empty()).then_some(Self { ways, lifts })
    }

    /// The policies that want it.
    #[must_use]
    pub fn policies(&self) -> Vec<String> {
        let ways = self.ways.iter().map(|way| way.policy.clone());
        ways.chain(self.lifts.iter().map(|lift| lift.policy.clone()))
            .collect()
    }

    /// What is wanted where nobody need agree and `permit` only hangs on the reason that was given:
    /// that there is one. `None` where no policy is named.
    #[must_use]
    pub fn of_reason(permit: &Permit) -> Option<Self> {
        let ways = permit.policies().iter().map(|policy| Way {
            policy: policy.clone(),
            demand: Some(Demand::of_reason(1)),
            terms: permit.terms().clone(),
        });
        Self::new(ways.collect(), vec![])
    }

    /// What people are told: the least demanding way in that a reason of so many characters leaves
    /// them, and all that must be lifted.
    fn shown(&self, reason: usize) -> impl Iterator<Item = (&str, &Demand)> {
        let open = |way: &&Way| {
            let demand = way.demand.as_ref();
            demand.is_none_or(|demand| demand.reason <= reason)
        };
        let least = self.ways.iter().find(open).or(self.ways.first());
        let least = least.and_then(|way| Some((way.policy.as_str(), way.demand.as_ref()?)));
        let lifts = self.lifts.iter();
        least
            .into_iter()
            .chain(lifts.map(|lift| (lift.policy.as_str(), &lift.demand)))
    }

    /// As people are told it before anybody has voted: who must agree at least.
    #[must_use]
    pub fn unmet(&self) -> Vec<Ask> {
        self.asks(&[], MAX_REASON)
    }

    /// As people are told it, with how far `votes` meet it, given for a reason of so many characters.
    pub(in crate::domain) fn asks(&self, votes: &[Cast], reason: usize) -> Vec<Ask> {
        let asks = self.shown(reason).filter(|(_, demand)| !demand.is_alone());
        asks.map(|(policy, demand)| Ask::new(policy, demand, votes))
            .collect()
    }

    /// Every demand that a vote may help to meet.
    pub(in crate::domain) fn demands(&self) -> impl Iterator<Item = &Demand> {
        let ways = self.ways.iter().filter_map(|way| way.demand.as_ref());
        ways.chain(self.lifts.iter().map(|lift| &lift.demand))
    }

    /// Where a code is to be checked that comes with the vote of somebody of the groups `theirs`.
    #[must_use]
    pub fn step_up(&self, theirs: &[&str]) -> Option<&str> {
        let mut demands = self.demands();
        demands.find_map(|demand| {
            let asked = demand.groups().any(|group| theirs.contains(&group));
            demand.step_up.as_deref().filter(|_| asked)
        })
    }

    /// The fewest characters of a reason that can be enough.
    #[must_use]
    pub fn reason(&self) -> usize {
        let way = |way: &Way| way.demand.as_ref().map_or(0, |demand| demand.reason);
        let least = self.ways.iter().map(way).min().unwrap_or_default();
        let lifts = self.lifts.iter().map(|lift| lift.demand.reason);
        lifts.fold(least, usize::max)
    }

    /// How many characters of a reason are enough without anybody's agreement, if any are.
    #[must_use]
    pub fn reason_alone(&self) -> Option<usize> {
        let alone = self.demands().filter(|demand| demand.is_alone());
        // A reason alone lifts nothing.
        let least = alone.map(|demand| demand.reason).min();
        least.filter(|_| self.lifts.is_empty())
    }

    /// How long a request for it may wait that gives a reason of so many characters.
    #[must_use]
    pub fn waits(&self, reason: usize) -> Duration {
        let waits = self.shown(reason).map(|(_, demand)| demand.waits);
        waits.min().unwrap_or_default()
    }

    /// How long a grant will hold that a reason of so many characters was given for, and whether it is
    /// for one use, as people are told.
    #[must_use]
    pub fn promise(&self, reason: usize) -> Option<(Duration, bool)> {
        let shown = || self.shown(reason).map(|(_, demand)| demand);
        let span = shown().map(|demand| demand.grant).min()?;
        Some((span, shown().any(|demand| demand.once)))
    }

    /// How `votes` meet it, given for a reason of so many characters, if they do.
    pub(in crate::domain) fn met(&self, votes: &[Cast], reason: usize) -> Option<Met> {
        let met = |demand: &Demand| demand.reason <= reason && demand.met_by(votes);
        if !self.lifts.iter().all(|lift| met(&lift.demand)) {
            return None;
        }
        let way = self.ways.iter();
        let way = way
            .clone()
            .find(|way| way.demand.as_ref().is_none_or(met))?;
        let lifted = self.lifts.iter().map(|lift| &lift.demand);
        let demands = || way.demand.iter().chain(lifted.clone());
        let mut policies = vec![way.policy.clone()];
        policies.extend(self.lifts.iter().map(|lift| lift.policy.clone()));
        Some(Met {
            policies,
            terms: way.terms.clone(),
            grant: demands().map(|demand| demand.grant).min()?,
            once: demands().any(|demand| demand.once),
        })
    }

    /// How it is met by breaking the glass, if policy lets anybody; with the reason that wants.
    /// Nothing that is closed is opened so.
    pub(in crate::domain) fn broken(&self) -> Option<(Met, usize)> {
        if !self.lifts.is_empty() {
            return None;
        }
        self.ways.iter().find_map(|way| {
            let demand = way.demand.as_ref()?;
            let met = Met {
                policies: vec![way.policy.clone()],
                terms: way.terms.clone(),
                grant: demand.break_glass?,
                once: false,
            };
            Some((met, demand.reason))
        })
    }

    /// How many characters of a reason breaking the glass wants; `None` where nobody may.
    #[must_use]
    pub fn glass(&self) -> Option<usize> {
        self.broken().map(|(_, reason)| reason)
    }

    /// A permission to look whether there is what `request` is for, before anybody is asked to
    /// agree to it: no values, nothing changed.
    #[must_use]
    pub fn permit_to_look(&self, request: &Request, now: OffsetDateTime) -> Permit {
        let look = Request {
            action: Action::Versions,
            target: Target {
                field: None,
                version: None,
                ..request.target.clone()
            },
            ..request.clone()
        };
        let terms = self.ways.first().map(|way| way.terms.clone());
        let terms = Terms {
            cache: None,
            ..terms.unwrap_or_default()
        };
        Permit::mint(look, self.policies(), terms, None, now)
    }
}
