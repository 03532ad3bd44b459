//! A vaultgram elsewhere, and the session by which it knows who asks: opened when it is needed, once,
//! and ended by whoever opened it.

use std::fmt;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::cli::client::https::{Address, Trust, trust};
use crate::cli::client::patience::{Unanswered, patiently};
use crate::cli::client::proof::{Evidence, Headers, Proof, ProofArgs, Secret, Source};
use crate::cli::client::{Answer, Asked};
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::not_understood;

/// The header that names a session.
const TOKEN: &str = "x-vault-token";
/// What is answered to a token that counted already.
const USED: &str = "used before";
/// How long ending a session may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The way to a vaultgram elsewhere.
pub(in crate::cli) struct Remote {
    address: Address,
    trust: Trust,
    proof: Proof,
    session: Mutex<Option<Session>>,
    /// The token in a file, where that was used before: it is not shown again.
    used: Mutex<Option<Secret>>,
}

/// A session that was opened here.
struct Session {
    token: Zeroizing<String>,
    /// When another one is opened in its place.
    stale: Instant,
}

/// What a login is answered.
#[derive(Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Zeroizing<String>,
    lease_duration: u64,
}

/// What GitHub answers.
#[derive(Deserialize)]
struct Made {
    value: Zeroizing<String>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.address)
    }
}

impl Remote {
    /// Whether `place` is an address, and not a file.
    pub(in crate::cli) fn is_meant(place: &str) -> bool {
        Address::is_meant(place)
    }

    /// The vaultgram at `place`, to which whoever asks is proven as `arguments` say.
    pub(in crate::cli) fn new(place: &str, arguments: &ProofArgs) -> Result<Self, Failure> {
        let address = Address::read(place)?;
        let proof = arguments.choose(&address.to_string())?;
        Ok(Self {
            address,
            trust: trust(arguments.ca_file(), arguments.own_certificate()?)?,
            proof,
            session: Mutex::new(None),
            used: Mutex::new(None),
        })
    }

    /// Asks, with what proves who asks: made anew each time, as it counts once.
    pub(super) async fn ask(&self, asked: &Asked<'_>) -> Result<Answer, Unanswered> {
        let proof = match &self.proof {
            Proof::Session(token) => named(token.read()?.text()),
            Proof::Issuer { role, token } => named(&self.session(role, token).await?),
            Proof::Signature(key) => key.sign(asked)?,
        };
        self.send(asked, &proof).await
    }

    /// Ends the session, if one was opened. One that cannot be ended ends by itself soon.
    pub(in crate::cli) async fn leave(&self) {
        let Some(session) = self.session.lock().await.take() else {
            return;
        };
        let end = Asked {
            method: Method::POST,
            target: "/v1/auth/token/revoke-self",
            headers: &[],
            body: Bytes::new(),
        };
        let proof = named(&session.token);
        let ended = self.send(&end, &proof);
        drop(tokio::time::timeout(FAREWELL, ended).await);
    }

    /// Whether no session can be opened before another token is in its file.
    pub(super) async fn lacks_token(&self) -> bool {
        self.used.lock().await.is_some()
    }

    async fn send(&self, asked: &Asked<'_>, proof: &Headers) -> Result<Answer, Unanswered> {
        let proof = proof.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = asked.headers.iter().copied().chain(proof).collect();
        let asked = Asked {
            method: asked.method.clone(),
            target: asked.target,
            headers: &headers,
            body: asked.body.clone(),
        };
        self.address.ask(&self.trust, &asked).await
    }

    /// The token of the session, which is opened where there is none, or it is about to end.
    async fn session(&self, role: &str, evidence: &Evidence) -> Result<Zeroizing<String>, Failure> {
        let mut session = self.session.lock().await;
        match &*session {
            Some(session) if Instant::now() < session.stale => return Ok(session.token.clone()),
            Some(_) | None => {}
        }
        let answer = patiently(failed, async || self.log_in(role, evidence).await).await?;
        if answer.status != StatusCode::OK {
            let failure = answer.failure();
            let what = format!("{}: cannot sign in: {}", self.address, failure.what);
            return Err(Failure { what, ..failure });
        }
        let opened: LoggedIn =
            serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
        let lasts = Duration::from_secs(opened.auth.lease_duration);
        let token = opened.auth.client_token;
        *session = Some(Session {
            token: token.clone(),
            stale: Instant::now() + lasts * 4 / 5,
        });
        Ok(token)
    }

    async fn log_in(&self, role: &str, evidence: &Evidence) -> Result<Answer, Unanswered> {
        let jwt = match evidence {
            Evidence::Token(Source::Given(secret)) => secret.clone(),
            Evidence::Token(Source::File(file)) => self.unused(Secret::in_file(file)?).await?,
            Evidence::Github {
                url,
                token,
                audience,
            } => github(url, token, audience).await?,
        };
        let body = json!({"role": role, "jwt": jwt.text()}).to_string();
        let asked = Asked {
            method: Method::POST,
            target: "/v1/auth/jwt/login",
            headers: &[],
            body: Bytes::from_owner(Zeroizing::new(body.into_bytes())),
        };
        let answer = self.address.ask(&self.trust, &asked).await?;
        if answer.status == StatusCode::FORBIDDEN
            && let Evidence::Token(Source::File(_)) = evidence
            && answer.failure().what.contains(USED)
        {
            *self.used.lock().await = Some(jwt);
        }
        Ok(answer)
    }

    /// The token that is in its file now, unless it is still the one that was used before.
    async fn unused(&self, jwt: Secret) -> Result<Secret, Failure> {
        let mut used = self.used.lock().await;
        if used.as_ref().is_some_and(|used| used.text() == jwt.text()) {
            let what = format!(
                "{}: cannot sign in: the token in its file was {USED}, and counts once",
                self.address
            );
            return Err(Failure::new(Exit::Denied, what).hint("have a new one written there"));
        }
        *used = None;
        Ok(jwt)
    }
}

fn named(token: &str) -> Headers {
    vec![(TOKEN, Zeroizing::new(token.to_owned()))]
}

/// Has GitHub make a token for the job that runs here.
async fn github(url: &str, token: &Secret, audience: &str) -> Result<Secret, Failure> {
    let wrong = |why: String| {
        let what = format!("ACTIONS_ID_TOKEN_REQUEST_URL: {why}");
        Failure::new(Exit::Unavailable, what).hint("GitHub sets it; see that no step changes it")
    };
    let mut url = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    url.query_pairs_mut().append_pair("audience", audience);
    let address = Address::of(&url).map_err(|why| wrong(why.to_owned()))?;
    let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    let bearer = Zeroizing::new(format!("Bearer {}", token.text()));
    let asked = Asked {
        method: Method::GET,
        target: &target,
        headers: &[
            ("authorization", &bearer),
            ("accept", "application/json; api-version=2.0"),
            ("user-agent", "vaultgram"),
        ],
        body: Bytes::new(),
    };
    let trust = trust(None, None)?;
    let answer = patiently(failed, async || {
        let asked = address.ask(&trust, &asked).await;
        // Another token does no harm, whatever became of the first.
        asked.map_err(|unanswered| Unanswered {
            again: unanswered.failure.exit == Exit::Unavailable,
            ..unanswered
        })
    });
    let answer = answer.await?;
    if answer.status != StatusCode::OK {
        let status = answer.status.as_u16();
        return Err(wrong(format!("GitHub makes no token: status {status}"))
            .hint("does the job have `permissions: id-token: write`?"));
    }
    let made: Made = serde_json::from_slice(&answer.body)
        .map_err(|_| wrong("GitHub's answer is no token".to_owned()))?;
    Ok(Secret::new(made.value))
}

/// Whether asking again may help, of what is nothing but a proof.
fn failed(answer: &Answer) -> Option<Duration> {
    let busy = answer.status == StatusCode::TOO_MANY_REQUESTS;
    (busy || answer.status.is_server_error()).then(|| answer.wants_patience().unwrap_or_default())
}
