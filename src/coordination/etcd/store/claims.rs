//! Who may do a thing: one at a time, and another only once that one has ended.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::EtcdStore;
use super::entries::check_key;
use super::envelope::{Head, Kind};
use super::flights::Turn;
use super::layout::MemberId;
use super::mine::Hold;
use super::seen::Sight;
use super::tries::{LONGEST, Tries, part};
use super::write::{Change, Found, Written};
use crate::broker::ports::{Claim, CoordinationError};
use crate::coordination::etcd::kv::{KvError, LeaseId, Revision};

/// How long the member that a key falls to has before the others try.
const HEAD_START: Duration = Duration::from_millis(150);
/// Longest wait for one who has the key.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// After this long without news etcd is asked.
const NO_NEWS: Duration = Duration::from_secs(10);
/// And this soon where what the watch told proved old.
const OLD_NEWS: Duration = Duration::from_millis(500);
/// Between tries for a lease that lasts.
const LEASE_PAUSE: Duration = Duration::from_millis(50);
/// How much later than its end a claim of another ends, in milliseconds, for clocks that run apart: where
/// its owner has ended, and where not.
const APART: (i64, i64) = (500, 5000);

/// What is to be done about a key that somebody wants.
enum Step {
    /// It can be had, if it is as it was, and `unless` has ended.
    Take {
        at: Option<Revision>,
        unless: Option<MemberId>,
        again: bool,
    },
    /// It is ours, though nobody was told: who asked for it went away, or etcd was slow.
    Have(Hold, bool),
    /// A process that lives has it.
    Wait,
    /// It cannot be had, which is told so.
    Told(Claim),
}

/// Something may be claimed in our name of which nobody will be told.
struct Doubt<'s> {
    store: &'s EtcdStore,
    key: &'s str,
    there: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.there {
            self.store.orphans.push(self.key);
        }
    }
}

impl EtcdStore {
    pub(super) async fn claim_until(
        &self,
        key: &str,
        until: i64,
    ) -> Result<Claim, CoordinationError> {
        check_key(key)?;
        if self.membership.current().is_none() {
            return Err(self.no_term());
        }
        let mut doubt = Doubt {
            store: self,
            key,
            there: false,
        };
        let end = Instant::now() + LONGEST_WAIT;
        let turn = self.flights.enter(key).await;
        let (mut found, mut insist) = (None, false);
        let mut waited = self.hesitate(&turn, key).await;
        loop {
            let Some(me) = self.membership.current() else {
                // Who only waits may go on: when etcd is back, the other may have ended.
                if !waited || Instant::now() >= end {
                    return Err(self.no_term());
                }
                sleep(OLD_NEWS).await;
                continue;
            };
            let sight = Sight::later(found, self.seen.get(key));
            match self.step(key, sight, me, insist) {
                Step::Told(claim) => {
                    doubt.there = false;
                    return Ok(claim);
                }
                Step::Have(hold, again) => {
                    self.mine.hold(key, hold, self.now());
                    doubt.there = false;
                    return Ok(told(again));
                }
                Step::Wait if Instant::now() >= end => return Ok(Claim::Taken),
                Step::Wait => {
                    waited = true;
                    let patience = NO_NEWS.mul_f64(0.5 + part(&*self.random) / 2.0);
                    insist = timeout(patience, turn.changed()).await.is_err();
                }
                Step::Take { at, unless, again } => {
                    doubt.there = true;
                    let kind = Kind::Claimed { until, again };
                    let head = Head { owner: me, kind };
                    match self.put_claim(key, head, at, unless).await? {
                        Ok(hold) => {
                            self.mine.hold(key, hold, self.now());
                            // Should the term be over by now, all is as before.
                            if self.membership.current() == Some(me) {
                                doubt.there = false;
                                return Ok(told(again));
                            }
                        }
                        // It has not ended, whatever the watch told.
                        Err(sight) if unless.is_some() && Some(sight.revision) == at => {
                            waited = true;
                            if Instant::now() >= end {
                                return Ok(Claim::Taken);
                            }
                            timeout(OLD_NEWS, turn.changed()).await.ok();
                        }
                        Err(sight) => found = Some(sight),
                    }
                    insist = false;
                }
            }
        }
    }

    /// Leaves `key` to whom it falls, for a moment. Nobody has it as far as is known.
    async fn hesitate(&self, turn: &Turn<'_>, key: &str) -> bool {
        let falls_to_us = |me| self.company.prefers(me, key);
        if self.seen.get(key).is_none() && !self.membership.current().is_some_and(falls_to_us) {
            timeout(HEAD_START, turn.changed()).await.ok();
        }
        self.seen.get(key).is_some()
    }

    /// What is to be done by `me` about `key`, which stands as `sight` says. `insist`: whoever has it is to
    /// be looked for.
    fn step(&self, key: &str, sight: Option<Sight>, me: MemberId, insist: bool) -> Step {
        let at = sight.map(|sight| sight.revision);
        let Some((revision, head)) = sight.and_then(|it| Some((it.revision, it.head?))) else {
            return Step::Take {
                at: None,
                unless: None,
                again: false,
            };
        };
        match head.kind {
            Kind::Claimed { .. } | Kind::Done { .. } if self.ended(head) => Step::Take {
                at,
                unless: None,
                again: false,
            },
            Kind::Set | Kind::Member | Kind::Done { .. } => Step::Told(Claim::Done),
            Kind::Claimed { .. } if head.owner == me && self.mine.has(key, me) => {
                Step::Told(Claim::Taken)
            }
            Kind::Claimed { until, again } if head.owner == me => {
                let hold = Hold {
                    member: me,
                    revision,
                    until,
                };
                Step::Have(hold, again)
            }
            // An earlier term of ours is over: we know.
            Kind::Claimed { .. } if head.owner.process == me.process => Step::Take {
                at,
                unless: None,
                again: true,
            },
            Kind::Claimed { .. } if insist || !self.company.has(head.owner) => Step::Take {
                at,
                unless: Some(head.owner),
                again: true,
            },
            Kind::Claimed { .. } => Step::Wait,
        }
    }

    /// Whether `head` is of a claim that ended. Never before it does, by the clock of whose it is.
    pub(super) fn ended(&self, head: Head) -> bool {
        let ours = head.owner.process == self.membership.process();
        let (until, apart) = match head.kind {
            Kind::Set | Kind::Member => return false,
            Kind::Claimed { until, .. } | Kind::Done { until } if ours => (until, 0),
            Kind::Claimed { until, .. } if !self.company.has(head.owner) => (until, APART.0),
            Kind::Claimed { until, .. } | Kind::Done { until } => (until, APART.1),
        };
        until.saturating_add(apart) <= self.now()
    }

    /// Sets `key` to `head`, a claim's, if it was changed last at `at` and `unless` has ended. An error is
    /// what is there instead.
    async fn put_claim(
        &self,
        key: &str,
        head: Head,
        at: Option<Revision>,
        unless: Option<MemberId>,
    ) -> Result<Result<Hold, Sight>, CoordinationError> {
        let member = head.owner;
        let (Kind::Claimed { until, .. } | Kind::Done { until }) = head.kind else {
            return Err(CoordinationError("not a claim".into()));
        };
        let place = self.layout.state(key);
        let sealed = self.sealed(&place, member, head.kind, &member.process)?;
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            let lease = self.lease_until(until).await?;
            let change = Change {
                key: place.clone(),
                at,
                unless,
                to: Some((sealed.clone(), Some(lease))),
            };
            let sight = match self.change(member, &change).await? {
                Written::Done(revision) => {
                    let head = Some(head);
                    self.seen.note(key, Sight { revision, head });
                    return Ok(Ok(Hold {
                        member,
                        revision,
                        until,
                    }));
                }
                Written::Lost(found) | Written::Perhaps(found) => self.sight(&found)?,
                Written::NoLease => {
                    sleep(LEASE_PAUSE).await;
                    continue;
                }
            };
            self.seen.note(key, sight);
            return Ok(Err(sight));
        }
        Err(CoordinationError(
            "etcd ends leases as soon as it makes them".into(),
        ))
    }

    /// The lease of claims that end at `until`.
    pub(super) async fn lease_until(&self, until: i64) -> Result<LeaseId, CoordinationError> {
        let mut tries = Tries::new(&*self.random);
        loop {
            let asked = self.buckets.lease(&*self.kv, until, self.now());
            let error = match timeout_at(tries.end(), asked).await {
                Ok(Ok(lease)) => return Ok(lease),
                Ok(Err(error)) => error,
                Err(_) => KvError::Refused("etcd does not answer".into()),
            };
            if !tries.pause().await {
                return Err(CoordinationError(error.to_string()));
            }
        }
    }

    fn sight(&self, found: &Found) -> Result<Sight, CoordinationError> {
        let Some(entry) = &found.entry else {
            return Ok(Sight {
                revision: found.revision,
                head: None,
            });
        };
        let (head, _) = self.envelopes.open(&entry.key, &entry.value)?;
        Ok(Sight {
            revision: entry.changed,
            head: Some(head),
        })
    }

    /// Gives `key` up if it is claimed in our name and nobody was told.
    pub(super) async fn release(&self, key: &str) -> Result<(), CoordinationError> {
        let turn = self.flights.enter(key).await;
        let place = self.layout.state(key);
        let (Some(entry), Some(me)) = (self.look(&place).await?, self.membership.current()) else {
            return Ok(());
        };
        let (head, _) = self.envelopes.open(&place, &entry.value)?;
        let Kind::Claimed { until, again } = head.kind else {
            return Ok(());
        };
        // What was claimed under an earlier term is anybody's anyway.
        if head.owner != me || self.mine.has(key, me) {
            return Ok(());
        }
        let head = again.then_some(Head {
            owner: MemberId::NOBODY,
            kind: Kind::Claimed { until, again: true },
        });
        // Who ended before may have begun: whoever is next must be told so.
        let sealed = head.map(|head| self.sealed(&place, head.owner, head.kind, &[]));
        let to = sealed.transpose()?.map(|sealed| (sealed, entry.lease));
        let change = Change {
            key: place,
            at: Some(entry.changed),
            unless: None,
            to,
        };
        // Known at once: by what the watch told last it would be taken for ours.
        let sight = match self.change(me, &change).await? {
            Written::Done(revision) => Sight { revision, head },
            Written::Lost(found) | Written::Perhaps(found) => self.sight(&found)?,
            Written::NoLease => return Ok(()),
        };
        self.seen.note(key, sight);
        drop(turn);
        Ok(())
    }

    /// Says that `key` is done, if it is still ours.
    pub(super) async fn finish_claim(&self, key: &str) -> Result<(), CoordinationError> {
        check_key(key)?;
        let me = self.membership.current().ok_or_else(|| self.no_term())?;
        let Some(hold) = self.mine.get(key) else {
            return Ok(());
        };
        let head = Head {
            owner: me,
            kind: Kind::Done { until: hold.until },
        };
        // What is there instead is no longer ours.
        self.put_claim(key, head, Some(hold.revision), None)
            .await?
            .ok();
        self.mine.end(key, hold);
        Ok(())
    }
}

fn told(again: bool) -> Claim {
    if again { Claim::Abandoned } else { Claim::Ours }
}
