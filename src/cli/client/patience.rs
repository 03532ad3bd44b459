//! How long a vaultgram is waited for that is away for a moment, or has no time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::client::Answer;
use crate::cli::exit::Failure;

/// For how long it is asked again.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause before it is asked again, which doubles, and the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why an answer did not come.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    /// Whether it may be asked again, as nothing was sent.
    pub(super) again: bool,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            again: false,
        }
    }
}

/// What `ask` comes to. It is asked again, with more time between, while nothing could be sent, or the
/// answer wants that: `again` says so, and after which time at the earliest.
pub(super) async fn patiently(
    again: impl Fn(&Answer) -> Option<Duration>,
    ask: impl AsyncFn() -> Result<Answer, Unanswered>,
) -> Result<Answer, Failure> {
    let start = Instant::now();
    let mut pause = PAUSE;
    loop {
        let came = ask().await;
        let wanted = match &came {
            Ok(answer) => again(answer),
            Err(unanswered) => unanswered.again.then_some(Duration::ZERO),
        };
        let jitter = Duration::from_millis(rand::random_range(0..=250));
        let wait = wanted.map(|least| least.max(pause) + jitter);
        let wait = wait.filter(|wait| start.elapsed() + *wait <= PATIENCE);
        let Some(wait) = wait else {
            return came.map_err(|unanswered| unanswered.failure);
        };
        sleep(wait).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use hyper::StatusCode;

    use super::*;
    use crate::cli::exit::Exit;

    fn busy() -> Answer {
        Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after: Some(Duration::from_secs(5)),
            age: None,
            body: Vec::new().into(),
        }
    }

    fn away(again: bool) -> Result<Answer, Unanswered> {
        let failure = Failure::new(Exit::Unavailable, "away");
        Err(Unanswered { failure, again })
    }

    /// How often is asked, and how long that takes.
    async fn asked(ask: impl Fn() -> Result<Answer, Unanswered>) -> (u32, Duration) {
        let (start, times) = (Instant::now(), Cell::new(0));
        let asking = patiently(Answer::wants_patience, async || {
            times.set(times.get() + 1);
            ask()
        });
        drop(asking.await);
        (times.get(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_away_is_asked_again_for_a_while_with_more_time_between() {
        // After 0.5, 1, 2, 4 and 5 seconds; then there is no time for 5 more.
        let (times, took) = asked(|| away(true)).await;
        assert_eq!(times, 6);
        assert!((12..14).contains(&took.as_secs()), "{took:?}");
        let (times, took) = asked(|| Ok(busy())).await;
        assert_eq!((times, took.as_secs()), (3, 10), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn not_all_ask_again_at_the_same_moment() {
        let mut all = BTreeSet::new();
        for _ in 0..10 {
            all.insert(asked(|| away(true)).await.1);
        }
        assert!(all.len() > 1, "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_is_not_sent_again() {
        assert_eq!(asked(|| away(false)).await, (1, Duration::ZERO));
        let longer = || Answer {
            retry_after: Some(Duration::from_secs(6)),
            ..busy()
        };
        assert_eq!(asked(|| Ok(longer())).await, (1, Duration::ZERO));
    }
}
