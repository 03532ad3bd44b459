//! The audit: JSON Lines in a hash chain.
