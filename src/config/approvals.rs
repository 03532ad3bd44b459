//! The `[approvals]` section.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::raw;

/// How many requests for approval there may be, and how long they are kept; the broker's own
/// defaults where `None`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsConfig {
    /// How many of one person may wait at once.
    pub per_person: Option<NonZeroU32>,
    /// How many are opened in a day.
    pub per_day: Option<NonZeroU32>,
    /// How long those that are over are kept.
    #[serde(deserialize_with = "raw::some_duration")]
    pub keep: Option<Duration>,
}
