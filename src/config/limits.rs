//! The `[limits]` section.

use std::num::NonZeroU32;

use serde::Deserialize;

/// What one user, and all together, may take of the socket; its own defaults where `None`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections of one user at once.
    pub connections_per_user: Option<NonZeroU32>,
    /// Requests of one user in progress at once.
    pub in_flight_per_user: Option<NonZeroU32>,
    /// Requests of one user a second.
    pub rate_per_user: Option<NonZeroU32>,
    /// Requests of all a second.
    pub rate: Option<NonZeroU32>,
}
