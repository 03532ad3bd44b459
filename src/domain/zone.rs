//! Where policies read the clock: a time zone, its summer time included.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use time::{OffsetDateTime, UtcOffset, Weekday};

/// A time zone. Who looks its rules up is elsewhere; here they are only applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl From<TimeZone> for Zone {
    fn from(zone: TimeZone) -> Self {
        Self(zone)
    }
}

impl Zone {
    /// What clocks there show at `at`.
    #[must_use]
    pub fn local(&self, at: OffsetDateTime) -> OffsetDateTime {
        let timestamp = Timestamp::from_second(at.unix_timestamp()).unwrap_or_default();
        let seconds = self.0.to_offset(timestamp).seconds();
        let offset = UtcOffset::from_whole_seconds(seconds).unwrap_or(UtcOffset::UTC);
        at.to_offset(offset)
    }

    /// When clocks there show `text`, such as `2026-11-30T09:00`; or, where it says so itself, as
    /// in `2026-11-30T09:00:00Z`, in another zone.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<OffsetDateTime> {
        let timestamp = text.parse::<Timestamp>().ok().or_else(|| {
            let shown: DateTime = text.parse().ok()?;
            self.0.to_timestamp(shown).ok()
        })?;
        OffsetDateTime::from_unix_timestamp(timestamp.as_second()).ok()
    }

    /// Its name, where it has one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

/// The name of a day in policies.
pub(in crate::domain) fn day(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "monday",
        Weekday::Tuesday => "tuesday",
        Weekday::Wednesday => "wednesday",
        Weekday::Thursday => "thursday",
        Weekday::Friday => "friday",
        Weekday::Saturday => "saturday",
        Weekday::Sunday => "sunday",
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn clocks_go_by_the_zone_and_its_summer_time() {
        // Central European time, by its rule.
        let rule = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let berlin = Zone::from(rule);
        for (at, hour) in [
            (datetime!(2026-01-15 12:00 UTC), 13),
            (datetime!(2026-07-15 12:00 UTC), 14),
            (datetime!(2026-12-31 23:30 UTC), 0),
        ] {
            assert_eq!(berlin.local(at).hour(), hour, "{at}");
            assert_eq!(Zone::default().local(at), at);
        }
        let nine = datetime!(2026-11-30 8:00 UTC);
        assert_eq!(berlin.read("2026-11-30T09:00"), Some(nine));
        assert_eq!(berlin.read("2026-11-30 09:00"), Some(nine));
        assert_eq!(berlin.read("2026-11-30T08:00:00Z"), Some(nine));
        assert_eq!(berlin.read("2026-11-30T03:00:00-05:00"), Some(nine));
        for text in ["", "9:00", "tomorrow", "2026-13-01T00:00"] {
            assert_eq!(berlin.read(text), None, "{text}");
        }
    }
}
