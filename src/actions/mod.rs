//! What is done elsewhere because somebody here asked: pipelines of GitHub Actions.
//!
//! [`github`] starts and watches them; of [`deliveries`] one hears of them, as [`webhook`] reads them.

pub mod deliveries;
pub mod github;
pub mod webhook;
