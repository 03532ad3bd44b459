//! What an opened token says: whether it is for us and now, of whom, and which it is.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use crate::domain::job::{CLAIMS, Job};
use crate::identity::{IdentityError, Issuer};

/// How far the issuer's clock may be from ours.
pub(super) const LEEWAY: Duration = Duration::seconds(60);
/// The longest that a token may be made for.
const MAX_LIFETIME: Duration = Duration::days(1);
/// Longest text of a claim, in bytes.
pub(super) const MAX_CLAIM: usize = 1024;

/// What Kubernetes says in an object of its own, and where.
const KUBERNETES: &str = "kubernetes.io";
const OF_KUBERNETES: [(&str, &[&str]); 3] = [
    ("namespace", &["namespace"]),
    ("service_account", &["serviceaccount", "name"]),
    ("pod", &["pod", "name"]),
];

/// A token that was opened.
pub(super) struct Claims<'t> {
    pub(super) text: &'t str,
    pub(super) payload: Map<String, Value>,
}

impl Claims<'_> {
    /// Checks that it is from `issuer`, for us, and valid at `now`. Returns when it ends.
    pub(super) fn check(
        &self,
        issuer: &Issuer,
        now: OffsetDateTime,
    ) -> Result<OffsetDateTime, IdentityError> {
        if self.payload.get("iss").and_then(Value::as_str) != Some(&issuer.issuer) {
            return Err(IdentityError::Issuer);
        }
        let ours = |value: &Value| value.as_str() == Some(&issuer.audience);
        let audience = self.payload.get("aud");
        let many = audience.and_then(Value::as_array);
        if !audience.is_some_and(ours) && !many.is_some_and(|many| many.iter().any(ours)) {
            return Err(IdentityError::Audience);
        }
        let (Some(ends), Some(made)) = (self.time("exp")?, self.time("iat")?) else {
            let why = "it does not say when it was made and when it ends (iat, exp)";
            return Err(IdentityError::Malformed(why));
        };
        let begins = self.time("nbf")?.unwrap_or(made);
        if now >= ends + LEEWAY {
            return Err(IdentityError::Expired);
        }
        if now + LEEWAY < made || now + LEEWAY < begins {
            return Err(IdentityError::NotYet);
        }
        if ends - made > MAX_LIFETIME {
            return Err(IdentityError::Lifetime);
        }
        Ok(ends)
    }

    /// What it says, of what policies may speak of.
    pub(super) fn job(&self, issuer: &Issuer) -> Result<Job, IdentityError> {
        let subject = self.payload.get("sub").and_then(Value::as_str);
        let subject = subject.filter(|subject| !subject.is_empty());
        let no_subject = IdentityError::Malformed("it does not say of whom it is (sub)");
        let subject = short(subject.ok_or(no_subject)?.to_owned())?;
        let mut claims = BTreeMap::new();
        for name in CLAIMS {
            if let Some(text) = self.find(name).and_then(text) {
                claims.insert(name, short(text)?);
            }
        }
        Ok(Job {
            issuer: issuer.name.clone(),
            subject,
            claims,
        })
    }

    /// What tells it from every other token of the issuer, as hexadecimal.
    pub(super) fn id(&self) -> String {
        let id = self.payload.get("jti").and_then(Value::as_str);
        let id = id.filter(|id| !id.is_empty());
        // Without its signature: of one with an elliptic curve anybody can make a second that is
        // right. And which of the two it is belongs to it, so that no id is that of another token.
        let signed = self.text.rsplit_once('.').map_or("", |(signed, _)| signed);
        let (kind, id) = id.map_or(("token:", signed), |id| ("jti:", id));
        hex::encode(Sha256::new().chain_update(kind).chain_update(id).finalize())
    }

    fn find(&self, name: &str) -> Option<&Value> {
        let Some((_, path)) = OF_KUBERNETES.iter().find(|(ours, _)| *ours == name) else {
            return self.payload.get(name);
        };
        let object = self.payload.get(KUBERNETES);
        path.iter().fold(object, |found, step| found?.get(step))
    }

    fn time(&self, name: &str) -> Result<Option<OffsetDateTime>, IdentityError> {
        const NO_TIME: IdentityError = IdentityError::Malformed("one of its times is none");
        let Some(value) = self.payload.get(name) else {
            return Ok(None);
        };
        let since_1970 = match (value.as_i64(), value.as_f64()) {
            (Some(seconds), _) => Some(Duration::seconds(seconds)),
            (None, Some(seconds)) => Duration::checked_seconds_f64(seconds),
            (None, None) => None,
        };
        let time = since_1970.and_then(|since| OffsetDateTime::UNIX_EPOCH.checked_add(since));
        // With a year on either side, nothing that is reckoned with it runs over.
        let time = time.filter(|time| (1970..9990).contains(&time.year()));
        time.map(Some).ok_or(NO_TIME)
    }
}

/// What stands for text; nothing that has parts does.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn short(text: String) -> Result<String, IdentityError> {
    if text.len() > MAX_CLAIM {
        return Err(IdentityError::Malformed(
            "one of its claims is longer than 1 KiB",
        ));
    }
    Ok(text)
}
