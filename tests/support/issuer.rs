//! A loopback issuer of tokens (OIDC) for tests: it tells where its keys are, tells them, and signs
//! whatever it is given.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "shared by test targets, of which none uses all of it; tests may panic and look at the clock"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

/// For whom its tokens are.
pub(crate) const AUDIENCE: &str = "https://vaultgram.test";
/// The id of its key.
pub(crate) const KEY: &str = "rsa-1";

const RSA: &[u8] = include_bytes!("../../src/identity/tests/keys/rsa.pem");
const OTHER_RSA: &[u8] = include_bytes!("../../src/identity/tests/keys/other-rsa.pem");
const P256: &[u8] = include_bytes!("../../src/identity/tests/keys/p256.pem");

/// The server.
#[derive(Clone)]
pub(crate) struct Issuer {
    address: String,
    /// What it answers where its keys are; `None` while it is down.
    keys: Arc<Mutex<Option<Vec<u8>>>>,
    asked: Arc<Mutex<usize>>,
}

impl Issuer {
    /// One that tells its key.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self {
            address,
            keys: Arc::default(),
            asked: Arc::default(),
        };
        issuer.tell(&[Signer::rsa(KEY)]);
        let serving = issuer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever goes away early, goes away.
                serving.answer(&stream).ok();
            }
        });
        issuer
    }

    /// What its tokens call it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Tells these keys from now on.
    pub(crate) fn tell(&self, signers: &[Signer]) {
        let keys: Vec<Value> = signers.iter().map(Signer::jwk).collect();
        self.say(json!({ "keys": keys }).to_string());
    }

    /// Answers this where its keys are.
    pub(crate) fn say(&self, text: impl Into<Vec<u8>>) {
        *self.keys() = Some(text.into());
    }

    /// Answers nothing any more.
    pub(crate) fn stop(&self) {
        *self.keys() = None;
    }

    /// How often its keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    /// What a token of GitHub's says, of a job on the main branch of repository 7.
    pub(crate) fn claims(&self) -> Value {
        let now = now();
        json!({
            "iss": self.address, "aud": AUDIENCE, "jti": format!("{:032x}", rand::random::<u128>()),
            "iat": now, "nbf": now, "exp": now + 300,
            "sub": "repo:acme/web:environment:production",
            "repository": "acme/web", "repository_id": "7",
            "repository_owner": "acme", "repository_owner_id": "70",
            "ref": "refs/heads/main", "ref_type": "branch", "event_name": "push",
            "environment": "production", "run_id": "30", "run_attempt": "1",
            "actor": "alice", "actor_id": "583231",
        })
    }

    /// As [`Issuer::claims`], but for `changes`; what is null is not said.
    pub(crate) fn claims_but(&self, changes: &Value) -> Value {
        let mut claims = self.claims();
        let all = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            all.remove(name);
            if !value.is_null() {
                all.insert(name.clone(), value.clone());
            }
        }
        claims
    }

    /// A token that says so, signed with its key.
    pub(crate) fn token(&self, changes: &Value) -> String {
        Signer::rsa(KEY).sign(&self.claims_but(changes))
    }

    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let body = if first.contains("/.well-known/openid-configuration") {
            let keys = format!("{}/keys", self.address);
            let text = json!({"issuer": self.address, "jwks_uri": keys}).to_string();
            self.keys().is_some().then(|| text.into_bytes())
        } else {
            *self.asked.lock().unwrap() += 1;
            self.keys().clone()
        };
        let (status, body) = body.map_or(("503 Service Unavailable", vec![]), |it| ("200 OK", it));
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)
    }

    fn keys(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.keys.lock().unwrap()
    }
}

/// Who has a private key.
pub(crate) struct Signer {
    id: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn rsa(id: &str) -> Self {
        Self::of_rsa(id, RSA)
    }

    pub(crate) fn other_rsa(id: &str) -> Self {
        Self::of_rsa(id, OTHER_RSA)
    }

    fn of_rsa(id: &str, pem: &[u8]) -> Self {
        let key = PrivatePkcs1KeyDer::from_pem_slice(pem).unwrap();
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_der(key.secret_pkcs1_der()),
        }
    }

    pub(crate) fn p256(id: &str) -> Self {
        let key = PrivatePkcs8KeyDer::from_pem_slice(P256).unwrap();
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(key.secret_pkcs8_der()),
        }
    }

    /// The public half.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        serde_json::to_value(jwk).unwrap()
    }

    /// A token that says `payload`.
    pub(crate) fn sign(&self, payload: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, payload, &self.key).unwrap()
    }
}

/// In unix seconds.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}
