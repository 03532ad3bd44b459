//! How far the session may say we have read: up to the first message not taken care of yet.
//!
//! Messages wait in memory for their turn. A place beyond one of them, written to the session
//! before a crash, would lose it: nobody would fetch it again. One fetched again that was taken
//! care of is harmless, for it is claimed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grammers_session::types::UpdatesState;

/// The places after the batches of messages that were handed over.
#[derive(Default)]
pub(super) struct Progress(Mutex<Places>);

#[derive(Default)]
struct Places {
    /// After the last batch: here this process goes on, with whatever connection.
    latest: Option<UpdatesState>,
    /// Batches with messages not taken care of, and those after them.
    open: VecDeque<(Batch, UpdatesState)>,
    /// Here the next process goes on; `None` when it was taken already.
    settled: Option<UpdatesState>,
}

/// Messages that came together: how many are not taken care of.
#[derive(Clone, Default)]
pub(super) struct Batch(Arc<AtomicUsize>);

/// A message's claim to be fetched again. Dropped without [`Ticket::done`] it stands.
pub(super) struct Ticket(Arc<AtomicUsize>);

impl Batch {
    /// One more message that is not taken care of.
    pub(super) fn ticket(&self) -> Ticket {
        self.0.fetch_add(1, Ordering::AcqRel);
        Ticket(Arc::clone(&self.0))
    }

    fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl Ticket {
    /// The message is taken care of.
    pub(super) fn done(self) {
        self.count_down();
    }

    fn count_down(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // What makes us panic once would do so again after every restart.
        if std::thread::panicking() {
            self.count_down();
        }
    }
}

impl Progress {
    /// All messages of `batch` are handed over; after them, `place` is reached.
    pub(super) fn handed_over(&self, batch: Batch, place: UpdatesState) {
        let mut places = self.places();
        places.latest = Some(place.clone());
        match places.open.back_mut() {
            // Nothing in it to wait for, so it needs no entry of its own.
            Some((_, last)) if batch.is_done() => *last = place,
            Some(_) | None => places.open.push_back((batch, place)),
        }
        places.settle();
    }

    /// The place after everything handed over; `None` when nothing was.
    pub(super) fn latest(&self) -> Option<UpdatesState> {
        self.places().latest.clone()
    }

    /// The place before the first message not taken care of; `None` when it is the same as the
    /// last time.
    pub(super) fn take_settled(&self) -> Option<UpdatesState> {
        let mut places = self.places();
        places.settle();
        places.settled.take()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn settle(&mut self) {
        while let Some((batch, _)) = self.open.front()
            && batch.is_done()
        {
            self.settled = self.open.pop_front().map(|(_, place)| place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pts: i32) -> UpdatesState {
        UpdatesState {
            pts,
            ..UpdatesState::default()
        }
    }

    /// Hands over a batch of so many messages, after which `pts` is reached.
    fn hand_over(progress: &Progress, messages: usize, pts: i32) -> Vec<Ticket> {
        let batch = Batch::default();
        let tickets = (0..messages).map(|_| batch.ticket()).collect();
        progress.handed_over(batch, place(pts));
        tickets
    }

    fn settled(progress: &Progress) -> Option<i32> {
        progress.take_settled().map(|place| place.pts)
    }

    #[test]
    fn settles_before_the_first_open_message() {
        let progress = Progress::default();
        assert_eq!(progress.latest(), None);
        assert!(hand_over(&progress, 0, 1).is_empty());
        assert_eq!(settled(&progress), Some(1));
        let mut first = hand_over(&progress, 2, 3);
        let second = hand_over(&progress, 1, 4);
        hand_over(&progress, 0, 5);
        second.into_iter().for_each(Ticket::done);
        first.pop().unwrap().done();
        assert_eq!(settled(&progress), None, "one of the first is open");
        assert_eq!(progress.latest(), Some(place(5)));
        first.pop().unwrap().done();
        assert_eq!(settled(&progress), Some(5));
        assert_eq!(settled(&progress), None);
    }

    #[test]
    fn a_message_cut_off_stays_open_for_good() {
        let progress = Progress::default();
        drop(hand_over(&progress, 1, 1));
        hand_over(&progress, 1, 2)
            .into_iter()
            .for_each(Ticket::done);
        assert_eq!(settled(&progress), None);
    }

    #[test]
    fn a_message_that_makes_us_panic_is_not_fetched_again() {
        let progress = Progress::default();
        let tickets = hand_over(&progress, 1, 1);
        let panicking = std::thread::spawn(move || {
            let _held = tickets;
            panic!("as the test wants it");
        });
        assert!(panicking.join().is_err());
        assert_eq!(settled(&progress), Some(1));
    }
}
