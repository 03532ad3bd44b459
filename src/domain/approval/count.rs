//! Counting votes: which of them meet a demand, as people and groups are today.

use std::collections::BTreeSet;

use crate::domain::Person;
use crate::domain::approval::Approval;
use crate::domain::demand::Demand;
use crate::domain::group::Groups;

/// A vote that may count: by whom, and for what they stand now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    pub(in crate::domain) person: Person,
    pub(in crate::domain) groups: BTreeSet<String>,
    /// Where the TOTP code that came with it was checked.
    pub(in crate::domain) step_up: Option<String>,
}

/// One thing that must be agreed to, as people are told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The policy that wants it.
    pub policy: String,
    /// So many people must approve.
    pub approvals: usize,
    /// So many have, whose votes count.
    pub have: usize,
    /// They are of these groups.
    pub approvers: Vec<String>,
    /// Each stands for another of these groups.
    pub separate: bool,
    /// And somebody else of this group must.
    pub review: Option<String>,
    /// That has happened.
    pub reviewed: bool,
    /// Votes carry a code that Vault's TOTP engine checks there.
    pub step_up: Option<String>,
}

impl Ask {
    pub(in crate::domain) fn new(policy: &str, demand: &Demand, votes: &[Cast]) -> Self {
        let (have, reviewed) = demand.counted(votes);
        Self {
            policy: policy.to_owned(),
            approvals: demand.approvals.into(),
            have,
            approvers: demand.approvers.clone(),
            separate: demand.separate,
            review: demand.review.clone(),
            reviewed,
            step_up: demand.step_up.clone(),
        }
    }

    /// The groups whose members are asked.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let groups = self.approvers.iter().chain(&self.review);
        groups.map(String::as_str)
    }
}

impl Approval {
    /// The votes for it that may count today: none of the requester's, by whatever account, and
    /// one a person.
    pub(in crate::domain) fn cast(&self, groups: &Groups) -> Vec<Cast> {
        let mut seen = BTreeSet::new();
        let requester = groups.people().of(&(&self.request.caller).into());
        let votes = self.votes.iter().filter_map(|vote| {
            let person = groups.people().of(&vote.account);
            let counts = person != requester && seen.insert(person.clone());
            counts.then(|| Cast {
                groups: groups.of_person(&person).map(str::to_owned).collect(),
                person,
                step_up: vote.step_up.clone(),
            })
        });
        votes.collect()
    }
}

impl Demand {
    /// Whether `votes` are enough.
    pub(in crate::domain) fn met_by(&self, votes: &[Cast]) -> bool {
        let (have, reviewed) = self.counted(votes);
        have >= self.approvals.into() && (reviewed || self.review.is_none())
    }

    /// How many of `votes` count as approvals, up to as many as are wanted, and whether one beside
    /// them is the review.
    pub(in crate::domain) fn counted(&self, votes: &[Cast]) -> (usize, bool) {
        let strong = |vote: &&Cast| self.step_up.is_none() || vote.step_up == self.step_up;
        let votes: Vec<&Cast> = votes.iter().filter(strong).collect();
        let most = |votes: &[&Cast]| self.approvals(votes).min(self.approvals.into());
        let unreviewed = (most(&votes), false);
        let Some(review) = &self.review else {
            return unreviewed;
        };
        // Whoever reviews is not counted as an approver: each of them in turn.
        let reviewers = votes.iter().filter(|vote| vote.groups.contains(review));
        let reviewed = reviewers.map(|reviewer| {
            let others = votes.iter().copied();
            let others: Vec<_> = others
                .filter(|vote| vote.person != reviewer.person)
                .collect();
            (most(&others), true)
        });
        let best = reviewed.max();
        // A review that takes an approval away brings nobody closer.
        best.filter(|(have, _)| have + 1 > unreviewed.0)
            .unwrap_or(unreviewed)
    }

    /// How many of `votes` are approvals.
    fn approvals(&self, votes: &[&Cast]) -> usize {
        if !self.separate {
            let eligible = |vote: &&&Cast| self.approvers.iter().any(|it| vote.groups.contains(it));
            return votes.iter().filter(eligible).count();
        }
        // Whom each group is represented by: the most that can be, each by another.
        let mut taken: Vec<Option<&String>> = vec![None; votes.len()];
        let approvers = self.approvers.iter();
        approvers
            .filter(|group| represent(group, votes, &mut taken, &mut BTreeSet::new()))
            .count()
    }
}

/// Finds `group` somebody to represent it, if need be by finding somebody else for the group that
/// they represent so far.
fn represent<'a>(
    group: &'a String,
    votes: &[&Cast],
    taken: &mut Vec<Option<&'a String>>,
    tried: &mut BTreeSet<usize>,
) -> bool {
    for (place, vote) in votes.iter().enumerate() {
        if !vote.groups.contains(group) || !tried.insert(place) {
            continue;
        }
        let other = taken.get(place).copied().flatten();
        if other.is_none_or(|other| represent(other, votes, taken, tried)) {
            if let Some(seat) = taken.get_mut(place) {
                *seat = Some(group);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::People;
    use crate::domain::person::Account;

    fn cast(person: u32, groups: &[&str]) -> Cast {
        Cast {
            person: People::default().of(&Account::Uid(person)),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            step_up: None,
        }
    }

    fn demand(approvals: u8, approvers: &[&str]) -> Demand {
        Demand {
            approvals,
            approvers: approvers.iter().map(|group| (*group).to_owned()).collect(),
            separate: false,
            review: None,
            reason: 0,
            grant: Duration::from_mins(1),
            once: false,
            waits: Duration::from_mins(1),
            step_up: None,
            break_glass: None,
        }
    }

    #[test]
    fn only_members_count() {
        let two = demand(2, &["a", "b"]);
        let votes = [cast(1, &["a"]), cast(2, &["c"]), cast(3, &["b", "a"])];
        assert_eq!(two.counted(&votes), (2, false));
        assert!(two.met_by(&votes) && !two.met_by(&votes[..2]));
        assert_eq!(
            demand(1, &["a"]).counted(&votes),
            (1, false),
            "no more than wanted"
        );
    }

    #[test]
    fn separate_approvals_are_each_for_another_group() {
        let separate = |approvals, groups: &[&str]| Demand {
            separate: true,
            ..demand(approvals, groups)
        };
        let both = cast(1, &["a", "b"]);
        assert!(
            !separate(2, &["a", "b"]).met_by(std::slice::from_ref(&both)),
            "one person"
        );
        let two_of_a = [cast(1, &["a"]), cast(2, &["a"])];
        assert!(!separate(2, &["a", "b"]).met_by(&two_of_a), "one group");
        // The first must make room for the second.
        assert!(separate(2, &["a", "b"]).met_by(&[both.clone(), cast(2, &["a"])]));
        let chain = [both, cast(2, &["b", "c"]), cast(3, &["a"])];
        assert!(separate(3, &["a", "b", "c"]).met_by(&chain));
        assert!(!separate(3, &["a", "b"]).met_by(&chain), "two groups");
    }

    #[test]
    fn a_review_is_by_somebody_who_is_not_counted_otherwise() {
        let reviewed = Demand {
            review: Some("s".to_owned()),
            ..demand(1, &["a"])
        };
        let both = cast(1, &["a", "s"]);
        assert!(!reviewed.met_by(std::slice::from_ref(&both)));
        assert_eq!(reviewed.counted(std::slice::from_ref(&both)), (1, false));
        assert!(
            reviewed.met_by(&[both.clone(), cast(2, &["a"])]),
            "reviewed by 1"
        );
        assert!(reviewed.met_by(&[both, cast(2, &["s"])]), "reviewed by 2");
        assert!(!reviewed.met_by(&[cast(1, &["a"]), cast(2, &["a"])]));
        assert_eq!(reviewed.counted(&[cast(2, &["s"])]), (0, true));
    }

    #[test]
    fn a_code_must_be_of_the_engine_that_is_named() {
        let strong = Demand {
            step_up: Some("totp".to_owned()),
            ..demand(1, &["a"])
        };
        let with = |mount: Option<&str>| Cast {
            step_up: mount.map(str::to_owned),
            ..cast(1, &["a"])
        };
        for (mount, met) in [(None, false), (Some("other"), false), (Some("totp"), true)] {
            assert_eq!(strong.met_by(&[with(mount)]), met, "{mount:?}");
        }
    }
}
