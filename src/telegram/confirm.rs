//! What waits for a confirmation: in memory only, for it can hold values; for two minutes; taken
//! once, and only by who asked. What then could not even be begun waits on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::sleep;

use crate::broker::ports::Clock;
use crate::domain::{Action, Field, RequestId, Target};

/// How long a question stands, by the clock.
pub(super) const LIFETIME: time::Duration = time::Duration::minutes(2);
/// Most questions in all: what their values take in memory stays within some megabytes.
const MAX_ALL: usize = 1000;
/// Most questions of one person.
pub(super) const MAX_EACH: usize = 5;
/// How often it is looked for what has run out.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Something that is done once it is confirmed. No `Debug`: it can hold values.
pub(super) enum Wish {
    /// With a secret. What the person was shown is pinned in it.
    Secret {
        /// What.
        action: Action,
        /// With which.
        target: Target,
        /// The values to write.
        fields: Vec<Field>,
    },
    /// Register this public key.
    RegisterKey(String),
    /// Forget this public key.
    ForgetKey(String),
}

/// What came of looking for a code.
pub(super) enum Found {
    /// This was waiting, and waits no more.
    Wish(Wish),
    /// Nothing, or not for this person, or not any more: all one to who asks.
    Nothing,
    /// This very request took it before.
    Again,
}

/// There are too many questions; of this person, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// This person has [`MAX_EACH`].
    Yours,
    /// All together have too many.
    All,
}

/// What waits.
pub(super) struct Pending {
    clock: Arc<dyn Clock>,
    entries: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    user: i64,
    until: OffsetDateTime,
    /// `None` while it is taken.
    wish: Option<Wish>,
    /// Who took it. Kept for the rest of its time: the same message can be received twice.
    taken_by: Vec<RequestId>,
}

impl Pending {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            entries: Mutex::default(),
        }
    }

    /// Keeps `wish` under a code, the first of `codes` that is free.
    pub(super) fn add(
        &self,
        user: i64,
        wish: Wish,
        mut codes: impl FnMut() -> String,
    ) -> Result<String, Full> {
        let now = self.clock.now();
        let mut entries = self.entries();
        forget_old(&mut entries, now);
        if entries.len() >= MAX_ALL {
            return Err(Full::All);
        }
        let open = |entry: &&Entry| entry.user == user && entry.wish.is_some();
        if entries.values().filter(open).count() >= MAX_EACH {
            return Err(Full::Yours);
        }
        let code = loop {
            let code = codes();
            if !entries.contains_key(&code) {
                break code;
            }
        };
        let entry = Entry {
            user,
            until: now + LIFETIME,
            wish: Some(wish),
            taken_by: vec![],
        };
        entries.insert(code.clone(), entry);
        Ok(code)
    }

    /// Takes what waits under `code` for `user`, in the name of the request `by`.
    pub(super) fn take(&self, user: i64, code: &str, by: &RequestId) -> Found {
        let now = self.clock.now();
        let mut entries = self.entries();
        forget_old(&mut entries, now);
        let Some(entry) = entries.get_mut(code).filter(|entry| entry.user == user) else {
            return Found::Nothing;
        };
        if entry.taken_by.contains(by) {
            return Found::Again;
        }
        let Some(wish) = entry.wish.take() else {
            return Found::Nothing;
        };
        entry.taken_by.push(by.clone());
        Found::Wish(wish)
    }

    /// Whether something was kept under `code` for `user`, also if it was taken since.
    pub(super) fn has(&self, user: i64, code: &str) -> bool {
        let now = self.clock.now();
        let mut entries = self.entries();
        forget_old(&mut entries, now);
        entries.get(code).is_some_and(|entry| entry.user == user)
    }

    /// Lets `wish`, which `by` took from under `code`, wait for the rest of its time: how long
    /// that is, if there is any.
    pub(super) fn put_back(
        &self,
        code: &str,
        by: &RequestId,
        wish: Wish,
    ) -> Option<time::Duration> {
        let now = self.clock.now();
        let mut entries = self.entries();
        forget_old(&mut entries, now);
        let entry = entries.get_mut(code)?;
        if entry.taken_by.last() != Some(by) {
            return None;
        }
        entry.wish = Some(wish);
        Some(entry.until - now)
    }

    /// Forgets what has run out, values first of all, for as long as it is polled.
    pub(super) async fn run(&self) {
        loop {
            sleep(SWEEP_EVERY).await;
            let now = self.clock.now();
            forget_old(&mut self.entries(), now);
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_old(entries: &mut BTreeMap<String, Entry>, now: OffsetDateTime) {
    // A clock that was set back must not lengthen anything by more than a lifetime.
    entries.retain(|_, entry| now < entry.until && entry.until <= now + LIFETIME);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Set(Mutex<OffsetDateTime>);

    impl Clock for Set {
        fn now(&self) -> OffsetDateTime {
            *self.0.lock().unwrap()
        }
    }

    fn pending() -> (Arc<Set>, Pending) {
        let clock = Arc::new(Set(Mutex::new(OffsetDateTime::UNIX_EPOCH)));
        let pending = Pending::new(Arc::clone(&clock) as Arc<dyn Clock>);
        (clock, pending)
    }

    fn wish() -> Wish {
        Wish::RegisterKey("age1".into())
    }

    fn id(message: i32) -> RequestId {
        RequestId::Message { chat: 1, message }
    }

    fn name(found: &Found) -> &'static str {
        match found {
            Found::Wish(_) => "wish",
            Found::Nothing => "nothing",
            Found::Again => "again",
        }
    }

    #[test]
    fn a_wish_is_taken_once_and_by_its_owner() {
        let (_, pending) = pending();
        let code = pending.add(1, wish(), || "AAAA".into()).unwrap();
        assert_eq!(name(&pending.take(2, &code, &id(9))), "nothing");
        assert_eq!(name(&pending.take(1, "BBBB", &id(9))), "nothing");
        assert_eq!(name(&pending.take(1, &code, &id(9))), "wish");
        assert_eq!(name(&pending.take(1, &code, &id(9))), "again");
        assert_eq!(name(&pending.take(1, &code, &id(10))), "nothing");
        assert_eq!(name(&pending.take(1, &code, &id(9))), "again");
    }

    #[test]
    fn what_is_put_back_waits_for_the_rest_of_its_time() {
        let (clock, pending) = pending();
        let code = pending.add(1, wish(), || "AAAA".into()).unwrap();
        assert_eq!(name(&pending.take(1, &code, &id(9))), "wish");
        *clock.0.lock().unwrap() += time::Duration::seconds(50);
        assert_eq!(pending.put_back(&code, &id(8), wish()), None);
        let left = pending.put_back(&code, &id(9), wish());
        assert_eq!(left, Some(time::Duration::seconds(70)));
        assert_eq!(name(&pending.take(1, &code, &id(9))), "again");
        assert_eq!(name(&pending.take(1, &code, &id(10))), "wish");
        assert_eq!(name(&pending.take(1, &code, &id(9))), "again");
        *clock.0.lock().unwrap() += time::Duration::seconds(70);
        assert_eq!(pending.put_back(&code, &id(10), wish()), None);
    }

    #[test]
    fn a_wish_runs_out_after_two_minutes() {
        let (clock, pending) = pending();
        let code = pending.add(1, wish(), || "AAAA".into()).unwrap();
        let set = |seconds| {
            *clock.0.lock().unwrap() =
                OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        };
        set(119);
        let other = pending.add(1, wish(), || "BBBB".into()).unwrap();
        set(120);
        assert_eq!(name(&pending.take(1, &code, &id(9))), "nothing");
        set(-10);
        assert_eq!(
            name(&pending.take(1, &other, &id(9))),
            "nothing",
            "set back"
        );
    }

    #[tokio::test]
    async fn what_has_run_out_goes_without_being_looked_at() {
        let (clock, pending) = pending();
        pending.add(1, wish(), || "AAAA".into()).unwrap();
        *clock.0.lock().unwrap() += LIFETIME;
        let running = tokio::time::timeout(3 * SWEEP_EVERY, pending.run());
        assert!(running.await.is_err());
        assert!(pending.entries().is_empty());
    }

    #[test]
    fn there_are_only_so_many() {
        let (_, pending) = pending();
        let mut number = 0;
        let mut code = || {
            number += 1;
            number.to_string()
        };
        for _ in 0..MAX_EACH {
            pending.add(0, wish(), &mut code).unwrap();
        }
        assert_eq!(pending.add(0, wish(), &mut code), Err(Full::Yours));
        for user in 1.. {
            match pending.add(user, wish(), &mut code) {
                Ok(_) => {}
                Err(full) => {
                    assert_eq!(full, Full::All);
                    break;
                }
            }
        }
        assert_eq!(pending.entries().len(), MAX_ALL);
    }

    #[test]
    fn a_code_in_use_is_not_given_again() {
        let (_, pending) = pending();
        let mut codes = ["A", "A", "B"].into_iter().map(str::to_owned);
        let mut next = || codes.next().unwrap();
        assert_eq!(pending.add(1, wish(), &mut next).unwrap(), "A");
        assert_eq!(pending.add(1, wish(), &mut next).unwrap(), "B");
    }
}
