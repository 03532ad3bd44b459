//! Spans of time as people write and read them: `90s`, `30m`, `8h`, `2d`.

use std::time::Duration;

/// A whole number and one of these units, with its length in seconds.
type Units = [(&'static str, u64)];

const UNITS: &Units = &[("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

/// Reads a span; `None` for anything else, and for none at all.
#[must_use]
pub fn read(text: &str) -> Option<Duration> {
    counted(text, UNITS)
}

/// As [`read`], in these units only.
pub(in crate::domain) fn counted(text: &str, units: &Units) -> Option<Duration> {
    let (digits, seconds) = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)))?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let span = Duration::from_secs(count.checked_mul(seconds)?);
    (!span.is_zero()).then_some(span)
}

/// A span as people say it, in the unit that tells enough.
#[must_use]
pub fn spoken(span: Duration) -> String {
    let (seconds, minutes) = (span.as_secs(), span.as_secs() / 60);
    match (seconds, minutes) {
        (..120, _) => format!("{seconds} s"),
        (_, ..120) => format!("{minutes} min"),
        (_, ..2880) if minutes.is_multiple_of(60) => format!("{} h", minutes / 60),
        (_, ..2880) => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_said() {
        for (text, seconds, said) in [
            ("1s", 1, "1 s"),
            ("119s", 119, "119 s"),
            ("2m", 120, "2 min"),
            ("119m", 7140, "119 min"),
            ("8h", 28800, "8 h"),
            ("125m", 7500, "2 h 5 min"),
            ("30d", 2_592_000, "30 days"),
        ] {
            assert_eq!(read(text), Some(Duration::from_secs(seconds)), "{text}");
            assert_eq!(spoken(Duration::from_secs(seconds)), said);
        }
        for text in [
            "", "h", "0h", "8", "-1h", "+1h", "1.5h", "8H", "1h30m", "8 h",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("99999999999999999999h"), None);
        assert_eq!(read("9999999999999999999d"), None);
    }
}
