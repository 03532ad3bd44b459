//! `[telegram.jobs.OWNER]`: the accounts that send what an owner of signing keys signed, and the keys
//! that the answers are sealed to.

use std::collections::{BTreeMap, BTreeSet};

use crate::age::seal::is_public_key;
use crate::config::{Problems, raw};
use crate::domain::job::is_issuer;

/// Most keys that an answer is sealed to.
const MAX_KEYS: usize = 5;

/// An owner of signing keys whose commands count in chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerConfig {
    /// The accounts that send them.
    pub accounts: BTreeSet<i64>,
    /// The public keys that sealed answers are for.
    pub age_keys: Vec<String>,
}

pub(super) fn typed(
    raw: BTreeMap<String, raw::ChatJob>,
    problems: &mut Problems,
) -> BTreeMap<String, SignerConfig> {
    let mut signers = BTreeMap::new();
    for (owner, job) in raw {
        if !is_issuer(&owner) {
            problems.push(format!(
                "[telegram.jobs] {owner:?}: not what the owner of a signing key can be called; it is the \
                 part before the / of the key's name"
            ));
        }
        if job.accounts.is_empty() || job.accounts.iter().any(|id| *id <= 0) {
            problems.push(format!(
                "[telegram.jobs.{owner}] accounts: name the accounts that send its commands; a bot's \
                 number is the part before the : of its token"
            ));
        }
        if job.age_keys.len() > MAX_KEYS || !job.age_keys.iter().all(|key| is_public_key(key)) {
            problems.push(format!(
                "[telegram.jobs.{owner}] age_keys: up to {MAX_KEYS} public keys, which begin with age1; \
                 `vaultgram keygen` makes one"
            ));
        }
        let signer = SignerConfig {
            accounts: job.accounts.into_iter().collect(),
            age_keys: job.age_keys,
        };
        signers.insert(owner, signer);
    }
    signers
}
