//! What is fetched from outside now and then: by one at a time, not too often, and what came last
//! is kept while nothing newer can be had.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// A place for one such thing.
pub(super) struct Shelf<T> {
    /// The shortest time from one fetch to the next.
    pause: Duration,
    /// How old it may become.
    keep: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    held: Option<Held<T>>,
    /// When it was last fetched, or was tried to be.
    tried: Option<Instant>,
    /// Closed when the last fetch has ended.
    fetching: Option<watch::Receiver<()>>,
}

struct Held<T> {
    value: Arc<T>,
    since: Instant,
    fresh_for: Duration,
}

/// Something that was fetched, and how long it need not be again.
pub(super) struct Fetched<T> {
    pub(super) value: T,
    pub(super) fresh_for: Duration,
}

impl<T: Send + Sync + 'static> Shelf<T> {
    pub(super) fn new(pause: Duration, keep: Duration) -> Arc<Self> {
        let state = State {
            held: None,
            tried: None,
            fetching: None,
        };
        Arc::new(Self {
            pause,
            keep,
            state: Mutex::new(state),
        })
    }

    /// What there is, if it need not be fetched again.
    pub(super) fn fresh(&self) -> Option<Arc<T>> {
        let state = self.lock();
        let held = state.held.as_ref()?;
        (held.since.elapsed() < held.fresh_for).then(|| Arc::clone(&held.value))
    }

    /// What there is, if it is not too old for anything.
    pub(super) fn held(&self) -> Option<Arc<T>> {
        let state = self.lock();
        let held = state.held.as_ref()?;
        (held.since.elapsed() < self.keep).then(|| Arc::clone(&held.value))
    }

    /// Fetches it, unless that was tried just now, or waits for who does. A fetch runs to its
    /// end by itself: whoever asks may go away at any moment, and nobody who does so again and
    /// again may keep the others from it. `fetch` must end in time.
    pub(super) async fn renew<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F)
    where
        F: Future<Output = Option<Fetched<T>>> + Send + 'static,
    {
        let mut fetching = {
            let mut state = self.lock();
            let under_way = state
                .fetching
                .as_ref()
                .filter(|it| it.has_changed().is_ok());
            match under_way {
                Some(under_way) => under_way.clone(),
                None if state
                    .tried
                    .is_some_and(|tried| tried.elapsed() < self.pause) =>
                {
                    return;
                }
                None => {
                    let (end, ended) = watch::channel(());
                    state.tried = Some(Instant::now());
                    state.fetching = Some(ended.clone());
                    let (ours, fetch) = (Arc::clone(self), fetch());
                    TaskTracker::new().spawn(async move {
                        let fetched = fetch.await;
                        ours.put(fetched);
                        drop(end);
                    });
                    ended
                }
            }
        };
        // Only its end is told.
        fetching.changed().await.ok();
    }

    fn put(&self, fetched: Option<Fetched<T>>) {
        if let Some(Fetched { value, fresh_for }) = fetched {
            self.lock().held = Some(Held {
                value: Arc::new(value),
                since: Instant::now(),
                fresh_for,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
