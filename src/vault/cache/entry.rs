//! One secret that is kept: its values sealed, its times beside them.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::domain::terms::CacheTerms;
use crate::domain::{Age, Field, Origin, Secret, SecretValue, VersionFacts};
use crate::memory::Sealed;
use crate::vault::kv_write::exposed;

/// Largest secret that is kept, in bytes.
const MAX_SIZE: usize = 256 * 1024;

/// A secret that was read.
pub(super) struct Entry {
    /// Names and values, see [`pack`].
    fields: Sealed,
    size: usize,
    origin: Origin,
    /// When Vault was asked for the values.
    read: Instant,
    /// When Vault was last asked whether this is what it would answer.
    confirmed: Mutex<Instant>,
    /// When nobody may have it any more.
    ends: Instant,
}

impl Entry {
    /// Keeps `secret`, read at `read`. `None` where it is not to be kept: an engine's, too large,
    /// or the kernel gives no room.
    pub(super) fn new(secret: &Secret, read: Instant, terms: CacheTerms) -> Option<Self> {
        if let Origin::Leased(_) = secret.origin {
            return None;
        }
        let packed = pack(&secret.fields)?;
        let fields = match Sealed::new(&packed) {
            Ok(fields) => fields,
            Err(error) => {
                tracing::warn!(event = "cache.no_room", %error);
                return None;
            }
        };
        Some(Self {
            fields,
            size: packed.len(),
            origin: secret.origin.clone(),
            read,
            confirmed: Mutex::new(read),
            ends: read + terms.ttl.max(terms.stale + terms.ttl),
        })
    }

    /// The secret, of which this is the age. `None` where it cannot be opened, which is logged.
    pub(super) fn secret(&self, age: Age) -> Option<Secret> {
        let fields = match self.fields.open(unpack) {
            Ok(fields) => fields?,
            Err(error) => {
                tracing::error!(event = "cache.unreadable", %error);
                return None;
            }
        };
        Some(Secret {
            fields,
            origin: self.origin.clone(),
            age: Some(age),
        })
    }

    /// How large it is, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Its version, where there are versions.
    pub(super) fn version(&self) -> Option<&VersionFacts> {
        match &self.origin {
            Origin::Version(facts) => Some(facts),
            Origin::Plain | Origin::Leased(_) => None,
        }
    }

    /// When Vault was asked for the values.
    pub(super) fn read(&self) -> Instant {
        self.read
    }

    /// Within its time to live.
    pub(super) fn is_live(&self, now: Instant, terms: CacheTerms) -> bool {
        now.saturating_duration_since(self.read) < terms.ttl
    }

    /// Confirmed lately enough to be handed out as it is. A secret without versions cannot be
    /// confirmed, so it is certain as long as it is live.
    pub(super) fn is_certain(&self, now: Instant, terms: CacheTerms) -> bool {
        self.version().is_none() || self.unconfirmed(now) < terms.ttl / 2
    }

    /// How long ago Vault was last asked whether this is what it would answer.
    pub(super) fn unconfirmed(&self, now: Instant) -> Duration {
        let confirmed = self.confirmed.lock();
        let confirmed = confirmed.map_or(self.read, |confirmed| *confirmed);
        now.saturating_duration_since(confirmed)
    }

    /// Vault says at `at` that this is what it would answer.
    pub(super) fn confirmed(&self, at: Instant) {
        if let Ok(mut confirmed) = self.confirmed.lock() {
            *confirmed = at.max(*confirmed);
        }
    }

    /// Nobody may have it any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends <= now
    }
}

/// Names and values in one buffer, each after its length.
fn pack(fields: &[Field]) -> Option<Zeroizing<Vec<u8>>> {
    let size: usize = fields
        .iter()
        .map(|field| 8 + field.name.len() + exposed(field).len())
        .sum();
    if size > MAX_SIZE {
        return None;
    }
    // In full from the beginning: a buffer that grows leaves copies behind.
    let mut packed = Zeroizing::new(Vec::with_capacity(size));
    for field in fields {
        for part in [field.name.as_bytes(), exposed(field)] {
            packed.extend_from_slice(&u32::try_from(part.len()).ok()?.to_le_bytes());
            packed.extend_from_slice(part);
        }
    }
    Some(packed)
}

/// Undoes [`pack`].
fn unpack(mut packed: &[u8]) -> Option<Vec<Field>> {
    let mut fields = vec![];
    while !packed.is_empty() {
        let name = take(&mut packed)?;
        let json = take(&mut packed)?;
        fields.push(Field {
            name: String::from_utf8(name.to_vec()).ok()?,
            json: SecretValue::new(json.to_vec()),
        });
    }
    Some(fields)
}

fn take<'p>(packed: &mut &'p [u8]) -> Option<&'p [u8]> {
    let (length, rest) = packed.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (part, rest) = rest.split_at_checked(length)?;
    *packed = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_the_same() {
        let field = |name: &str, json: &str| Field {
            name: name.to_owned(),
            json: SecretValue::new(json.as_bytes().to_vec()),
        };
        let fields = [field("a", r#""x""#), field("", ""), field("\u{e9}", "[1]")];
        let packed = pack(&fields).unwrap();
        let found = unpack(&packed).unwrap();
        assert_eq!(found.len(), 3);
        for (found, wanted) in found.iter().zip(&fields) {
            assert_eq!(
                (&found.name, exposed(found)),
                (&wanted.name, exposed(wanted))
            );
        }
        assert!(unpack(&packed[..packed.len() - 1]).is_none());
        let large = field("large", &"x".repeat(MAX_SIZE));
        assert!(pack(&[large]).is_none());
    }
}
