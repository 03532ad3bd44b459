//! What stands in etcd is sealed: who can read etcd, or write it, learns and forges nothing.
//!
//! `version, nonce, ciphertext`, the key of the entry authenticated with it, so that nobody can
//! move a value from one key to another. The plaintext begins with a [`Head`].

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use tokio::task::yield_now;

use super::layout::MemberId;
use crate::broker::ports::{CoordinationError, Random};
use crate::coordination::etcd::kv::Entry;
use crate::coordination::key::StateKey;

/// `XChaCha20Poly1305`, a random nonce, the entry's key as associated data.
const VERSION: u8 = 1;
const NONCE: usize = 24;
const HEAD: usize = 1 + 16 + 8 + 8;
/// The keys that state is sealed with: the first seals, any opens.
pub struct Keys(Vec<XChaCha20Poly1305>);

impl Keys {
    /// `keys`, in their order.
    #[must_use]
    pub fn new(keys: &[StateKey]) -> Self {
        let ciphers = keys
            .iter()
            .map(|key| XChaCha20Poly1305::new(key.bytes().into()));
        Self(ciphers.collect())
    }
}

/// Whose an entry is, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Who wrote it.
    pub(super) owner: MemberId,
    pub(super) kind: Kind,
}

/// What an entry is. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It was set.
    Set,
    /// It is claimed; `again`: by somebody else before, who ended before it was done.
    Claimed { until: i64, again: bool },
    /// It was claimed, and is done.
    Done { until: i64 },
    /// It says something about a member.
    Member,
}

impl Kind {
    fn code(self) -> (u8, i64) {
        match self {
            Self::Set => (1, 0),
            Self::Claimed {
                until,
                again: false,
            } => (2, until),
            Self::Claimed { until, again: true } => (3, until),
            Self::Done { until } => (4, until),
            Self::Member => (5, 0),
        }
    }

    fn of(code: u8, until: i64) -> Option<Self> {
        Some(match code {
            1 => Self::Set,
            2 | 3 => Self::Claimed {
                until,
                again: code == 3,
            },
            4 => Self::Done { until },
            5 => Self::Member,
            _ => return None,
        })
    }
}

impl Head {
    fn bytes(self) -> [u8; HEAD] {
        let (code, until) = self.kind.code();
        let mut bytes = [code; HEAD];
        let rest = [
            &self.owner.process[..],
            &self.owner.term.to_be_bytes(),
            &until.to_be_bytes(),
        ]
        .concat();
        bytes
            .iter_mut()
            .skip(1)
            .zip(rest)
            .for_each(|(to, from)| *to = from);
        bytes
    }

    fn read(plain: &[u8]) -> Option<(Self, &[u8])> {
        let (code, rest) = plain.split_first()?;
        let (process, rest) = rest.split_first_chunk()?;
        let (term, rest) = rest.split_first_chunk()?;
        let (until, value) = rest.split_first_chunk()?;
        let owner = MemberId {
            process: *process,
            term: u64::from_be_bytes(*term),
        };
        let kind = Kind::of(*code, i64::from_be_bytes(*until))?;
        Some((Self { owner, kind }, value))
    }
}

/// Seals and opens.
pub(super) struct Envelopes {
    keys: Keys,
}

impl Envelopes {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// No two seals of the same are the same, so that a writer knows its own again.
    pub(super) fn seal(
        &self,
        key: &str,
        head: Head,
        value: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, CoordinationError> {
        let mut nonce = [0; NONCE];
        random.fill(&mut nonce);
        let plain = [&head.bytes(), value].concat();
        let payload = Payload {
            msg: &plain,
            aad: key.as_bytes(),
        };
        let cipher = self.keys.0.first();
        let sealed =
            cipher.and_then(|cipher| cipher.encrypt(XNonce::from_slice(&nonce), payload).ok());
        let sealed = sealed.ok_or_else(|| CoordinationError(format!("{key} cannot be sealed")))?;
        Ok([&[VERSION], &nonce[..], &sealed].concat())
    }

    /// Opens what stands at `key`.
    pub(super) fn open(
        &self,
        key: &str,
        sealed: &[u8],
    ) -> Result<(Head, Vec<u8>), CoordinationError> {
        match sealed.split_first() {
            Some((&VERSION, rest)) => self.open_first(key, rest).ok_or_else(|| {
                CoordinationError(format!(
                    "{key} in etcd was sealed with another key, or changed by somebody; give every \
                     replica the same key of the state, and while it is changed the other one after it; \
                     what no replica can open is removed with: etcdctl del {key}"
                ))
            }),
            _ => Err(CoordinationError(format!(
                "{key} in etcd was written by a newer vaultgram, or by another program; update this \
                 one, or give it a prefix of its own"
            ))),
        }
    }

    /// Opens all of `entries`, and lets others have their turn after each: signs of life must not wait
    /// until megabytes are opened.
    pub(super) async fn open_all(
        &self,
        entries: Vec<Entry>,
    ) -> Result<Vec<(Entry, Head, Vec<u8>)>, CoordinationError> {
        let mut opened = vec![];
        for entry in entries {
            let (head, value) = self.open(&entry.key, &entry.value)?;
            opened.push((entry, head, value));
            yield_now().await;
        }
        Ok(opened)
    }

    fn open_first(&self, key: &str, sealed: &[u8]) -> Option<(Head, Vec<u8>)> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>()?;
        let plain = self.keys.0.iter().find_map(|cipher| {
            let payload = Payload {
                msg: ciphertext,
                aad: key.as_bytes(),
            };
            cipher.decrypt(XNonce::from_slice(nonce), payload).ok()
        })?;
        let (head, value) = Head::read(&plain)?;
        Some((head, value.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use futures_util::poll;
    use proptest::prelude::*;

    use super::*;
    use crate::broker::ports::SystemRandom;

    fn envelopes(keys: &[u8]) -> Envelopes {
        let keys: Vec<_> = keys.iter().map(|key| StateKey::of([*key; 32])).collect();
        Envelopes::new(Keys::new(&keys))
    }

    fn head(kind: Kind) -> Head {
        let owner = MemberId {
            process: [3; 16],
            term: u64::MAX - 1,
        };
        Head { owner, kind }
    }

    const KINDS: [Kind; 5] = [
        Kind::Set,
        Kind::Claimed {
            until: -1,
            again: false,
        },
        Kind::Claimed {
            until: i64::MAX,
            again: true,
        },
        Kind::Done { until: 1 },
        Kind::Member,
    ];

    #[test]
    fn opens_what_it_sealed() {
        let envelopes = envelopes(&[1]);
        for kind in KINDS {
            let large = vec![0xFF; 65536];
            for value in [&b""[..], b"value", &large] {
                let sealed = envelopes
                    .seal("k", head(kind), value, &SystemRandom)
                    .unwrap();
                assert_eq!(
                    envelopes.open("k", &sealed),
                    Ok((head(kind), value.to_vec()))
                );
                let again = envelopes
                    .seal("k", head(kind), value, &SystemRandom)
                    .unwrap();
                assert_ne!(sealed, again);
                let shows = value.len() > 1 && sealed.windows(value.len()).any(|w| w == value);
                assert!(!shows, "the value is not to be read");
            }
        }
    }

    #[test]
    fn keys_are_changed_one_after_the_other() {
        let sealed = |keys: &[u8]| {
            let head = head(Kind::Set);
            envelopes(keys)
                .seal("k", head, b"v", &SystemRandom)
                .unwrap()
        };
        assert!(envelopes(&[1, 2]).open("k", &sealed(&[2])).is_ok());
        assert!(
            envelopes(&[1]).open("k", &sealed(&[1, 2])).is_ok(),
            "the first seals"
        );
        let error = envelopes(&[2]).open("k", &sealed(&[1, 2])).unwrap_err();
        assert!(
            error.0.starts_with("k in etcd was sealed with another key"),
            "{error}"
        );
    }

    #[test]
    fn a_value_belongs_to_its_key() {
        let envelopes = envelopes(&[1]);
        let sealed = envelopes
            .seal("a", head(Kind::Set), b"v", &SystemRandom)
            .unwrap();
        assert!(envelopes.open("b", &sealed).is_err());
        let mut newer = sealed.clone();
        newer[0] = 2;
        let error = envelopes.open("a", &newer).unwrap_err();
        assert!(error.0.contains("a newer vaultgram"), "{error}");
        assert!(envelopes.open("a", &[]).is_err());
    }

    #[tokio::test]
    async fn others_have_their_turn_while_much_is_opened() {
        let envelopes = envelopes(&[1]);
        let entries = (0..5).map(|number| {
            let key = number.to_string();
            let value = envelopes.seal(&key, head(Kind::Set), b"v", &SystemRandom);
            Entry {
                value: value.unwrap(),
                key,
                changed: 1,
                lease: None,
            }
        });
        let mut opening = pin!(envelopes.open_all(entries.collect()));
        let mut turns = 0;
        let opened = loop {
            match poll!(&mut opening) {
                Poll::Ready(opened) => break opened.unwrap(),
                Poll::Pending => turns += 1,
            }
        };
        assert_eq!((opened.len(), turns), (5, 5));
    }

    proptest! {
        #[test]
        fn opens_nothing_that_was_changed(at in 0usize..80, bit in 0u8..8, cut in 0usize..80) {
            let envelopes = envelopes(&[1]);
            let sealed = envelopes.seal("k", head(Kind::Set), b"value", &SystemRandom).unwrap();
            let mut changed = sealed.clone();
            let at = at % changed.len();
            changed[at] ^= 1 << bit;
            prop_assert!(envelopes.open("k", &changed).is_err());
            prop_assert!(envelopes.open("k", &sealed[..cut % sealed.len()]).is_err());
        }
    }
}
