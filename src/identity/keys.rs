//! The keys that requests are signed with: each of an owner, who may have several while they rotate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::domain::job::is_issuer;
use crate::identity::shelf::{Fetched, Shelf};

/// What a key begins with, as people paste it.
const PREFIX: &[u8] = b"whsec_";
/// Shortest and longest key, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// Most keys.
const MAX_KEYS: usize = 1000;
/// Longest id of a key, in bytes.
const MAX_NAME: usize = 64;
/// How long reading them may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long they are taken without being read again.
const FRESH: Duration = Duration::from_mins(1);
/// The shortest time from one reading to the next, whoever asks for keys that are not known.
const PAUSE: Duration = Duration::from_secs(10);
/// How long they are taken while they cannot be read.
const KEEP: Duration = Duration::from_mins(10);

/// Some tools leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where the keys are: a secret of Vault.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// All of them: `OWNER/KEYID` and `whsec_BASE64`.
    ///
    /// # Errors
    /// Says why they cannot be had, for the log.
    async fn keys(&self) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>, String>;
}

/// The keys, read when they are needed.
pub(super) struct Keys {
    source: Arc<Source>,
    shelf: Arc<Shelf<Ring>>,
}

struct Source {
    source: Arc<dyn KeySource>,
    reserved: BTreeSet<String>,
}

/// Keys by their names.
pub(super) type Ring = BTreeMap<String, Zeroizing<Vec<u8>>>;

impl Keys {
    /// The keys that `source` has, but for those of owners that are called as one of `reserved`.
    pub(super) fn new(source: Arc<dyn KeySource>, reserved: BTreeSet<String>) -> Self {
        Self {
            source: Arc::new(Source { source, reserved }),
            shelf: Shelf::new(PAUSE, KEEP),
        }
    }

    /// The keys as they were read within a minute, or last. `None` where that is too long ago.
    pub(super) async fn current(&self) -> Option<Arc<Ring>> {
        match self.shelf.fresh() {
            Some(keys) => Some(keys),
            None => self.newest().await,
        }
    }

    /// As [`Keys::current`], read now, unless they were just now.
    pub(super) async fn newest(&self) -> Option<Arc<Ring>> {
        let source = Arc::clone(&self.source);
        self.shelf.renew(|| source.read()).await;
        self.shelf.held()
    }
}

impl Source {
    /// The keys as they are now; what went wrong is logged.
    async fn read(self: Arc<Self>) -> Option<Fetched<Ring>> {
        let late = |_| Err("they did not come in time".to_owned());
        let read = timeout(PATIENCE, self.source.keys()).await;
        let read = read.unwrap_or_else(late).and_then(|found| {
            if found.len() > MAX_KEYS {
                return Err(format!("there are more than {MAX_KEYS}"));
            }
            Ok(found)
        });
        match read {
            Ok(found) => Some(Fetched {
                value: self.ring(&found),
                fresh_for: FRESH,
            }),
            Err(error) => {
                tracing::warn!(
                    event = "identity.signing_keys_not_read",
                    error,
                    hint = "those read before are taken for ten minutes"
                );
                None
            }
        }
    }

    /// Those that can be used; of the others it is logged why not.
    fn ring(&self, found: &Ring) -> Ring {
        let mut ring = Ring::new();
        for (name, text) in found {
            match self.check(name).and_then(|()| decode(text)) {
                Ok(key) => {
                    ring.insert(name.clone(), key);
                }
                Err(why) => tracing::warn!(event = "identity.signing_key_not_taken", name, why),
            }
        }
        ring
    }

    fn check(&self, name: &str) -> Result<(), &'static str> {
        let owner =
            owner(name).ok_or("its name is not OWNER/KEYID, of letters, digits, ., _ and -")?;
        if self.reserved.contains(owner) {
            return Err("an issuer has this name, and its policies would hold for the owner");
        }
        Ok(())
    }
}

/// Whose key is called `name`, if any can be.
pub(super) fn owner(name: &str) -> Option<&str> {
    let (owner, id) = name.split_once('/')?;
    // Policies know the owner as they know an issuer.
    (is_issuer(owner) && is_name(id)).then_some(owner)
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && is_plain(text)
}

/// Whether it holds only what no format has a meaning for.
pub(super) fn is_plain(text: &str) -> bool {
    let known = |sign: u8| sign.is_ascii_alphanumeric() || b"-_.".contains(&sign);
    text.bytes().all(known)
}

/// The key that `text` stands for. What is wrong never repeats any of it.
fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let text = text.trim_ascii().strip_prefix(PREFIX);
    let text = text.ok_or("it does not begin with whsec_")?;
    let mut key = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = BASE64.decode_slice(text, &mut key);
    key.truncate(length.map_err(|_| "what follows whsec_ is not base64")?);
    if !LENGTHS.contains(&key.len()) {
        return Err("it is not 24 to 64 bytes long");
    }
    Ok(key)
}
