//! Until when GitHub wants no requests: its rate limits, primary and secondary.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};

use crate::actions::github::wire::Answer;

/// How long GitHub says to wait where it does not say how long.
const UNSAID: Duration = Duration::minutes(1);
/// Longer is a mistake of somebody's: limits are counted by the hour.
const LONGEST: Duration = Duration::hours(2);
/// Most of those who ask that are remembered.
const MAX: usize = 256;

/// Who waits for how long, by what they ask with.
#[derive(Default)]
pub(super) struct Limits {
    until: Mutex<HashMap<String, OffsetDateTime>>,
}

impl Limits {
    /// Until when nothing may be asked under the name `whose`, if anything keeps it.
    pub(super) fn held(&self, whose: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(whose).copied().filter(|until| *until > now)
    }

    /// Takes note of what `answer` says of limits; whether it is no answer for their sake.
    pub(super) fn note(&self, whose: &str, answer: &Answer, now: OffsetDateTime) -> bool {
        let limited = is_limited(answer);
        let spent = answer.header("x-ratelimit-remaining") == Some("0");
        let wait = match (limited, spent) {
            (true, _) => retry_after(answer)
                .or_else(|| reset(answer, now).filter(|_| spent))
                .unwrap_or(UNSAID),
            (false, true) => match reset(answer, now) {
                Some(wait) => wait,
                None => return false,
            },
            (false, false) => return false,
        };
        let until = now + wait.clamp(Duration::ZERO, LONGEST);
        let mut all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX {
            all.retain(|_, until| *until > now);
        }
        if all.len() < MAX || all.contains_key(whose) {
            // Answers come in any order, and of two limits the longer one holds.
            let held = all.entry(whose.to_owned()).or_insert(until);
            *held = until.max(*held);
        }
        limited
    }
}

fn is_limited(answer: &Answer) -> bool {
    let said = || {
        let words = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        words.contains("rate limit") || words.contains("abuse detection")
    };
    match answer.status {
        429 => true,
        403 => {
            answer.header("retry-after").is_some()
                || answer.header("x-ratelimit-remaining") == Some("0")
                || said()
        }
        _ => false,
    }
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds: u32 = answer.header("retry-after")?.parse().ok()?;
    Some(Duration::seconds(seconds.into()))
}

/// How long it is until the limit is as new, by GitHub's own clock.
fn reset(answer: &Answer, now: OffsetDateTime) -> Option<Duration> {
    let reset: i64 = answer.header("x-ratelimit-reset")?.parse().ok()?;
    let reset = OffsetDateTime::from_unix_timestamp(reset).ok()?;
    let date = answer.header("date");
    let date = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
    Some(reset - date.unwrap_or(now))
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let name = |name| HeaderName::from_static(name);
        let pairs = headers
            .iter()
            .map(|(key, value)| (name(key), HeaderValue::from_static(value)));
        Answer {
            status,
            headers: pairs.collect::<HeaderMap>(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    /// Whether it is limited, and for how many seconds nothing may be asked.
    fn noted(answer: &Answer) -> (bool, Option<i64>) {
        let limits = Limits::default();
        let limited = limits.note("a", answer, NOW);
        assert_eq!(limits.held("b", NOW), None, "others are not concerned");
        let held = limits.held("a", NOW);
        (limited, held.map(|until| (until - NOW).whole_seconds()))
    }

    #[test]
    fn each_kind_of_limit_is_understood() {
        let date = ("date", "Sun, 01 Mar 2026 11:00:00 GMT");
        // Twelve seconds after GitHub's date, which is an hour behind our clock.
        let reset = ("x-ratelimit-reset", "1772362812");
        let spent = ("x-ratelimit-remaining", "0");
        let left = ("x-ratelimit-remaining", "7");
        assert_eq!(noted(&answer(200, &[left, reset, date], "")), (false, None));
        assert_eq!(
            noted(&answer(200, &[spent, reset, date], "")),
            (false, Some(12))
        );
        assert_eq!(noted(&answer(200, &[spent], "")), (false, None));
        assert_eq!(
            noted(&answer(403, &[spent, reset, date], "")),
            (true, Some(12))
        );
        assert_eq!(
            noted(&answer(429, &[("retry-after", "5"), left], "")),
            (true, Some(5))
        );
        assert_eq!(noted(&answer(429, &[], "")), (true, Some(60)));
        let said = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        assert_eq!(
            noted(&answer(403, &[left, reset, date], said)),
            (true, Some(60))
        );
        assert_eq!(
            noted(&answer(403, &[left], r#"{"message":"no"}"#)),
            (false, None)
        );
        let forever = ("retry-after", "4000000000");
        assert_eq!(noted(&answer(429, &[forever], "")), (true, Some(7200)));
    }

    #[test]
    fn the_longer_of_two_limits_holds() {
        let limits = Limits::default();
        let limited = |seconds| answer(429, &[("retry-after", seconds)], "");
        let long = Some(NOW + Duration::minutes(10));
        for seconds in ["600", "60", "0"] {
            limits.note("a", &limited(seconds), NOW);
            assert_eq!(limits.held("a", NOW), long, "{seconds}");
        }
        limits.note("a", &limited("1200"), NOW);
        assert_eq!(limits.held("a", NOW), Some(NOW + Duration::minutes(20)));
        let later = NOW + Duration::hours(1);
        limits.note("a", &limited("60"), later);
        let minute = Some(later + Duration::minutes(1));
        assert_eq!(limits.held("a", later), minute, "that one is over");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let limits = Limits::default();
        let limited = answer(429, &[], "");
        for number in 0..1000 {
            limits.note(&number.to_string(), &limited, NOW);
        }
        assert_eq!(limits.until.lock().unwrap().len(), MAX);
        limits.note("late", &limited, NOW + UNSAID);
        assert_eq!(limits.until.lock().unwrap().len(), 1);
    }
}
