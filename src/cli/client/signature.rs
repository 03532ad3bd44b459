//! Requests signed with a shared key, as Standard Webhooks has it: HMAC-SHA256 of
//! `id.timestamp.METHOD TARGET\nBODY`, and for a message in chat, of `id.timestamp.COMMAND`.

use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use zeroize::Zeroizing;

use crate::cli::client::Asked;
use crate::cli::client::proof::{Headers, Secret};
use crate::cli::exit::{Exit, Failure};

/// A key: its name, and the file it is in.
#[derive(Debug, Clone)]
pub struct SigningKey {
    name: String,
    file: PathBuf,
}

impl FromStr for SigningKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, file) = text.split_once('=').unwrap_or_default();
        let (owner, id) = name.split_once('/').unwrap_or_default();
        let plain = |text: &str| {
            let known = |sign: u8| sign.is_ascii_alphanumeric() || b"-_.".contains(&sign);
            !text.is_empty() && text.bytes().all(known)
        };
        if !plain(owner) || !plain(id) || file.is_empty() {
            return Err("write OWNER/KEYID=FILE; the file holds the key (whsec_…)");
        }
        Ok(Self {
            name: name.to_owned(),
            file: file.into(),
        })
    }
}

/// What proves that something is by a key's owner, once.
pub(in crate::cli) struct Proved {
    pub(in crate::cli) id: String,
    pub(in crate::cli) time: String,
    pub(in crate::cli) signature: String,
}

impl SigningKey {
    /// `OWNER/KEYID`
    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }

    /// The headers that prove that `asked` is by this key's owner.
    pub(super) fn sign(&self, asked: &Asked<'_>) -> Result<Headers, Failure> {
        let proved = self.prove(&content(asked))?;
        Ok(vec![
            ("vaultgram-key", Zeroizing::new(self.name.clone())),
            ("webhook-id", Zeroizing::new(proved.id)),
            ("webhook-timestamp", Zeroizing::new(proved.time)),
            ("webhook-signature", Zeroizing::new(proved.signature)),
        ])
    }

    /// Signs `content`, in as many pieces as it lies in.
    pub(in crate::cli) fn prove(&self, content: &[&[u8]]) -> Result<Proved, Failure> {
        let key = Secret::in_file(&self.file)?;
        let wrong = || {
            let what = format!("{}: this is no signing key", self.file.display());
            Failure::new(Exit::Data, what).hint("it holds whsec_ and then base64")
        };
        let text = key.text().strip_prefix("whsec_").ok_or_else(wrong)?;
        let key = Zeroizing::new(STANDARD.decode(text).map_err(|_| wrong())?);
        let id = format!("msg_{:032x}", rand::random::<u128>());
        #[expect(
            clippy::disallowed_methods,
            reason = "the command line has no Clock, and the server's is what decides"
        )]
        let time = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
        let signature = signature(&key, &id, &time, content);
        Ok(Proved {
            id,
            time,
            signature,
        })
    }
}

fn content<'a>(asked: &'a Asked<'_>) -> [&'a [u8]; 5] {
    let method = asked.method.as_str().as_bytes();
    [method, b" ", asked.target.as_bytes(), b"\n", &asked.body]
}

fn signature(key: &[u8], id: &str, time: &str, content: &[&[u8]]) -> String {
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for piece in [id, ".", time, "."] {
        signing.update(piece.as_bytes());
    }
    for piece in content {
        signing.update(piece);
    }
    format!("v1,{}", STANDARD.encode(signing.sign()))
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use hyper::body::Bytes;

    use super::*;

    #[test]
    fn a_key_is_named_with_its_file() {
        let key: SigningKey = "ci/2026=/run/key=1".parse().unwrap();
        assert_eq!(key.name, "ci/2026");
        assert_eq!(key.file, PathBuf::from("/run/key=1"));
        for wrong in [
            "", "ci", "ci/1", "ci/1=", "/1=k", "ci/=k", "c i/1=k", "whsec_a",
        ] {
            assert!(wrong.parse::<SigningKey>().is_err(), "{wrong}");
        }
    }

    /// The expected value is by `openssl dgst -sha256 -hmac`.
    #[test]
    fn what_is_signed_is_the_request() {
        let asked = Asked {
            method: Method::POST,
            target: "/v1/secret/data/x?version=1",
            headers: &[],
            body: Bytes::from_static(b"{\"a\":1}"),
        };
        let signed = signature(
            b"0123456789abcdef0123456789abcdef",
            "msg_1",
            "1700000000",
            &content(&asked),
        );
        assert_eq!(signed, "v1,+Mec+pckxjF5plBbL+b/SMJYN4a3eGeQkCxhbHd5QPY=");
    }
}
