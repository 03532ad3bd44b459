//! The `[approvals]` section.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::raw;

/// How many are asked for in a day where nothing else is said, as the broker has it.
pub const PER_DAY: u32 = 200;

/// How many requests for approval there may be, and how long they are kept; the broker's own
/// defaults where `None`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsConfig {
    /// How many of one person may wait at once.
    pub per_person: Option<NonZeroU32>,
    /// How many are asked for in a day, by all together.
    pub per_day: Option<NonZeroU32>,
    /// How many of these by one person; a quarter of them where `None`.
    pub per_person_per_day: Option<NonZeroU32>,
    /// How long those that are over are kept.
    #[serde(deserialize_with = "raw::some_duration")]
    pub keep: Option<Duration>,
}

impl ApprovalsConfig {
    /// Refuses where one person could use up what is everybody's.
    pub(super) fn check(&self) -> Result<(), String> {
        let all = self.per_day.map_or(PER_DAY, NonZeroU32::get);
        match self.per_person_per_day.map(NonZeroU32::get) {
            Some(one) if one >= all => Err(format!(
                "[approvals] per_person_per_day is {one}, and must be less than per_day, which is \
                 {all}: else one person uses up what is everybody's"
            )),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_is_left_less_than_all() {
        let check = |text: &str| toml::from_str::<ApprovalsConfig>(text).unwrap().check();
        for fine in [
            "",
            "per_day = 1",
            "per_person_per_day = 199",
            "per_person_per_day = 300\nper_day = 301",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for (wrong, all) in [
            ("per_person_per_day = 200", "200"),
            ("per_person_per_day = 20\nper_day = 20", "20"),
        ] {
            let problem = check(wrong).unwrap_err();
            assert!(
                problem.contains("less than per_day") && problem.contains(all),
                "{problem}"
            );
        }
    }
}
