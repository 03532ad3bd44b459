//! One claim of a key at a time in this process: who comes second waits for what comes of the first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};

/// The claims that are under way.
#[derive(Default)]
pub(super) struct Flights(Mutex<BTreeMap<String, Arc<Flight>>>);

#[derive(Default)]
struct Flight {
    turn: Arc<tokio::sync::Mutex<()>>,
    changed: Notify,
}

/// The turn of one who claims.
pub(super) struct Turn<'f> {
    flights: &'f Flights,
    key: &'f str,
    flight: Arc<Flight>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Flights {
    /// Waits until nobody else claims `key`.
    pub(super) async fn enter<'f>(&'f self, key: &'f str) -> Turn<'f> {
        let flight = Arc::clone(self.lock().entry(key.to_owned()).or_default());
        let mut turn = Turn {
            flights: self,
            key,
            flight,
            turn: None,
        };
        turn.turn = Some(Arc::clone(&turn.flight.turn).lock_owned().await);
        turn
    }

    /// Whether somebody claims `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.lock().contains_key(key)
    }

    /// Something changed about `key`.
    pub(super) fn wake(&self, key: &str) {
        if let Some(flight) = self.lock().get(key) {
            flight.changed.notify_one();
        }
    }

    /// Something changed about everything.
    pub(super) fn wake_all(&self) {
        for flight in self.lock().values() {
            flight.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Returns when something changed since it last returned. There may have been nothing.
    pub(super) async fn changed(&self) {
        self.flight.changed.notified().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turn = None;
        let mut flights = self.flights.lock();
        // The map's and ours: nobody else is in it, and with the map locked nobody comes.
        if Arc::strong_count(&self.flight) == 2 {
            flights.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_has_a_key() {
        let flights = Flights::default();
        let first = flights.enter("a").await;
        assert!(timeout(MOMENT, flights.enter("a")).await.is_err());
        drop(flights.enter("b").await);
        drop(first);
        let second = timeout(MOMENT, flights.enter("a")).await.unwrap();
        assert!(flights.has("a"));
        drop(second);
        assert!(flights.lock().is_empty(), "nothing is left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_came_before_is_not_missed() {
        let flights = Flights::default();
        let turn = flights.enter("a").await;
        assert!(timeout(MOMENT, turn.changed()).await.is_err());
        flights.wake("b");
        assert!(timeout(MOMENT, turn.changed()).await.is_err());
        flights.wake("a");
        timeout(MOMENT, turn.changed()).await.unwrap();
        flights.wake_all();
        timeout(MOMENT, turn.changed()).await.unwrap();
    }
}
