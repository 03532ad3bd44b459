//! Hours of the day at which nobody wants to be woken.

use std::fmt;
use std::str::FromStr;

use time::Time;

/// From one time of the day to another, which may be on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: Time,
    to: Time,
}

impl QuietHours {
    /// Whether `now` is one of them.
    #[must_use]
    pub fn cover(self, now: Time) -> bool {
        if self.from < self.to {
            return self.from <= now && now < self.to;
        }
        self.from <= now || now < self.to
    }
}

/// Not such hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoHours;

impl fmt::Display for NoHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be like \"22:00-07:00\"")
    }
}

impl FromStr for QuietHours {
    type Err = NoHours;

    fn from_str(text: &str) -> Result<Self, NoHours> {
        let (from, to) = text.split_once('-').ok_or(NoHours)?;
        let time = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let number = |text: &str| {
                let digits = text.len() == 2 && text.bytes().all(|it| it.is_ascii_digit());
                digits.then(|| text.parse().ok()).flatten()
            };
            Time::from_hms(number(hour)?, number(minute)?, 0).ok()
        };
        let (from, to) = time(from).zip(time(to)).ok_or(NoHours)?;
        (from != to).then_some(Self { from, to }).ok_or(NoHours)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::time;

    use super::*;

    #[test]
    fn a_night_goes_on_past_midnight() {
        let night: QuietHours = "22:00-07:00".parse().unwrap();
        let noon: QuietHours = "12:00-13:30".parse().unwrap();
        for (at, is_night, is_noon) in [
            (time!(21:59:59), false, false),
            (time!(22:00), true, false),
            (time!(0:00), true, false),
            (time!(6:59), true, false),
            (time!(7:00), false, false),
            (time!(12:00), false, true),
            (time!(13:30), false, false),
        ] {
            assert_eq!(
                (night.cover(at), noon.cover(at)),
                (is_night, is_noon),
                "{at}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "22:00",
            "22-7",
            "22:00-22:00",
            "24:00-07:00",
            "2:00-07:00",
            "22:60-07:00",
            "22:00–07:00",
            "22:00-07:00-08:00",
            "+2:00-07:00",
        ] {
            assert_eq!(text.parse::<QuietHours>(), Err(NoHours), "{text}");
        }
    }
}
