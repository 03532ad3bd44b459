//! A GitHub App's key, and whether a statement was signed with it.

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

/// A key pair, made by the `openssl` command.
pub(crate) struct AppKey {
    /// As GitHub hands it out.
    pub(crate) pem: Vec<u8>,
    /// The same, PKCS #8.
    pub(crate) pkcs8: Vec<u8>,
    public: Vec<u8>,
}

impl AppKey {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        openssl(&["genrsa", "-traditional", "-out"], &file, &["2048"]);
        let pem = std::fs::read(&file).unwrap();
        let pkcs8 = openssl(&["pkcs8", "-topk8", "-nocrypt", "-in"], &file, &[]);
        let public = ["-RSAPublicKey_out", "-outform", "DER"];
        let public = openssl(&["rsa", "-in"], &file, &public);
        Self { pem, pkcs8, public }
    }

    /// Who says so in `token`, if it was signed with this key and holds at `now`.
    pub(crate) fn issuer(&self, token: &str, now: i64) -> Option<String> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public);
        key.verify(signed.as_bytes(), &signature).ok()?;
        let (head, claims) = signed.split_once('.')?;
        let part = |text: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
        };
        let (head, claims) = (part(head)?, part(claims)?);
        let (issued, expires) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        let holds = issued <= now && now < expires && expires <= now + 600;
        (holds && head["alg"] == "RS256").then(|| claims["iss"].as_str().map(str::to_owned))?
    }
}

fn openssl(before: &[&str], file: &Path, after: &[&str]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(before).arg(file).args(after);
    let output = command.stderr(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "openssl {before:?}");
    output.stdout
}
