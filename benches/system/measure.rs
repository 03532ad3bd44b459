//! Figures of one run.

use std::time::{Duration, Instant};

/// How long a run is measured.
pub(crate) const LENGTH: Duration = Duration::from_secs(3);
/// How long it runs before that.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);

/// What one run came to.
pub(crate) struct Figures {
    pub(crate) in_flight: usize,
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) resident_mb: f64,
}

/// Collects the latencies of what ends within the measured time.
pub(crate) struct Run {
    start: Instant,
    latencies: Vec<Duration>,
}

impl Run {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            latencies: vec![],
        }
    }

    /// Whether nothing new is to be asked.
    pub(crate) fn over(&self) -> bool {
        self.start.elapsed() >= WARM_UP + LENGTH
    }

    /// Counts an answer to what was asked at `asked`.
    pub(crate) fn answered(&mut self, asked: Instant) {
        let since = self.start.elapsed();
        if since >= WARM_UP && since < WARM_UP + LENGTH {
            self.latencies.push(asked.elapsed());
        }
    }

    /// Adds what another task collected over the same time.
    pub(crate) fn join(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
    }

    pub(crate) fn figures(mut self, in_flight: usize, pid: Option<u32>) -> Figures {
        self.latencies.sort();
        let at = |percent: usize| {
            let position = self.latencies.len() * percent / 100;
            self.latencies
                .get(position)
                .copied()
                .expect("nothing was answered")
        };
        Figures {
            in_flight,
            per_second: self.latencies.len() as f64 / LENGTH.as_secs_f64(),
            p50: at(50),
            p99: at(99),
            resident_mb: pid.map_or(f64::NAN, resident_mb),
        }
    }
}

/// The memory a process holds, from `VmRSS` in `/proc`.
fn resident_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}
