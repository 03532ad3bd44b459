//! The wire to Vault.

pub(super) mod trust;
