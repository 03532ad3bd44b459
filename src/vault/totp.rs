//! Codes of people's authenticators, checked by Vault's TOTP engine.

use serde::Deserialize;

use crate::broker::ports::StoreError;
use crate::domain::{Field, SecretPath, SecretValue};
use crate::vault::client::Client;
use crate::vault::engine::accepted;
use crate::vault::kv_write::{self, object};
use crate::vault::request::{Access, Request};

/// How many digits Vault's engine can make.
const DIGITS: [usize; 2] = [6, 8];

/// Whether `code` is what the key shows now; each is taken once. No key, no answer.
pub(super) async fn check(
    client: &Client,
    access: &Access,
    (mount, key): (&str, &str),
    code: &SecretValue,
) -> Result<bool, StoreError> {
    #[derive(Deserialize)]
    struct Answer {
        data: Checked,
    }
    #[derive(Deserialize)]
    struct Checked {
        valid: bool,
    }
    // What no key there can be called is none.
    let path = SecretPath::new(mount, &format!("code/{key}"));
    let path = path.map_err(|_| StoreError::NotFound)?;
    let Some(fields) = field(code) else {
        return Ok(false);
    };
    let request = Request::post(&path, object(&fields));
    let answer = client.call(access, request).await;
    let answer = answer.map_err(|failure| kv_write::failed(&failure))?;
    match accepted(answer, &fields, kv_write::failed) {
        Ok(answer) => {
            let answer: Answer =
                serde_json::from_slice(&answer.body).map_err(|_| StoreError::Invalid)?;
            Ok(answer.data.valid)
        }
        Err(StoreError::Rejected(words)) if words.contains("already used") => Ok(false),
        Err(error) => Err(error),
    }
}

/// The code as Vault takes it; `None` for what is no code, which Vault need not see.
fn field(code: &SecretValue) -> Option<[Field; 1]> {
    let digits = digits(code)?;
    let mut json = Vec::with_capacity(digits.len() + 2);
    json.push(b'"');
    json.extend_from_slice(digits);
    json.push(b'"');
    Some([Field {
        name: "code".to_owned(),
        json: SecretValue::new(json),
    }])
}

#[expect(clippy::disallowed_methods, reason = "this is what goes to Vault")]
fn digits(code: &SecretValue) -> Option<&[u8]> {
    let digits = code.expose_secret();
    let fits = DIGITS.contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    fits.then_some(digits)
}
