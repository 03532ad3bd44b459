//! How many peers are looked up at once, so that nobody can use up what others need.
//!
//! A look-up can hang: a caller can place its executable on a file system that never answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// How many are looked up at once.
const AT_ONCE: usize = 16;
/// How many of one user's, those that hang included.
const OF_A_USER: usize = 2;
/// How many threads there are for it, those that hang included.
const THREADS: usize = 64;
/// The same for root, whom nobody else keeps waiting: systemd and operators get through a crowd.
const OF_ROOT: usize = 8;

/// The places there are.
pub(super) struct Lookups {
    turns: Semaphore,
    threads: Arc<Semaphore>,
    roots: Arc<Semaphore>,
    users: Mutex<HashMap<u32, Arc<Semaphore>>>,
    time: Duration,
}

impl Lookups {
    /// Each may take `time`.
    pub(super) fn new(time: Duration) -> Self {
        Self {
            time,
            turns: Semaphore::new(AT_ONCE),
            threads: Arc::new(Semaphore::new(THREADS)),
            roots: Arc::new(Semaphore::new(OF_ROOT)),
            users: Mutex::default(),
        }
    }

    /// What `look` finds for user `uid`; `None` also where there is no place in time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        uid: u32,
        look: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let lookup = async {
            // Given back when the time is over; the place and the thread only when it ends.
            let (place, _turn, thread) = if uid == 0 {
                (
                    Arc::clone(&self.roots).acquire_owned().await.ok()?,
                    None,
                    None,
                )
            } else {
                let place = self.places_of(uid).acquire_owned().await.ok()?;
                let turn = self.turns.acquire().await.ok()?;
                let thread = Arc::clone(&self.threads).try_acquire_owned().ok()?;
                (place, Some(turn), Some(thread))
            };
            // Not on the task tracker: a look-up that hangs must not hold up a stop.
            let task = tokio::task::spawn_blocking(move || {
                let found = look();
                drop((place, thread));
                found
            });
            task.await.ok().flatten()
        };
        tokio::time::timeout(self.time, lookup).await.ok().flatten()
    }

    fn places_of(&self, uid: u32) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever is looked up, or waits for it, holds one too.
        users.retain(|_, places| Arc::strong_count(places) > 1);
        let places = users
            .entry(uid)
            .or_insert_with(|| Arc::new(Semaphore::new(OF_A_USER)));
        Arc::clone(places)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_hangs_takes_the_places_of_its_user_only() {
        let time = Duration::from_millis(300);
        let lookups = Arc::new(Lookups::new(time));
        let mut ends = vec![];
        let mut hanging = vec![];
        // More users than there are turns.
        for uid in 1..=20 {
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            let lookups = Arc::clone(&lookups);
            hanging.push(tokio_util::task::TaskTracker::new().spawn(async move {
                let look = move || ended.recv().ok();
                lookups.run(uid, look).await
            }));
        }
        for task in hanging {
            assert_eq!(task.await.unwrap(), None, "given up");
        }
        let begun = Instant::now();
        for _ in 0..AT_ONCE * 2 {
            assert_eq!(lookups.run(99, || Some(())).await, Some(()));
            assert_eq!(
                lookups.run(1, || Some(())).await,
                Some(()),
                "its other place"
            );
        }
        assert!(begun.elapsed() < time);

        let (end, ended) = mpsc::channel::<()>();
        assert_eq!(lookups.run(1, move || ended.recv().ok()).await, None);
        assert_eq!(
            lookups.run(1, || Some(())).await,
            None,
            "both its places hang"
        );
        assert_eq!(lookups.run(99, || Some(())).await, Some(()));
        drop((end, ends));
        // What hung has ended, and its user has its places again.
        assert_eq!(lookups.run(1, || Some(())).await, Some(()));
        // Nobody is remembered for ever.
        let remembered = || lookups.users.lock().unwrap().len();
        while remembered() > 1 {
            assert_eq!(lookups.run(99, || Some(())).await, Some(()));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_crowd_that_hangs_does_not_keep_root_waiting() {
        let lookups = Lookups::new(Duration::from_millis(300));
        let turns = u32::try_from(AT_ONCE).unwrap();
        let _turns = lookups.turns.acquire_many(turns).await.unwrap();
        let threads = u32::try_from(THREADS).unwrap();
        let _threads = lookups.threads.acquire_many(threads).await.unwrap();
        assert_eq!(lookups.run(1, || Some(())).await, None);
        for _ in 0..OF_ROOT * 2 {
            assert_eq!(lookups.run(0, || Some(())).await, Some(()));
        }
    }
}
