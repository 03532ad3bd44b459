//! A line for a person who waits, on standard error, gone before anything else is printed.

use std::io::Write;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// What takes no longer than this is not worth a word.
const SOON: Duration = Duration::from_secs(1);
/// How often the line changes.
const STEP: Duration = Duration::from_secs(1);
/// Back to the line's beginning, and away with what stands there.
const AWAY: &str = "\r\u{1b}[K";

/// Waits for `work`; `watched`: and says so on standard error, which is a terminal.
pub(super) async fn shown<T>(watched: bool, work: impl Future<Output = T>) -> T {
    if !watched {
        return work.await;
    }
    let start = Instant::now();
    let mut steps = interval_at(start + SOON, STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut line = Line::new();
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = steps.tick() => {
                line.draw(&format!("waiting for vaultgram: {} s", start.elapsed().as_secs()));
            }
        }
    }
}

/// A line that changes. It goes away when it is dropped, also where the work was given up.
pub(super) struct Line {
    drawn: bool,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { drawn: false }
    }

    /// Has it say `text`, of which nothing moves a terminal.
    pub(super) fn draw(&mut self, text: &str) {
        self.drawn = true;
        print(&format!("{AWAY}{text}"));
    }

    pub(super) fn clear(&mut self) {
        if self.drawn {
            print(AWAY);
        }
        self.drawn = false;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.clear();
    }
}

fn print(text: &str) {
    let mut stderr = std::io::stderr();
    // It is a courtesy: without it, the work goes on.
    drop(
        stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush()),
    );
}
