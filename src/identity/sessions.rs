//! Sessions: what evidence that counts once is exchanged for. All replicas know them, by the hash of
//! a random token that only its bearer has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::broker::ports::{Clock, Coordination, CoordinationError, Random};
use crate::domain::SecretValue;
use crate::domain::job::{CLAIMS, Job};
use crate::identity::{IdentityError, Proven, count, result};

/// What a token begins with, so that people and scanners for secrets know one.
const PREFIX: &str = "vgs.";
/// Random bytes in a token, and the length of the text that they become.
const RANDOM: usize = 32;
const TEXT: usize = 43;
/// Where sessions are kept.
const PLACE: &str = "identity/sessions/";
/// Most sessions at once.
pub(super) const MAX_LIVE: usize = 10_000;

/// Makes, finds and ends sessions.
pub struct Sessions {
    coordination: Arc<dyn Coordination>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// How many there are: as they were counted last, and those made here since. `None` before.
    live: Mutex<Option<usize>>,
}

/// A session that was made.
pub struct Session {
    /// Whoever brings it is the job.
    pub token: SecretValue,
    /// Until when.
    pub until: OffsetDateTime,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    issuer: String,
    subject: String,
    claims: BTreeMap<String, String>,
    /// In unix seconds.
    until: i64,
}

impl Sessions {
    /// Sessions that are kept in `coordination`.
    #[must_use]
    pub fn new(
        coordination: Arc<dyn Coordination>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            coordination,
            clock,
            random,
            live: Mutex::new(None),
        }
    }

    /// Makes a session for who proved to be somebody.
    ///
    /// # Errors
    /// When there are too many, or it cannot be kept.
    pub async fn open(&self, proven: &Proven) -> Result<Session, IdentityError> {
        if !self.reserve() {
            // Some have ended since they were counted.
            self.prune().await?;
            if !self.reserve() {
                return Err(IdentityError::Full);
            }
        }
        let token = self.token();
        let claims = proven.job.claims.iter();
        let kept = Kept {
            issuer: proven.job.issuer.clone(),
            subject: proven.job.subject.clone(),
            claims: claims
                .map(|(name, text)| ((*name).to_owned(), text.clone()))
                .collect(),
            until: proven.until.unix_timestamp(),
        };
        let kept =
            serde_json::to_vec(&kept).map_err(|error| CoordinationError(error.to_string()))?;
        self.coordination.put(&place(&token), &kept).await?;
        Ok(Session {
            token: SecretValue::new(token.as_bytes().to_vec()),
            until: proven.until,
        })
    }

    /// Whose session `token` is of, and until when.
    ///
    /// # Errors
    /// When it is nobody's, or not any more; when the state store cannot tell.
    pub async fn find(&self, token: &str) -> Result<Proven, IdentityError> {
        let found = self.look_up(token).await;
        count("session", result(&found));
        found
    }

    async fn look_up(&self, token: &str) -> Result<Proven, IdentityError> {
        if !is_token(token) {
            return Err(IdentityError::NoSession);
        }
        // By its hash: how long that takes tells nothing of any token.
        let found = self.coordination.get(&place(token)).await?;
        let kept = found.and_then(|found| Kept::read(&found));
        let kept = kept.filter(|kept| self.lasts(kept));
        kept.and_then(Kept::proven).ok_or(IdentityError::NoSession)
    }

    /// Ends the session of `token`, if there is one.
    ///
    /// # Errors
    /// When the state store does not take it.
    pub async fn end(&self, token: &str) -> Result<(), IdentityError> {
        if is_token(token) {
            self.coordination.delete(&place(token)).await?;
        }
        Ok(())
    }

    /// Forgets the sessions that have run out; how many. To be called now and then.
    ///
    /// # Errors
    /// When the state store does not take it.
    pub async fn prune(&self) -> Result<usize, IdentityError> {
        let (mut live, mut ended) = (0, 0);
        for (name, value) in self.coordination.list(PLACE).await? {
            // What cannot be read is nobody's session.
            if Kept::read(&value).is_some_and(|kept| self.lasts(&kept)) {
                live += 1;
            } else {
                self.coordination.delete(&name).await?;
                ended += 1;
            }
        }
        *self.live() = Some(live);
        Ok(ended)
    }

    /// Whether one more may be made, by what is known.
    fn reserve(&self) -> bool {
        let mut live = self.live();
        match &mut *live {
            Some(live) if *live < MAX_LIVE => {
                *live += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    fn lasts(&self, kept: &Kept) -> bool {
        self.clock.now().unix_timestamp() < kept.until
    }

    fn token(&self) -> Zeroizing<String> {
        let mut random = Zeroizing::new([0; RANDOM]);
        self.random.fill(&mut *random);
        // In full from the beginning: a text that grows leaves halves of itself behind.
        let mut token = Zeroizing::new(String::with_capacity(PREFIX.len() + TEXT));
        token.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut token);
        token
    }

    fn live(&self) -> MutexGuard<'_, Option<usize>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// `None` where another version said more of it than is known here: policies that forbid
    /// by what is missing would not see it.
    fn proven(self) -> Option<Proven> {
        let until = OffsetDateTime::from_unix_timestamp(self.until).ok()?;
        let claims = self.claims.into_iter().map(|(name, text)| {
            let name = CLAIMS.iter().find(|known| **known == name)?;
            Some((*name, text))
        });
        let job = Job {
            issuer: self.issuer,
            subject: self.subject,
            claims: claims.collect::<Option<_>>()?,
        };
        Some(Proven { job, until })
    }
}

fn is_token(text: &str) -> bool {
    let known = |sign: u8| sign.is_ascii_alphanumeric() || b"-_".contains(&sign);
    text.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() == TEXT && rest.bytes().all(known))
}

fn place(token: &str) -> String {
    format!("{PLACE}{}", hex::encode(Sha256::digest(token)))
}
