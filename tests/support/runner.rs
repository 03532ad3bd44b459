//! An issuer of jobs' tokens on this machine: its keys for whoever checks them, and GitHub's way to
//! have a token made.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "shared by test targets, of which none uses all of it; tests may panic and tell the time"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// What a job of GitHub proves itself with, to have a token made.
pub(crate) const JOB_TOKEN: &str = "gh-request-token-5f1c";

/// It serves until the test's process ends.
#[derive(Clone)]
pub(crate) struct Issuer {
    port: u16,
    key: EncodingKey,
    /// What is said of the job that asks, beside what every token has.
    job: Arc<Mutex<Value>>,
    made: Arc<AtomicUsize>,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let pem = include_bytes!("../../src/identity/tests/keys/p256.pem");
        let pem = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let job = json!({
            "sub": "repo:acme/web:ref:refs/heads/main", "repository": "acme/web",
            "repository_id": "7", "ref": "refs/heads/main", "sha": "0123abc", "workflow": "deploy",
            "run_id": "30", "run_attempt": "1", "actor": "alice", "actor_id": "583231",
        });
        let issuer = Self {
            port: listener.local_addr().unwrap().port(),
            key: EncodingKey::from_ec_der(pem.secret_pkcs8_der()),
            job: Arc::new(Mutex::new(job)),
            made: Arc::default(),
        };
        let serving = issuer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.answer(stream.unwrap()));
            }
        });
        issuer
    }

    /// What its tokens call it.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many tokens GitHub's way has made.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// From now on it says `value` of jobs, by `name`.
    pub(crate) fn says(&self, name: &str, value: &str) {
        self.job.lock().unwrap()[name] = json!(value);
    }

    /// What a runner of GitHub sets for a job that may have a token.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        let url = format!("{}/token?api-version=2.0", self.address());
        [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB_TOKEN.to_owned()),
        ]
    }

    /// A token for `audience`, which counts once.
    pub(crate) fn token(&self, audience: &str) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_secs();
        let mut claims = self.job.lock().unwrap().clone();
        claims["iss"] = json!(self.address());
        claims["aud"] = json!(audience);
        claims["iat"] = json!(now);
        claims["nbf"] = json!(now);
        claims["exp"] = json!(now + 300);
        claims["jti"] = json!(format!("{:x}", rand::random::<u128>()));
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("one".to_owned());
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    fn answer(&self, mut stream: TcpStream) {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head = lines
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty());
        let head: Vec<String> = head.collect();
        let target = head.first().and_then(|line| line.split(' ').nth(1));
        let (status, body) = match target.unwrap_or_default() {
            "/.well-known/openid-configuration" => {
                let address = self.address();
                let keys = format!("{address}/keys");
                ("200 OK", json!({"issuer": address, "jwks_uri": keys}))
            }
            "/keys" => {
                let mut key = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
                key.common.key_id = Some("one".to_owned());
                ("200 OK", json!({"keys": [key]}))
            }
            target => {
                let bearer = format!("authorization: Bearer {JOB_TOKEN}");
                let audience = url::Url::parse(&format!("http://x{target}")).unwrap();
                let mut query = audience.query_pairs();
                let audience = query.find(|(name, _)| name == "audience");
                match audience {
                    Some((_, audience)) if head.contains(&bearer) => {
                        self.made.fetch_add(1, Ordering::Relaxed);
                        (
                            "200 OK",
                            json!({"count": 1, "value": self.token(&audience)}),
                        )
                    }
                    Some(_) | None => ("401 Unauthorized", json!({})),
                }
            }
        };
        let body = body.to_string();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n");
        // Whoever asked may be gone.
        drop(stream.write_all(format!("{head}\r\n{body}").as_bytes()));
    }
}
