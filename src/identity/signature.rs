//! Requests that are signed with a shared key, as Standard Webhooks has it (version 1): HMAC-SHA256
//! of `id.timestamp.content`.
//!
//! The crate `standardwebhooks` is not used: it goes by the system's clock and by its own copy of the
//! key, wants all of the content as text in one piece, and brings another HMAC.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use time::{Duration, OffsetDateTime};

use crate::broker::ports::{Clock, Coordination};
use crate::domain::job::Job;
use crate::identity::keys::{KeySource, Keys, Ring, is_plain, owner};
use crate::identity::once::once;
use crate::identity::{IdentityError, count, result};

/// How far the signer's clock may be from ours.
const LEEWAY: Duration = Duration::minutes(5);
/// How long an id counts as used: longer than what it signed can be taken.
const REMEMBERED: Duration = Duration::minutes(15);
/// Longest id, in bytes.
const MAX_ID: usize = 64;
/// Longest list of signatures, in bytes: several, while keys rotate.
const MAX_SIGNATURES: usize = 1024;
/// A key for the names that have none, so that they take as long. What it signs is not taken.
const NOBODY: [u8; 32] = [0; 32];

/// A request as it came.
#[derive(Clone, Copy)]
pub struct Signed<'r> {
    /// Which key: `OWNER/KEYID` (`vaultgram-key`).
    pub key: &'r str,
    /// The request's id (`webhook-id`), which counts once.
    pub id: &'r str,
    /// When it was signed, in unix seconds (`webhook-timestamp`).
    pub timestamp: &'r str,
    /// `v1,BASE64`, and perhaps others beside it (`webhook-signature`).
    pub signatures: &'r str,
    /// What is signed, in as many pieces as it lies in.
    pub content: &'r [&'r [u8]],
}

/// Everything that is needed to check signatures.
pub struct Signatures {
    keys: Keys,
    clock: Arc<dyn Clock>,
    coordination: Arc<dyn Coordination>,
}

impl Signatures {
    /// Takes what is signed with the keys that `source` has. Whoever policies know as an issuer,
    /// one of `issuers`, cannot own a key.
    #[must_use]
    pub fn new(
        source: Arc<dyn KeySource>,
        issuers: BTreeSet<String>,
        clock: Arc<dyn Clock>,
        coordination: Arc<dyn Coordination>,
    ) -> Self {
        Self {
            keys: Keys::new(source, issuers),
            clock,
            coordination,
        }
    }

    /// Checks who signed `request`, and uses its id up.
    ///
    /// # Errors
    /// When it proves nothing, or that cannot be found out.
    pub async fn verify(&self, request: Signed<'_>) -> Result<Job, IdentityError> {
        let job = self.check(request).await;
        count("signature", result(&job));
        job
    }

    async fn check(&self, request: Signed<'_>) -> Result<Job, IdentityError> {
        let owner = request.well_formed()?;
        let now = self.clock.now();
        request.timely(now)?;
        self.prove(&request).await?;
        // Last, so that nobody but the owner can use up one of its ids.
        let name = format!("identity/signed/{owner}/{}", request.id);
        once(&*self.coordination, &name, now + REMEMBERED).await?;
        Ok(Job {
            issuer: owner.to_owned(),
            subject: owner.to_owned(),
            claims: [].into(),
        })
    }

    /// Whether it is signed with the key that it names.
    async fn prove(&self, request: &Signed<'_>) -> Result<(), IdentityError> {
        let keys = self.keys.current().await.ok_or(IdentityError::KeysDown)?;
        let Err(failed) = request.is_by(&keys) else {
            return Ok(());
        };
        // The key may be newer than what was read. This is done whatever is wrong: the time it
        // takes must not tell which keys there are.
        let newest = self.keys.newest().await.ok_or(IdentityError::KeysDown)?;
        if Arc::ptr_eq(&keys, &newest) {
            return Err(failed);
        }
        request.is_by(&newest)
    }
}

impl<'r> Signed<'r> {
    /// The owner it names, if it is of the right form.
    fn well_formed(&self) -> Result<&'r str, IdentityError> {
        let refuse = |why| Err(IdentityError::Malformed(why));
        if !(1..=MAX_ID).contains(&self.id.len()) || !is_plain(self.id) {
            return refuse("its id must be 1 to 64 letters, digits, ., _ and -");
        }
        // What is signed has no other separator: `a.1` at time 2 is also `a` at time 1.
        let mut rest = self.id.split('.').skip(1);
        if rest.any(|part| part.bytes().all(|sign| sign.is_ascii_digit())) {
            return refuse("its id must have no number after a dot");
        }
        let digits = self.timestamp.bytes().all(|sign| sign.is_ascii_digit());
        if !(1..=12).contains(&self.timestamp.len()) || !digits {
            return refuse("its timestamp must be the time in unix seconds");
        }
        if self.signatures.len() > MAX_SIGNATURES {
            return refuse("it has too many signatures");
        }
        let why = "its key must be OWNER/KEYID";
        owner(self.key).ok_or(IdentityError::Malformed(why))
    }

    fn timely(&self, now: OffsetDateTime) -> Result<(), IdentityError> {
        let seconds = self.timestamp.parse().ok();
        let signed = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        // Later than can be told is later than now.
        let signed = signed.ok_or(IdentityError::NotYet)?;
        if now - signed > LEEWAY {
            return Err(IdentityError::Expired);
        }
        if signed - now > LEEWAY {
            return Err(IdentityError::NotYet);
        }
        Ok(())
    }

    /// Whether one of its signatures is by the key that it names.
    fn is_by(&self, keys: &Ring) -> Result<(), IdentityError> {
        let known = keys.get(self.key);
        let key = known.map_or(&NOBODY[..], |key| key);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let mut signing = hmac::Context::with_key(&key);
        for piece in [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b"."] {
            signing.update(piece);
        }
        self.content.iter().for_each(|piece| signing.update(piece));
        let right = signing.sign();
        let mut found = false;
        for given in self.signatures.split(' ') {
            let given = given.strip_prefix("v1,").unwrap_or_default();
            let given = STANDARD.decode(given).unwrap_or_default();
            // Both are signed once more and those are compared, in constant time, so that the
            // content needs to be gone through once only.
            let again = hmac::sign(&key, &given);
            found |= hmac::verify(&key, right.as_ref(), again.as_ref()).is_ok();
        }
        match known {
            Some(_) if found => Ok(()),
            Some(_) => Err(IdentityError::Signature),
            None => Err(IdentityError::KeyUnknown),
        }
    }
}
