//! Bytes that are kept for a while, where a dump of the process does not show them.

use std::io;
use std::sync::OnceLock;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use zeroize::Zeroizing;

use super::pages::Pages;

/// Encrypts what is kept where the kernel has no secret memory, for the life of the process.
static KEY: OnceLock<Pages> = OnceLock::new();

/// How bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In pages of `memfd_secret`: neither root nor the kernel itself has a way to read them.
    SecretMemory,
    /// Encrypted, with a key that this process keeps: its memory shows no plaintext, but whoever
    /// reads all of it has what is needed to decrypt.
    Encrypted,
}

impl Kind {
    /// One word for people and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SecretMemory => "memfd_secret",
            Self::Encrypted => "encrypted",
        }
    }

    /// What this process gets now.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn available() -> io::Result<Self> {
        Sealed::new(&[0]).map(|sealed| sealed.kind())
    }
}

/// Bytes that can be looked at for a moment; see [`Kind`]. Wiped when dropped.
///
/// Each takes whole pages of memory, and while they are of `memfd_secret` these count toward
/// `RLIMIT_MEMLOCK`: what does not fit any more is encrypted.
pub struct Sealed(Store);

enum Store {
    Secret(Pages),
    Encrypted {
        /// Random; a process does not seal nearly often enough for two to be the same.
        nonce: Nonce,
        tag: Tag,
        ciphertext: Vec<u8>,
    },
}

impl Sealed {
    /// Keeps a copy of `plaintext`. The original is the caller's to wipe.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(plaintext: &[u8]) -> io::Result<Self> {
        match Pages::secret(plaintext) {
            Ok(pages) => Ok(Self(Store::Secret(pages))),
            Err(_) => Self::encrypted(plaintext),
        }
    }

    fn encrypted(plaintext: &[u8]) -> io::Result<Self> {
        let mut nonce = Nonce::default();
        rand::fill(nonce.as_mut_slice());
        // Encrypted where it lies: should that fail, it is wiped.
        let mut text = Zeroizing::new(plaintext.to_vec());
        let tag = cipher()?
            .encrypt_in_place_detached(&nonce, &[], &mut text)
            .map_err(|_| io::Error::other("what is to be kept is too long"))?;
        Ok(Self(Store::Encrypted {
            nonce,
            tag,
            ciphertext: std::mem::take(&mut *text),
        }))
    }

    /// Shows the bytes to `look`, which must not keep a copy.
    ///
    /// # Errors
    /// When they were tampered with, or there is no memory.
    pub fn open<R>(&self, look: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        match &self.0 {
            Store::Secret(pages) => Ok(look(pages.bytes())),
            Store::Encrypted {
                nonce,
                tag,
                ciphertext,
            } => {
                let mut text = Zeroizing::new(ciphertext.clone());
                cipher()?
                    .decrypt_in_place_detached(nonce, &[], &mut text, tag)
                    .map_err(|_| io::Error::other("what was kept is damaged"))?;
                Ok(look(&text))
            }
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Store::Secret(pages) => pages.bytes().len(),
            Store::Encrypted { ciphertext, .. } => ciphertext.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How they are kept.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.0 {
            Store::Secret(_) => Kind::SecretMemory,
            Store::Encrypted { .. } => Kind::Encrypted,
        }
    }
}

/// The process's own key, made when it is first needed. The cipher wipes its copy.
fn cipher() -> io::Result<ChaCha20Poly1305> {
    let key = if let Some(key) = KEY.get() {
        key
    } else {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key);
        let pages = Pages::secret(&*key).or_else(|_| Pages::private(&*key))?;
        // Of two that are made at once, the first stays.
        KEY.get_or_init(|| pages)
    };
    Ok(ChaCha20Poly1305::new(Key::from_slice(key.bytes())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A random value, each bit turned over: it is to lie nowhere as it is.
    fn value(len: usize) -> Vec<u8> {
        let mut inverted = vec![0; len];
        rand::fill(inverted.as_mut_slice());
        inverted
    }

    /// In a thread of its own, whose registers go with it.
    fn keep(inverted: &[u8], seal: fn(&[u8]) -> io::Result<Sealed>) -> Sealed {
        let keep = || {
            let plain: Zeroizing<Vec<u8>> = Zeroizing::new(inverted.iter().map(|b| !b).collect());
            seal(&plain).unwrap()
        };
        std::thread::scope(|threads| threads.spawn(keep).join().unwrap())
    }

    fn is(sealed: &Sealed, inverted: &[u8]) -> bool {
        let same = |plain: &[u8]| plain.iter().zip(inverted).all(|(p, i)| *p == !*i);
        sealed.len() == inverted.len() && sealed.open(same).unwrap()
    }

    /// Whether 16 bytes of it in a row can be read in this process's memory.
    fn lies_around(inverted: &[u8]) -> bool {
        let memory = fs::File::open("/proc/self/mem").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut read = 0;
        let mut chunk = vec![0; 1 << 20];
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (range, _) = line.split_once(' ').unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let mut from = u64::from_str_radix(from, 16).unwrap();
            let to = u64::from_str_radix(to, 16).unwrap();
            while from < to {
                let len = chunk.len().min(usize::try_from(to - from).unwrap());
                // Secret memory cannot be read this way.
                if memory.read_exact_at(&mut chunk[..len], from).is_ok() {
                    read += len;
                    for part in inverted.chunks_exact(16) {
                        let first = !part[0];
                        let found = chunk[..len].windows(16).any(|window| {
                            window[0] == first && window.iter().zip(part).all(|(w, p)| *w == !*p)
                        });
                        if found {
                            return true;
                        }
                    }
                }
                from += len as u64;
            }
        }
        assert!(read > 1 << 20, "only {read} bytes were read");
        false
    }

    #[test]
    fn what_is_sealed_is_not_seen_in_memory() {
        let inverted = value(48);
        let copy = {
            let sealed = Sealed::new(&[]).unwrap();
            assert!(sealed.is_empty());
            let plain: Vec<u8> = inverted.iter().map(|byte| !byte).collect();
            assert!(lies_around(&inverted), "the control: a plain copy is found");
            plain
        };
        drop(copy);
        for seal in [Sealed::new, Sealed::encrypted] {
            let inverted = value(48);
            let sealed = keep(&inverted, seal);
            assert!(!lies_around(&inverted), "{:?}", sealed.kind());
            assert!(is(&sealed, &inverted));
        }
    }

    #[test]
    fn keeps_what_it_was_given_whatever_its_size() {
        for len in [1, 31, 4095, 4096, 4097, 100_000] {
            let inverted = value(len);
            for seal in [Sealed::new, Sealed::encrypted] {
                assert!(is(&keep(&inverted, seal), &inverted), "{len}");
            }
        }
    }

    #[test]
    fn what_is_encrypted_and_damaged_is_not_shown() {
        let mut sealed = Sealed::encrypted(b"hunter2").unwrap();
        assert_eq!(sealed.kind(), Kind::Encrypted);
        let Store::Encrypted { ciphertext, .. } = &mut sealed.0 else {
            panic!("not encrypted")
        };
        ciphertext[3] ^= 1;
        assert!(sealed.open(<[u8]>::len).is_err());
    }
}
