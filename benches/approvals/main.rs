//! Requests for approval: what is done about one of them, alone and among a thousand that wait. The
//! state is a real file; the store, the audit and the clock are those of the broker's tests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, takes the time, and ends by panicking where it cannot go on"
)]

#[path = "../../tests/broker/crowd.rs"]
mod crowd;
#[path = "../../tests/broker/world.rs"]
#[allow(dead_code, reason = "the tests of the broker use all of it")]
mod world;

use std::time::Duration;

use crowd::among;

/// How often each is done.
const RUNS: usize = 7;
const MANY: usize = 1000;

#[tokio::main]
async fn main() {
    println!("requests for approval; each figure: the median of {RUNS} runs\n");
    let (alone, many) = (medians(1).await, medians(MANY).await);
    println!(
        "{:<30} {:>12} {:>14} {:>6}",
        "", "1 waits, ms", "1000 wait, ms", "times"
    );
    for ((what, alone), (_, many)) in alone.iter().zip(&many) {
        println!(
            "{what:<30} {:>12.2} {:>14.2} {:>6.1}",
            alone.as_secs_f64() * 1e3,
            many.as_secs_f64() * 1e3,
            many.as_secs_f64() / alone.as_secs_f64(),
        );
    }
    println!();
}

/// How long what is done among `count` requests takes, by and large.
async fn medians(count: usize) -> Vec<(&'static str, Duration)> {
    let mut runs = vec![];
    for _ in 0..RUNS {
        runs.push(among(count).await);
    }
    let steps = 0..runs[0].len();
    let median = |step: usize| {
        let mut took: Vec<_> = runs.iter().map(|run| run[step].1).collect();
        took.sort();
        (runs[0][step].0, took[RUNS / 2])
    };
    steps.map(median).collect()
}
