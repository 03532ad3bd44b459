//! Things to do at their time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A queue by due time.
pub(super) struct Schedule<T> {
    items: Mutex<Items<T>>,
    added: Notify,
}

/// The number keeps apart what is due at the same instant.
struct Items<T> {
    due: BTreeMap<(Instant, u64), T>,
    next: u64,
}

impl<T> Schedule<T> {
    pub(super) fn new() -> Self {
        Self {
            items: Mutex::new(Items {
                due: BTreeMap::new(),
                next: 0,
            }),
            added: Notify::new(),
        }
    }

    /// Adds something that is due after this time.
    pub(super) fn add(&self, after: Duration, item: T) {
        let mut items = self.items();
        let number = items.next;
        items.next += 1;
        items.due.insert((Instant::now() + after, number), item);
        drop(items);
        self.added.notify_one();
    }

    /// How much there is, due or not.
    pub(super) fn len(&self) -> usize {
        self.items().due.len()
    }

    /// Takes what is due, at most so many, the oldest first; possibly nothing.
    pub(super) fn take(&self, most: usize) -> Vec<T> {
        let now = Instant::now();
        let mut items = self.items();
        let mut taken = vec![];
        while taken.len() < most
            && let Some(first) = items.due.first_entry()
            && first.key().0 <= now
        {
            taken.push(first.remove());
        }
        taken
    }

    /// Waits until something is due.
    pub(super) async fn due(&self) {
        loop {
            let first = self.items().due.keys().next().map(|(at, _)| *at);
            match first {
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::select! {
                    () = sleep_until(at) => return,
                    () = self.added.notified() => {}
                },
                None => self.added.notified().await,
            }
        }
    }

    fn items(&self) -> MutexGuard<'_, Items<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_out_what_is_due_in_order() {
        let schedule = Schedule::new();
        for (after, name) in [(200, 'c'), (0, 'a'), (0, 'b'), (60_000, 'z')] {
            schedule.add(Duration::from_millis(after), name);
        }
        schedule.due().await;
        assert_eq!(schedule.take(1), ['a']);
        assert_eq!(schedule.take(1), ['b']);
        schedule.due().await;
        assert_eq!(schedule.take(9), ['c']);
        assert!(schedule.take(9).is_empty());
    }

    #[tokio::test]
    async fn wakes_for_what_is_added_and_due_sooner() {
        let schedule = Schedule::new();
        let began = Instant::now();
        let adding = async {
            schedule.add(Duration::from_mins(1), 'b');
            tokio::task::yield_now().await;
            schedule.add(Duration::ZERO, 'a');
        };
        tokio::join!(schedule.due(), adding);
        assert_eq!(schedule.take(9), ['a']);
        assert!(began.elapsed() < Duration::from_mins(1));
    }
}
