//! Whether there is anybody who could approve what a policy wants approved. Nobody never means
//! everybody.

use std::collections::BTreeSet;

use crate::domain::demand::Demand;
use crate::domain::group::Groups;
use crate::domain::{Person, Policy};

/// What is wrong with those who are to approve, if anything, and in which annotation.
pub(in crate::domain) fn wrong(demand: &Demand, groups: &Groups) -> Option<(&'static str, String)> {
    let approvers = demand.approvers.iter().map(|name| ("approvers", name));
    let review = demand.review.iter().map(|name| ("security_review", name));
    for (annotation, name) in approvers.chain(review) {
        let problem = if groups.names().all(|known| known != name) {
            format!("the group {name:?} is not in [groups]")
        } else if groups.people_in(name).is_empty() {
            format!(
                "the group {name:?} has no member who could approve: a person, or an account by \
                 its id (telegram:1001, uid:990); Unix groups and units approve nothing"
            )
        } else {
            continue;
        };
        return Some((annotation, problem));
    }
    let of = |names: &[String]| -> BTreeSet<Person> {
        names
            .iter()
            .flat_map(|name| groups.people_in(name))
            .collect()
    };
    let (approvers, wanted) = (of(&demand.approvers), usize::from(demand.approvals));
    if approvers.len() < wanted {
        let problem = format!(
            "these groups have {} who could approve, and {wanted} must: it would never be granted",
            people(approvers.len())
        );
        return Some(("approvals", problem));
    }
    let review = demand.review.as_ref()?;
    let mut all = approvers;
    all.extend(groups.people_in(review));
    (all.len() <= wanted).then(|| {
        let problem = format!(
            "whoever reviews is none of the {wanted} who approve, and there are {} in all: it \
             would never be granted",
            people(all.len())
        );
        ("security_review", problem)
    })
}

fn people(count: usize) -> String {
    match count {
        1 => "one person".to_owned(),
        count => format!("{count} people"),
    }
}

impl Policy {
    /// Everybody who may be asked to approve something; nobody where nothing needs it.
    #[must_use]
    pub fn approvers(&self) -> BTreeSet<Person> {
        let groups = self.demands.values().flat_map(Demand::groups);
        groups
            .flat_map(|name| self.groups.people_in(name))
            .collect()
    }

    /// How many policies want something approved by somebody.
    #[must_use]
    pub fn demanding(&self) -> usize {
        let demands = self.demands.values();
        demands.filter(|demand| !demand.is_alone()).count()
    }
}
