//! How many requests for approval there may be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Read;
use crate::broker::ports::CoordinationError;
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::Request;
use crate::domain::approval::{Review, State};
use crate::domain::person::Account;

/// Counts what is asked for today.
const TODAY: &str = "approvals/today";
/// How much broken glass one person may leave for others to look at.
const MAX_BROKEN: usize = 3;

#[derive(Default, Serialize, Deserialize)]
struct Today {
    /// Days since 1970.
    day: i64,
    count: u32,
    /// Of these, by each account; whose it is, is looked at when it is counted.
    #[serde(default)]
    by: BTreeMap<String, u32>,
}

impl Broker {
    /// Refuses where the person behind `request` has too many open already.
    pub(super) fn within_person(
        &self,
        request: &Request,
        open: &[Read],
    ) -> Result<(), BrokerError> {
        let most = self.rules.approvals.per_person;
        let account = Account::from(&request.caller);
        let policy = self.rules.policy.get();
        let theirs = open
            .iter()
            .filter(|read| read.approval.is_of(&account, policy.groups()));
        let pending = theirs.filter(|read| read.approval.state_at(self.now()) == State::Pending);
        if pending.count() >= most {
            return Err(ApprovalError::TooMany(most).into());
        }
        Ok(())
    }

    /// Refuses where the person behind `request` broke more glass than others have looked at.
    pub(super) fn within_glass(&self, request: &Request, open: &[Read]) -> Result<(), BrokerError> {
        let account = Account::from(&request.caller);
        let policy = self.rules.policy.get();
        let theirs = open
            .iter()
            .filter(|read| read.approval.is_of(&account, policy.groups()));
        let broken = |read: &&Read| matches!(read.approval.review, Some(Review::Open { .. }));
        if theirs.filter(broken).count() >= MAX_BROKEN {
            return Err(ApprovalError::TooMuchBroken(MAX_BROKEN).into());
        }
        Ok(())
    }

    /// Counts one more today by the person behind `request`, if there may be: of each person only
    /// so many, so that nobody uses up what is everybody's.
    pub(super) async fn count_today(&self, request: &Request) -> Result<(), BrokerError> {
        let (most, share) = (
            self.rules.approvals.per_day,
            self.rules.approvals.per_person_per_day,
        );
        let account = Account::from(&request.caller);
        let policy = self.rules.policy.get();
        let people = policy.groups().people();
        let is_theirs = |other: &str| {
            let other = other.parse::<Account>();
            other.is_ok_and(|other| people.of(&other) == people.of(&account))
        };
        let day = self.now().unix_timestamp().div_euclid(86_400);
        let coordination = &self.ports.coordination;
        loop {
            let before = coordination.get(TODAY).await?;
            let known = before.as_deref().map(serde_json::from_slice::<Today>);
            let known = known.and_then(Result::ok).filter(|today| today.day == day);
            let Today { count, mut by, .. } = known.unwrap_or_default();
            let theirs = by.iter().filter(|(other, _)| is_theirs(other));
            if theirs.map(|(_, count)| count).sum::<u32>() >= share {
                return Err(ApprovalError::TooManyOfYoursToday(share).into());
            }
            if count >= most {
                return Err(ApprovalError::TooManyToday(most).into());
            }
            let count = count + 1;
            *by.entry(account.to_string()).or_default() += 1;
            let new = serde_json::to_vec(&Today { day, count, by });
            let new = new.map_err(|error| CoordinationError(error.to_string()))?;
            if coordination
                .swap(TODAY, before.as_deref(), Some(&new))
                .await?
            {
                return Ok(());
            }
        }
    }
}
