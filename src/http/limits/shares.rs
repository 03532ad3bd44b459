//! Who has what of a socket: connections, requests in progress, and requests a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::limits::rate::Rate;
use crate::http::limits::{Limits, Place, Refused, SAY_AGAIN, Who, is_news};
use crate::telemetry::metrics::{SOCKET_REFUSED, SOCKET_SHED};

/// Connections only root and our own user get, so that `vaultgram unlock` works in a crowd; fewer
/// of a small socket.
const RESERVED: usize = 8;
/// Users that are remembered before those who want nothing any more are looked for.
const MANY_USERS: usize = 1024;

/// Who has what.
pub(in crate::http) struct Shares(Mutex<Taken>);

pub(super) struct Taken {
    limits: Limits,
    own_uid: u32,
    users: HashMap<Who, User>,
    connections: usize,
    /// When the requests of all are paid off, at the rate of all.
    paid: Instant,
    /// Orders connections by when they became idle.
    turn: u64,
    look_for_gone_at: usize,
}

pub(super) struct User {
    connections: usize,
    /// Those that wait for a request, the longest first; what closes each.
    idle: BTreeMap<u64, CancellationToken>,
    pub(super) in_flight: Arc<Semaphore>,
    /// When its requests are paid off, at its own rate.
    paid: Instant,
    /// When the log last said that it is refused something.
    told: Option<Instant>,
}

impl Shares {
    pub(in crate::http) fn new(limits: Limits, own_uid: u32, now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Taken {
            limits,
            own_uid,
            users: HashMap::new(),
            connections: 0,
            paid: now,
            turn: 0,
            look_for_gone_at: MANY_USERS,
        })))
    }

    /// A place for a new connection of `who`. Where there is none left, an idle connection is
    /// closed for it: one of its own, or else one of whoever has more than it has.
    pub(in crate::http) fn open(
        self: &Arc<Self>,
        who: impl Into<Who>,
        now: Instant,
    ) -> Result<Place, Refused> {
        let who = who.into();
        let mut taken = self.lock();
        taken.count(who, now)?;
        taken.make_room(who, now)?;
        taken.connections += 1;
        taken.user(who, now).connections += 1;
        let closing = CancellationToken::new();
        let since = taken.idle(who, &closing);
        drop(taken);
        Ok(Place::new(Arc::clone(self), who, closing, since))
    }

    /// Closes up to `count` idle connections of whoever has most.
    pub(in crate::http) fn close_idle(&self, count: usize) {
        let mut taken = self.lock();
        for _ in 0..count {
            if let Some((most, _)) = taken.most_connections() {
                taken.close_oldest(most);
            }
        }
    }

    /// Says that `who` is refused something: in the metrics always, in the log once a minute.
    pub(in crate::http) fn refused(&self, who: Who, why: Refused, now: Instant) {
        counter!(SOCKET_REFUSED, "why" => why.name()).increment(1);
        let news = is_news(&mut self.lock().user(who, now).told, now);
        if news {
            tracing::warn!(
                event = "socket.refused",
                %who,
                why = why.name(),
                hint = "it asks for more than [limits] allows; said once a minute"
            );
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    pub(super) fn user(&mut self, who: Who, now: Instant) -> &mut User {
        if !self.users.contains_key(&who) && self.users.len() >= self.look_for_gone_at {
            self.users.retain(|_, user| !user.is_gone(now));
            self.look_for_gone_at = MANY_USERS.max(2 * self.users.len());
        }
        let in_flight = self.limits.in_flight_per_user.min(Semaphore::MAX_PERMITS);
        self.users.entry(who).or_insert_with(|| User {
            connections: 0,
            idle: BTreeMap::new(),
            in_flight: Arc::new(Semaphore::new(in_flight)),
            paid: now,
            told: None,
        })
    }

    /// Counts one request of `who`, unless it is one too many.
    pub(super) fn count(&mut self, who: impl Into<Who>, now: Instant) -> Result<(), Refused> {
        let who = who.into();
        let together = Rate::per_second(self.limits.rate).one_more(self.paid, now);
        let together = match together {
            // Its own rate binds it; a crowd of others does not.
            None if self.is_privileged(who) => self.paid,
            paid => paid.ok_or(Refused::TooOften)?,
        };
        let rate = Rate::per_second(self.limits.rate_per_user);
        let user = self.user(who, now);
        user.paid = rate.one_more(user.paid, now).ok_or(Refused::TooOften)?;
        self.paid = together;
        Ok(())
    }

    /// Closes a connection if another of `who` would be one too many.
    fn make_room(&mut self, who: Who, now: Instant) -> Result<(), Refused> {
        let mine = self.user(who, now).connections;
        if mine >= self.limits.connections_per_user {
            return self.close_oldest(who).ok_or(Refused::Connections);
        }
        let all = self.limits.connections;
        let reserved = if self.is_privileged(who) {
            0
        } else {
            RESERVED.min(all / 8)
        };
        if self.connections < all - reserved {
            return Ok(());
        }
        let (most, held) = self.most_connections().ok_or(Refused::Full)?;
        if most != who && held <= mine {
            return Err(Refused::Full);
        }
        self.close_oldest(most).ok_or(Refused::Full)
    }

    /// Root and our own user could do anything here anyway.
    fn is_privileged(&self, who: Who) -> bool {
        match who {
            Who::User(uid) => uid == 0 || uid == self.own_uid,
            Who::Address(_) => false,
        }
    }

    /// The user with most connections of those with an idle one, and how many those are.
    fn most_connections(&self) -> Option<(Who, usize)> {
        let users = self.users.iter().filter(|(_, user)| !user.idle.is_empty());
        let most = users.max_by_key(|(_, user)| user.connections);
        most.map(|(who, user)| (*who, user.connections))
    }

    /// Closes the connection of `who` that is idle for longest. Its place is free at once.
    fn close_oldest(&mut self, who: Who) -> Option<()> {
        let (_, closing) = self.users.get_mut(&who)?.idle.pop_first()?;
        closing.cancel();
        counter!(SOCKET_SHED).increment(1);
        self.left(who);
        Some(())
    }

    /// One connection fewer.
    pub(super) fn left(&mut self, who: Who) {
        self.connections -= 1;
        if let Some(user) = self.users.get_mut(&who) {
            user.connections -= 1;
        }
    }

    /// The connection of that number does not wait any more; whether it did.
    pub(super) fn not_idle(&mut self, who: Who, since: u64) -> bool {
        let user = self.users.get_mut(&who);
        user.is_some_and(|user| user.idle.remove(&since).is_some())
    }

    /// A connection of `who` waits for a request from now on. Its number among those that do.
    pub(super) fn idle(&mut self, who: Who, closing: &CancellationToken) -> u64 {
        self.turn += 1;
        if let Some(user) = self.users.get_mut(&who) {
            user.idle.insert(self.turn, closing.clone());
        }
        self.turn
    }
}

impl User {
    /// Whether forgetting it makes no difference.
    fn is_gone(&self, now: Instant) -> bool {
        let told = |told| now.duration_since(told) < SAY_AGAIN;
        // Whoever has a turn has the semaphore too.
        let working = Arc::strong_count(&self.in_flight) > 1;
        self.connections == 0 && !working && self.paid <= now && !self.told.is_some_and(told)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OWN: u32 = 990;

    fn shares(connections: usize) -> Arc<Shares> {
        Shares::new(Limits::of(connections), OWN, Instant::now())
    }

    fn open(shares: &Arc<Shares>, uid: u32, count: usize) -> Vec<Place> {
        let now = Instant::now();
        (0..count).map(|_| shares.open(uid, now).unwrap()).collect()
    }

    /// Makes each of them busy.
    async fn work(places: &[Place]) -> Vec<tokio::sync::OwnedSemaphorePermit> {
        let mut permits = vec![];
        for place in places {
            permits.push(place.begin(Instant::now()).await.unwrap());
        }
        permits
    }

    fn closed(places: &[Place]) -> usize {
        places.iter().filter(|place| place.is_closed()).count()
    }

    #[tokio::test]
    async fn a_user_over_its_connections_loses_the_one_idle_for_longest() {
        let shares = shares(12);
        let (first, second) = (
            shares.open(1, Instant::now()).unwrap(),
            shares.open(1, Instant::now()).unwrap(),
        );
        let third = shares.open(1, Instant::now()).unwrap();
        // The first is used meanwhile, the second is at work.
        drop(first.begin(Instant::now()).await.unwrap());
        first.answered(false, None);
        first.sent();
        let _working = second.begin(Instant::now()).await.unwrap();
        let fourth = shares.open(1, Instant::now()).unwrap();
        assert!(third.is_closed() && !first.is_closed() && !second.is_closed());
        let _working = (
            first.begin(Instant::now()).await.unwrap(),
            fourth.begin(Instant::now()).await.unwrap(),
        );
        assert_eq!(
            shares.open(1, Instant::now()).err(),
            Some(Refused::Connections)
        );
        // A place that is left is free again, and closing one freed it once only.
        drop((third, second));
        let fifth = shares.open(1, Instant::now()).unwrap();
        let _working = fifth.begin(Instant::now()).await.unwrap();
        assert_eq!(
            shares.open(1, Instant::now()).err(),
            Some(Refused::Connections)
        );
    }

    #[tokio::test]
    async fn a_closed_connection_does_not_begin_and_is_not_idle_again() {
        let shares = shares(4);
        let late = shares.open(1, Instant::now()).unwrap();
        let next = shares.open(1, Instant::now()).unwrap();
        assert_eq!(
            late.begin(Instant::now()).await.err(),
            Some(Refused::Connections)
        );
        late.answered(false, None);
        late.sent();
        let _working = next.begin(Instant::now()).await.unwrap();
        assert_eq!(
            shares.open(1, Instant::now()).err(),
            Some(Refused::Connections)
        );
    }

    #[tokio::test]
    async fn when_all_is_taken_whoever_has_most_gives() {
        let shares = shares(16);
        let (many, few) = (open(&shares, 1, 4), open(&shares, 2, 2));
        let (more, others) = (open(&shares, 3, 4), open(&shares, 4, 4));
        let _working = (work(&more).await, work(&others).await);
        // 14 of the 16, the rest being reserved.
        let newcomer = shares.open(5, Instant::now()).unwrap();
        assert_eq!((closed(&many), closed(&few)), (1, 0));
        // Until it has no more than whoever asks.
        let newcomers = [newcomer, shares.open(5, Instant::now()).unwrap()];
        assert_eq!((closed(&many), closed(&few)), (2, 0));
        let _working = (work(&many[2..]).await, work(&newcomers).await);
        assert_eq!(shares.open(5, Instant::now()).err(), Some(Refused::Full));
        assert_eq!(closed(&few), 0);
    }

    #[tokio::test]
    async fn root_and_our_own_user_have_places_of_their_own() {
        let shares = shares(16);
        let mut working = vec![];
        for uid in 1..=4 {
            let count = if uid == 4 { 2 } else { 4 };
            let places = open(&shares, uid, count);
            working.push((work(&places).await, places));
        }
        assert_eq!(shares.open(5, Instant::now()).err(), Some(Refused::Full));
        let own = [
            shares.open(0, Instant::now()).unwrap(),
            shares.open(OWN, Instant::now()).unwrap(),
        ];
        let _working = work(&own).await;
        assert_eq!(shares.open(0, Instant::now()).err(), Some(Refused::Full));
    }

    #[tokio::test]
    async fn what_is_idle_can_be_closed_when_files_run_out() {
        let shares = shares(64);
        let (many, few) = (open(&shares, 1, 8), open(&shares, 2, 2));
        shares.close_idle(6);
        assert_eq!((closed(&many), closed(&few)), (6, 0));
        shares.close_idle(16);
        assert_eq!((closed(&many), closed(&few)), (8, 2));
    }

    #[tokio::test]
    async fn rates_are_a_users_and_everybodys() {
        let mut now = Instant::now();
        let limits = Limits {
            rate_per_user: 10,
            rate: 20,
            ..Limits::of(1024)
        };
        let shares = Shares::new(limits, OWN, now);
        let asks = |uid, times, now| {
            let mut taken = shares.lock();
            let done = (0..times).take_while(|_| taken.count(uid, now).is_ok());
            done.count()
        };
        // A burst is twice the rate.
        assert_eq!(asks(1, 100, now), 20);
        assert_eq!(asks(2, 100, now), 20);
        assert_eq!(asks(3, 100, now), 0, "all together have asked enough");
        assert_eq!(asks(OWN, 100, now), 20);
        now += Duration::from_secs(1);
        assert_eq!(asks(1, 100, now), 10);
        assert_eq!(asks(3, 100, now), 10);
        assert_eq!(asks(2, 100, now), 0);
        // Opening and asking both count.
        let place = shares.open(OWN, now).unwrap();
        assert!(place.begin(now).await.is_ok());
        assert_eq!(asks(OWN, 100, now), 8);
        assert_eq!(place.begin(now).await.err(), Some(Refused::TooOften));
        assert_eq!(shares.open(OWN, now).err(), Some(Refused::TooOften));
    }

    #[test]
    fn users_who_are_gone_are_forgotten() {
        let mut now = Instant::now();
        let shares = shares(64);
        let stays = shares.open(1, now).unwrap();
        shares.refused(Who::User(2), Refused::TooOften, now);
        for uid in 1000..6000 {
            drop(shares.open(uid, now).unwrap());
            now += Duration::from_millis(10);
        }
        let taken = shares.lock();
        assert!(taken.users.len() <= MANY_USERS, "{}", taken.users.len());
        assert!(taken.users.contains_key(&Who::User(1)) && taken.connections == 1);
        assert!(
            taken.users.contains_key(&Who::User(2)),
            "the log said it, and not a minute ago"
        );
        drop(taken);
        drop(stays);
    }

    #[test]
    fn the_log_says_it_once_a_minute() {
        let (mut said, now) = (None, Instant::now());
        assert!(is_news(&mut said, now) && !is_news(&mut said, now));
        assert!(!is_news(&mut said, now + Duration::from_secs(59)));
        assert!(is_news(&mut said, now + Duration::from_mins(1)));
    }
}
