//! From one state of a request for approval to the next.

use std::time::Duration;

use time::OffsetDateTime;

use crate::domain::approval::{Approval, ApprovalStep, Grant, Refusal, Review, State, Vote};
use crate::domain::group::Groups;
use crate::domain::need::{Met, Need};
use crate::domain::person::Account;

/// How long before a grant ends people are warned; not of one that is hardly longer.
const WARNING: Duration = Duration::from_mins(5);
/// How often people are reminded of broken glass.
const REMINDER: Duration = Duration::from_hours(1);

/// What somebody does about a request, or time does.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// `by` votes; `need` is what policy wants today.
    Vote {
        /// With this account.
        by: Account,
        /// Which way.
        ballot: Ballot<'a>,
        /// What policy wants.
        need: &'a Need,
    },
    /// Its requester wants it no more.
    Cancel {
        /// With this account.
        by: Account,
    },
    /// What is granted is about to be used.
    Use,
    /// What was to be used was not, for certain.
    GiveBack,
    /// A request that it last longer was granted.
    Extend(&'a Approval),
    /// The grant that it was about lasts longer, or is over.
    Apply,
    /// What is granted is taken back.
    Revoke {
        /// With this account.
        by: Account,
    },
    /// Somebody has looked at broken glass.
    Review {
        /// With this account.
        by: Account,
        /// What they found.
        note: &'a str,
    },
    /// Time has passed.
    Tick,
}

/// A vote.
#[derive(Debug, Clone, Copy)]
pub enum Ballot<'a> {
    /// For it.
    Approve {
        /// Where the TOTP code that came with it was checked.
        step_up: Option<&'a str>,
    },
    /// Against it.
    Deny {
        /// Why.
        reason: &'a str,
    },
}

/// What a step brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Something that the audit keeps.
    Step(ApprovalStep),
    /// The request to extend a grant has done that, or there was none any more.
    Applied,
    /// What is granted is about to end.
    Warned,
    /// Broken glass waits for somebody to look at it.
    Reminded,
}

impl Approval {
    /// Takes it to the next state.
    ///
    /// # Errors
    /// When that cannot be; it is as before.
    pub fn step(
        self,
        event: Event<'_>,
        groups: &Groups,
        now: OffsetDateTime,
    ) -> Result<(Self, Vec<Effect>), Refusal> {
        let revision = self.revision + 1;
        let (next, effects) = match event {
            Event::Vote { by, ballot, need } => self.vote((by, ballot), need, groups, now)?,
            Event::Cancel { by } => {
                self.must_be(&State::Pending, now)?;
                if !self.is_of(&by, groups) {
                    return Err(Refusal::NotOwn);
                }
                self.done(State::Cancelled, ApprovalStep::Cancelled, now)
            }
            Event::Use => {
                self.must_be(&State::Granted, now)?;
                if self.grant.as_ref().is_none_or(|grant| !grant.once) {
                    return Ok((self, vec![]));
                }
                self.done(State::Used, ApprovalStep::Used, now)
            }
            Event::GiveBack => {
                if self.state != State::Used {
                    return Ok((self, vec![]));
                }
                self.done(State::Granted, ApprovalStep::GivenBack, now)
            }
            Event::Extend(by) => self.extend(by, now)?,
            Event::Apply => {
                self.must_be(&State::Granted, now)?;
                (self.now_in(State::Applied, now), vec![Effect::Applied])
            }
            Event::Revoke { by } => {
                // What its one use made is taken back too.
                if !self.holds(now) {
                    self.must_be(&State::Granted, now)?;
                }
                let by = groups.people().of(&by).to_string();
                self.done(State::Revoked { by }, ApprovalStep::Revoked, now)
            }
            Event::Review { by, note } => self.reviewed(&by, note, groups, now)?,
            Event::Tick => self.tick(now),
        };
        let revision = if effects.is_empty() {
            next.revision
        } else {
            revision
        };
        Ok((Self { revision, ..next }, effects))
    }

    fn vote(
        mut self,
        (by, ballot): (Account, Ballot<'_>),
        need: &Need,
        groups: &Groups,
        now: OffsetDateTime,
    ) -> Result<(Self, Vec<Effect>), Refusal> {
        self.must_be(&State::Pending, now)?;
        if self.is_of(&by, groups) {
            return Err(Refusal::Own);
        }
        let person = groups.people().of(&by);
        let theirs: Vec<&str> = groups.of_person(&person).collect();
        let mine = |group: &str| theirs.contains(&group);
        let mut demands = need.demands().filter(|it| it.groups().any(mine)).peekable();
        if demands.peek().is_none() {
            return Err(Refusal::NotApprover);
        }
        let step_up = match ballot {
            Ballot::Deny { reason } => {
                let (by, reason) = (person.to_string(), reason.to_owned());
                let step = ApprovalStep::Denied {
                    reason: reason.clone(),
                };
                return Ok(self.done(State::Denied { by, reason }, step, now));
            }
            Ballot::Approve { step_up } => step_up,
        };
        if step_up.is_none() && demands.all(|demand| demand.step_up.is_some()) {
            return Err(Refusal::CodeNeeded);
        }
        let before = self.votes.iter();
        let mut before = before.filter(|vote| groups.people().of(&vote.account) == person);
        // Who votes again with a code where they gave none, gives another vote.
        let again = before.any(|vote| step_up.is_none() || vote.step_up.as_deref() == step_up);
        let mut effects = vec![];
        if !again {
            self.votes
                .retain(|vote| groups.people().of(&vote.account) != person);
            let step_up = step_up.map(str::to_owned);
            self.votes.push(Vote {
                account: by,
                person: person.to_string(),
                at: now,
                step_up: step_up.clone(),
            });
            effects.push(Effect::Step(ApprovalStep::Voted { step_up }));
        }
        let cast = self.cast(groups);
        self.asks = need.asks(&cast, self.reason_length());
        match need.met(&cast, self.reason_length()) {
            // Also where the votes there are became enough.
            Some(met) => {
                let (granted, effect) = self.granted_as(met, now);
                effects.push(effect);
                Ok((granted, effects))
            }
            None if again => Err(Refusal::VotedAlready),
            None => Ok((self, effects)),
        }
    }

    /// Granted at `now`, as policy wants it that was met so.
    pub(super) fn granted_as(self, met: Met, now: OffsetDateTime) -> (Self, Effect) {
        let (until, once) = (now + met.grant, met.once);
        let granted = Self {
            grant: Some(Grant {
                since: now,
                until,
                once,
                warned: met.grant <= 2 * WARNING,
            }),
            ..self.now_in(State::Granted, now)
        };
        let policies = met.policies;
        let step = ApprovalStep::Granted {
            until,
            once,
            policies,
        };
        (granted, Effect::Step(step))
    }

    /// `by` was granted so that this lasts longer: the votes for that are the ones that count from
    /// now on.
    fn extend(mut self, by: &Self, now: OffsetDateTime) -> Result<(Self, Vec<Effect>), Refusal> {
        self.must_be(&State::Granted, now)?;
        by.must_be(&State::Granted, now)?;
        let longer = by.extends.as_ref() == Some(&self.id);
        let (Some(grant), Some(more)) = (&mut self.grant, &by.grant) else {
            return Err(Refusal::NotGranted);
        };
        if grant.once {
            return Err(Refusal::Once);
        }
        if !longer || more.until <= grant.until {
            return Ok((self, vec![]));
        }
        let until = more.until;
        *grant = Grant {
            once: false,
            ..more.clone()
        };
        self.reason.clone_from(&by.reason);
        self.votes.clone_from(&by.votes);
        self.asks.clone_from(&by.asks);
        Ok((self, vec![Effect::Step(ApprovalStep::Extended { until })]))
    }

    fn reviewed(
        self,
        by: &Account,
        note: &str,
        groups: &Groups,
        now: OffsetDateTime,
    ) -> Result<(Self, Vec<Effect>), Refusal> {
        match &self.review {
            None => return Err(Refusal::NothingToReview),
            Some(Review::Done { by, .. }) => return Err(Refusal::ReviewedAlready(by.clone())),
            Some(Review::Open { .. }) => {}
        }
        if self.is_of(by, groups) {
            return Err(Refusal::Own);
        }
        let note = note.to_owned();
        let review = Review::Done {
            by: groups.people().of(by).to_string(),
            note: note.clone(),
            at: now,
        };
        let reviewed = Self {
            review: Some(review),
            ..self
        };
        Ok((
            reviewed,
            vec![Effect::Step(ApprovalStep::Reviewed { note })],
        ))
    }

    pub(crate) fn tick(mut self, now: OffsetDateTime) -> (Self, Vec<Effect>) {
        let mut effects = vec![];
        let state = self.state_at(now);
        if state != self.state {
            let (step, since) = match &self.grant {
                Some(grant) => (ApprovalStep::Ended, grant.until),
                None => (ApprovalStep::Expired, self.waits_until),
            };
            effects.push(Effect::Step(step));
            self = self.now_in(state, since);
        }
        let granted = self.state == State::Granted;
        if let Some(grant) = self.grant.as_mut().filter(|_| granted)
            && !grant.warned
            && now >= grant.until - WARNING
        {
            grant.warned = true;
            effects.push(Effect::Warned);
        }
        if let Some(Review::Open {
            reminded,
            reminders,
        }) = &mut self.review
            && now >= *reminded + REMINDER
        {
            *reminded = now;
            *reminders = reminders.saturating_add(1);
            effects.push(Effect::Reminded);
        }
        (self, effects)
    }

    /// When time alone next does something to it; `None` for never.
    pub(crate) fn due(&self) -> Option<OffsetDateTime> {
        let state = match &self.state {
            State::Pending => Some(self.waits_until),
            State::Granted => self.grant.as_ref().map(|grant| {
                let warned = grant.warned.then_some(grant.until);
                warned.unwrap_or(grant.until - WARNING)
            }),
            State::Denied { .. }
            | State::Cancelled
            | State::Expired
            | State::Used
            | State::Revoked { .. }
            | State::Ended
            | State::Applied => None,
        };
        let review = match &self.review {
            Some(Review::Open { reminded, .. }) => Some(*reminded + REMINDER),
            Some(Review::Done { .. }) | None => None,
        };
        state.into_iter().chain(review).min()
    }

    /// It is in `state` by `step`.
    fn done(self, state: State, step: ApprovalStep, now: OffsetDateTime) -> (Self, Vec<Effect>) {
        (self.now_in(state, now), vec![Effect::Step(step)])
    }

    fn now_in(self, state: State, since: OffsetDateTime) -> Self {
        Self {
            state,
            since,
            ..self
        }
    }

    /// Refuses where it is not in the state `wanted` at `now`, and says what happened.
    pub(crate) fn must_be(&self, wanted: &State, now: OffsetDateTime) -> Result<(), Refusal> {
        let state = self.state_at(now);
        if state == *wanted {
            return Ok(());
        }
        let since = match &state {
            State::Pending => return Err(Refusal::NotGranted),
            State::Granted => return Err(Refusal::Granted),
            State::Expired => self.waits_until,
            State::Ended => self.grant.as_ref().map_or(self.since, |grant| grant.until),
            State::Denied { .. }
            | State::Cancelled
            | State::Used
            | State::Revoked { .. }
            | State::Applied => self.since,
        };
        let ago = Duration::try_from(now - since).unwrap_or_default();
        Err(Refusal::Over(state, ago))
    }
}
