//! Response wrapping: how long a client wants an answer wrapped, and what a wrapping token holds.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::api::{Envelope, WrappedFacts};
use crate::broker::Outcome;
use crate::domain::{Caller, Field, RequestId, SecretValue};
use crate::http::error::Refusal;
use crate::http::reply::{self, Reply};
use crate::http::vault_api::VaultApi;

/// How long the answer is to be wrapped, in Vault's words; 0 is not at all.
pub(super) fn asked_ttl(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let mut given = headers.get_all("x-vault-wrap-ttl").iter();
    let given = given.by_ref().filter(|value| !value.is_empty());
    let given: Vec<_> = given.collect();
    let text = match given.as_slice() {
        [] => return Ok(None),
        [one] => one.to_str().ok(),
        _ => None,
    };
    let ttl = text.and_then(duration).ok_or_else(|| {
        Refusal::bad_request("X-Vault-Wrap-TTL: give seconds, or a time such as 90s, 15m or 1h")
    })?;
    Ok(Some(ttl).filter(|ttl| !ttl.is_zero()))
}

/// `60`, or as Go writes it: `1m0s`.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut seconds, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, unit) = rest.split_at_checked(end)?;
        let (unit, left) = unit.split_at_checked(1)?;
        let length = match unit {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        let count: u64 = digits.parse().ok()?;
        seconds = seconds.checked_add(count.checked_mul(length)?)?;
        rest = left;
    }
    Some(Duration::from_secs(seconds))
}

/// The wrapping token: in the body or, where it is none there, in place of a client's own.
pub(super) fn token(fields: &[Field], headers: &HeaderMap) -> Option<SecretValue> {
    let given = fields.iter().find(|field| field.name == "token");
    if let Some(token) = given.and_then(text) {
        return Some(token);
    }
    let own = headers.get("x-vault-token").map(HeaderValue::as_bytes);
    let bearer = || {
        let value = headers.get(AUTHORIZATION)?.as_bytes();
        value.strip_prefix(b"Bearer ")
    };
    let token = own.or_else(bearer)?;
    (!token.is_empty()).then(|| SecretValue::new(token.to_vec()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "JSON becomes the text that it stands for"
)]
pub(super) fn text(field: &Field) -> Option<SecretValue> {
    let text: Option<String> = serde_json::from_slice(field.json.expose_secret()).ok()?;
    text.map(|text| SecretValue::new(text.into_bytes()))
}

impl VaultApi {
    /// What `token` wraps, but for what it holds.
    pub(super) async fn look_at_wrapped(
        &self,
        id: &RequestId,
        token: &SecretValue,
    ) -> Result<Reply, Refusal> {
        let facts = self.asker.broker.wrapped(token).await;
        let facts = facts.map_err(|error| Refusal::from(&error))?;
        let facts = WrappedFacts {
            creation_path: facts.path,
            creation_time: facts.created,
            creation_ttl: facts.ttl.as_secs(),
        };
        let document = Envelope::new(id.to_string(), facts);
        Ok(reply::json(StatusCode::OK, &document))
    }

    /// What `token` holds.
    pub(super) async fn unwrap(
        &self,
        id: RequestId,
        token: SecretValue,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        let outcome = self.asker.unwrap(id, caller.clone(), token).await?;
        let Outcome::Released(secret) = outcome else {
            return Err(Refusal::broken());
        };
        Ok(reply::values(name, &secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_taken_as_vaults_clients_write_it() {
        for (given, wanted) in [
            (&[][..], Ok(None)),
            (&[""], Ok(None)),
            (&["0"], Ok(None)),
            (&["0s"], Ok(None)),
            (&["60"], Ok(Some(60))),
            (&["60s"], Ok(Some(60))),
            (&["1m0s"], Ok(Some(60))),
            (&["", "1h30m"], Ok(Some(5400))),
            (&["junk"], Err(400)),
            (&["-5"], Err(400)),
            (&["5x"], Err(400)),
            (&["5", "6"], Err(400)),
            (&["m"], Err(400)),
            (&["18446744073709551615h"], Err(400)),
            (&["5ü"], Err(400)),
        ] {
            let mut headers = HeaderMap::new();
            for value in given {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append("X-Vault-Wrap-TTL", value);
            }
            let ttl = asked_ttl(&headers).map_err(|refusal| refusal.status.as_u16());
            assert_eq!(
                ttl,
                wanted.map(|ttl| ttl.map(Duration::from_secs)),
                "{given:?}"
            );
        }
    }
}
