//! Histograms of fixed buckets: an observation is two additions, and takes no memory, however many
//! there are and whether or not anybody scrapes. (The exporter's own keep each until then.)

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets for what a request waits for, in seconds.
pub(super) const SHORT: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];
/// Those for what people wait for: from a minute to three days.
pub(super) const LONG: [f64; 9] = [
    60.0, 300.0, 900.0, 1800.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0,
];

/// Durations, counted by how long they were.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    ends: [f64; N],
    counts: [AtomicU64; N],
    longer: AtomicU64,
    nanoseconds: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    pub(super) const fn new(ends: [f64; N]) -> Self {
        Self {
            ends,
            counts: [const { AtomicU64::new(0) }; N],
            longer: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// Counts something that took so long.
    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.ends.iter().zip(&self.counts);
        let bucket = bucket.into_iter().find(|(end, _)| seconds <= **end);
        let bucket = bucket.map_or(&self.longer, |(_, count)| count);
        bucket.fetch_add(1, Ordering::Relaxed);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// Writes all its series. `label` is as it stands between braces, or empty.
    fn write(&self, name: &str, label: &str, out: &mut String) {
        let (comma, braced) = if label.is_empty() {
            ("", String::new())
        } else {
            (",", format!("{{{label}}}"))
        };
        let mut count = 0;
        for (end, found) in self.ends.iter().zip(&self.counts) {
            count += found.load(Ordering::Relaxed);
            line(
                out,
                format_args!("{name}_bucket{{{label}{comma}le=\"{end}\"}} {count}"),
            );
        }
        count += self.longer.load(Ordering::Relaxed);
        line(
            out,
            format_args!("{name}_bucket{{{label}{comma}le=\"+Inf\"}} {count}"),
        );
        let sum = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed));
        line(
            out,
            format_args!("{name}_sum{braced} {}", sum.as_secs_f64()),
        );
        line(out, format_args!("{name}_count{braced} {count}"));
    }
}

/// Writes the histograms of one name: each with its label (empty where there is but one).
pub(super) fn write<'h, const N: usize>(
    (name, help): (&str, &str),
    all: impl IntoIterator<Item = (String, &'h Histogram<N>)>,
    out: &mut String,
) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} histogram"));
    for (label, histogram) in all {
        histogram.write(name, &label, out);
    }
    out.push('\n');
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Into memory, which does not fail.
    writeln!(out, "{text}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_is_in_the_first_bucket_that_holds_it_and_in_all_after() {
        let histogram = Histogram::new([0.001, 1.0]);
        for milliseconds in [1, 2, 1000, 1500] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let mut text = String::new();
        write(
            ("x_seconds", "Why."),
            [("a=\"b\"".to_owned(), &histogram)],
            &mut text,
        );
        let expected = "# HELP x_seconds Why.\n# TYPE x_seconds histogram\n\
                        x_seconds_bucket{a=\"b\",le=\"0.001\"} 1\n\
                        x_seconds_bucket{a=\"b\",le=\"1\"} 3\n\
                        x_seconds_bucket{a=\"b\",le=\"+Inf\"} 4\n\
                        x_seconds_sum{a=\"b\"} 2.503\nx_seconds_count{a=\"b\"} 4\n\n";
        assert_eq!(text, expected);
        let mut text = String::new();
        write(
            ("x_seconds", "Why."),
            [(String::new(), &histogram)],
            &mut text,
        );
        assert!(text.contains("x_seconds_bucket{le=\"1\"} 3\n"), "{text}");
        assert!(text.contains("x_seconds_count 4\n"), "{text}");
    }

    #[test]
    fn buckets_are_in_order() {
        assert!(SHORT.is_sorted() && LONG.is_sorted());
    }
}
