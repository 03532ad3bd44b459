//! Faults that tests order, and counts of what clients asked for.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The name under which calls of methods that are not served are counted, too.
pub const UNKNOWN_METHOD: &str = "unknown";

/// What happens to a call instead of, or before, its being carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, for example with 420 `FLOOD_WAIT_5`.
    Error {
        /// The code.
        code: i32,
        /// The text.
        text: String,
    },
    /// It is acknowledged and never answered, nor carried out.
    Hang,
    /// The connection is cut; the call is not carried out.
    Drop,
    /// The call is carried out, then the connection is cut before the answer.
    LoseAnswer,
    /// It is carried out and answered later.
    Delay(Duration),
}

impl Fault {
    /// A refusal with this code and text.
    #[must_use]
    pub fn error(code: i32, text: impl Into<String>) -> Self {
        Self::Error {
            code,
            text: text.into(),
        }
    }
}

/// Faults and counts.
#[derive(Default)]
pub(crate) struct Control {
    faults: Mutex<HashMap<String, VecDeque<(Fault, usize)>>>,
    counts: Mutex<HashMap<String, u64>>,
    refuse: AtomicBool,
    black_hole: AtomicBool,
    overhears: Mutex<Option<PathBuf>>,
}

impl Control {
    /// Sets where clients' random bytes are.
    pub(crate) fn overhear(&self, file: &Path) {
        *lock(&self.overhears) = Some(file.to_owned());
    }

    /// Where clients' random bytes are, if anywhere.
    pub(crate) fn overhears(&self) -> Option<PathBuf> {
        lock(&self.overhears).clone()
    }

    /// Orders a fault for the next `times` calls of a method, after those ordered before.
    pub(crate) fn order(&self, method: &str, fault: Fault, times: usize) {
        if times > 0 {
            lock(&self.faults)
                .entry(method.to_owned())
                .or_default()
                .push_back((fault, times));
        }
    }

    pub(crate) fn clear(&self) {
        lock(&self.faults).clear();
    }

    /// Counts a call and says what is to happen to it.
    pub(crate) fn called(&self, method: &str) -> Option<Fault> {
        let mut counts = lock(&self.counts);
        match counts.get_mut(method) {
            Some(count) => *count += 1,
            None => drop(counts.insert(method.to_owned(), 1)),
        }
        drop(counts);
        let mut faults = lock(&self.faults);
        let queue = faults.get_mut(method)?;
        let (fault, left) = queue.front_mut()?;
        let fault = fault.clone();
        *left -= 1;
        if *left == 0 {
            queue.pop_front();
        }
        Some(fault)
    }

    pub(crate) fn count(&self, method: &str) -> u64 {
        lock(&self.counts).get(method).copied().unwrap_or(0)
    }

    pub(crate) fn set_refuse(&self, on: bool) {
        self.refuse.store(on, Ordering::SeqCst);
    }

    pub(crate) fn refuses(&self) -> bool {
        self.refuse.load(Ordering::SeqCst)
    }

    pub(crate) fn set_black_hole(&self, on: bool) {
        self.black_hole.store(on, Ordering::SeqCst);
    }

    pub(crate) fn is_black_hole(&self) -> bool {
        self.black_hole.load(Ordering::SeqCst)
    }
}

/// A lock that another thread's panic has not made unusable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_order_and_as_often_as_ordered() {
        let control = Control::default();
        control.order("ping", Fault::Hang, 2);
        control.order("ping", Fault::Drop, 1);
        let seen: Vec<_> = (0..4).map(|_| control.called("ping")).collect();
        assert_eq!(
            seen,
            [
                Some(Fault::Hang),
                Some(Fault::Hang),
                Some(Fault::Drop),
                None
            ]
        );
        assert_eq!(control.called("pong"), None);
        assert_eq!((control.count("ping"), control.count("never")), (4, 0));
    }
}
