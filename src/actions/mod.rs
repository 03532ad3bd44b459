//! What is done elsewhere because somebody here asked: pipelines of GitHub Actions.
//!
//! [`github`] starts and watches them, [`webhook`] hears of them.

pub mod github;
pub mod webhook;
