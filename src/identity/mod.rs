//! Who asks over the network: evidence in, a verified [`Job`](crate::domain::job::Job) out.
//!
//! Nothing here serves, and nothing decides what a job may do: fronts bring what came, policy says
//! what follows.
//!
//! | file | holds |
//! |---|---|
//! | [`oidc`] | tokens of trusted issuers: GitHub Actions, GitLab, Kubernetes |
//! | [`sessions`] | what a token is exchanged for, as it counts once |
//! | [`signature`] | requests signed with a shared key (Standard Webhooks) |
//! | `token`, `claims` | what a token says: before its signature is checked, and after |
//! | `jwks`, `fetch` | the keys of an issuer, and the way to them |
//! | `keys` | the keys of those who sign |
//! | `shelf` | what is fetched now and then, and kept meanwhile |

mod claims;
mod error;
mod fetch;
mod jwks;
mod keys;
pub mod oidc;
mod once;
pub mod sessions;
mod settings;
mod shelf;
pub mod signature;
mod token;

#[cfg(test)]
mod tests;

pub use error::IdentityError;
pub use jwks::examine;
pub use keys::KeySource;
pub use oidc::{Oidc, Proven};
pub use sessions::{Session, Sessions};
pub use settings::{Issuer, SettingsError};
pub use signature::{Signatures, Signed};

use crate::telemetry::metrics::IDENTITY_CHECKS;

/// Counts that a check of `evidence` came to `result`.
fn count(evidence: &'static str, result: &'static str) {
    metrics::counter!(IDENTITY_CHECKS, "evidence" => evidence, "result" => result).increment(1);
}

/// What a check came to, in one word.
fn result<T>(came: &Result<T, IdentityError>) -> &'static str {
    came.as_ref().map_or_else(IdentityError::name, |_| "ok")
}
