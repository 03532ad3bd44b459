//! How each method logs in: its request, and what Vault grants.

use std::time::Duration;

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::domain::SecretValue;
use crate::vault::client::{Answer, Client, Failure, Payload};
use crate::vault::schedule::Lease;
use crate::vault::settings::plain;

/// The part of Vault's `auth` object we use.
#[derive(Deserialize)]
pub(super) struct Granted {
    pub(super) client_token: String,
    /// Seconds; 0 for a token that never expires.
    lease_duration: u64,
    pub(super) renewable: bool,
    /// `null` for none.
    policies: Option<Vec<String>>,
}

impl Granted {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(self.lease_duration)
    }

    /// The names of the policies the token has.
    pub(super) fn policies(self) -> Vec<String> {
        self.policies.unwrap_or_default()
    }

    pub(super) fn lease(&self) -> Lease {
        Lease {
            left: (self.lease_duration > 0).then(|| self.duration()),
            renewable: self.renewable,
            cut: false,
        }
    }
}

/// Reads what a login or a renewal was answered.
pub(super) fn granted(answer: Answer) -> Result<Granted, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        auth: Granted,
    }
    let answer = answer.accepted()?;
    let envelope: Envelope =
        serde_json::from_slice(&answer.body).map_err(|_| Failure::Invalid("it grants no token"))?;
    // vaultrs panics on a token that cannot be a header.
    let token = envelope.auth.client_token.as_bytes();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(Failure::Invalid("the token in it is not one"));
    }
    Ok(envelope.auth)
}

/// Logs in with AppRole.
pub(super) async fn app_role(
    client: &Client,
    mount: &str,
    role_id: &str,
    secret_id: &SecretValue,
) -> Result<Granted, Failure> {
    let secret_id = std::str::from_utf8(plain(secret_id))
        .map_err(|_| Failure::Invalid("the secret_id is not text"))?;
    let request = LoginRequest { mount };
    let json = body(&[("role_id", role_id), ("secret_id", secret_id)]);
    let payload = Payload {
        media_type: "application/json",
        json,
    };
    granted(
        client
            .write_now(&client.access(""), request, payload)
            .await?,
    )
}

/// `auth/MOUNT/login`, with a body beside it: vaultrs' own requests would leave copies of the
/// credentials behind.
struct LoginRequest<'a> {
    mount: &'a str,
}

impl Endpoint for LoginRequest<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("auth/{}/login", self.mount)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }
}

/// A JSON object of strings.
fn body(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    // In full from the beginning: a text that grows leaves halves of itself behind. A byte takes
    // six as an escape.
    let size = |(name, value): &(&str, &str)| 6 * (name.len() + value.len()) + 6;
    let size = 2 + fields.iter().map(size).sum::<usize>();
    let mut json = Zeroizing::new(Vec::with_capacity(size));
    json.push(b'{');
    for (position, (name, value)) in fields.iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        // A string is always JSON, and memory takes all.
        serde_json::to_writer(&mut *json, name).unwrap_or_default();
        json.push(b':');
        serde_json::to_writer(&mut *json, value).unwrap_or_default();
    }
    json.push(b'}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_and_never_grows() {
        let json = body(&[("role", "r"), ("jwt", "a\"\u{1}\u{e9}")]);
        let text = std::str::from_utf8(&json);
        assert_eq!(text, Ok(r#"{"role":"r","jwt":"a\"\u0001é"}"#));
        let worst = "\u{1}".repeat(1000);
        let json = body(&[("a", worst.as_str()), ("b", worst.as_str())]);
        assert_eq!(json.capacity(), 2 + 2 * (6 * 1001 + 6), "it grew");
    }
}
