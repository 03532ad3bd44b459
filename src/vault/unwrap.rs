//! A secret id that came wrapped: looked at first, unwrapped once, kept.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use tokio::sync::OnceCell;
use tracing::{error, info};
use zeroize::Zeroizing;

use crate::domain::SecretValue;
use crate::vault::client::{Answer, Client, Failure, Refusal};
use crate::vault::request::{Method, Request};
use crate::vault::wrap;

/// What became of a wrapped secret id.
#[derive(Default)]
pub(super) struct Unwrapped {
    /// It, or why there will be none as long as we run: no use in asking Vault again.
    known: OnceCell<Result<SecretValue, String>>,
    /// Whether Vault was asked for it and did not answer: it may have counted that.
    answer_lost: AtomicBool,
}

impl Unwrapped {
    /// The secret id that `token` wraps, made by the AppRole method at `mount`. The inner error
    /// is final, and says what to do.
    pub(super) async fn secret_id(
        &self,
        client: &Client,
        mount: &str,
        token: &str,
    ) -> Result<Result<&SecretValue, String>, Failure> {
        let known = self.known.get_or_try_init(async || {
            let result = self.unwrap(client, mount, token).await?;
            match &result {
                Ok(_) => info!(event = "vault.secret_id_unwrapped"),
                Err(reason) => error!(event = "vault.secret_id_lost", %reason),
            }
            Ok::<_, Failure>(result)
        });
        Ok(known.await?.as_ref().map_err(Clone::clone))
    }

    async fn unwrap(
        &self,
        client: &Client,
        mount: &str,
        token: &str,
    ) -> Result<Result<SecretValue, String>, Failure> {
        if let Err(reason) = self.examine(client, mount, token).await? {
            return Ok(Err(reason));
        }
        let request = Request::new(Method::Post, &"sys/wrapping/unwrap");
        let access = client.access(SecretValue::new(token.as_bytes().to_vec()));
        let answer = client.call_now(&access, request).await;
        match answer.and_then(Answer::accepted) {
            // A token that holds no secret id was not even tried: this is not Vault's answer.
            Ok(answer) => match secret_id(&answer.body) {
                Some(secret_id) => Ok(Ok(secret_id)),
                None => Err(self.lost(Failure::Invalid("it holds no secret id"))),
            },
            Err(Failure::Refused(cause)) => self.refused(&cause).map(Err),
            Err(failure) => Err(self.lost(failure)),
        }
    }

    /// Whether `token` is still good and wraps a secret id that the AppRole method made: else
    /// somebody could hand us one of theirs. Looking does not use it up.
    pub(super) async fn examine(
        &self,
        client: &Client,
        mount: &str,
        token: &str,
    ) -> Result<Result<(), String>, Failure> {
        let answer = client
            .call_now(&client.anonymous(), wrap::look_up(token))
            .await?;
        let body = match answer.accepted() {
            Ok(answer) => answer.body,
            Err(Failure::Refused(cause)) => return self.refused(&cause).map(Err),
            Err(failure) => return Err(failure),
        };
        let path = wrap::facts(&body)?.path;
        if is_of_a_role(&path, mount) {
            return Ok(Ok(()));
        }
        let path: String = path.escape_debug().take(200).collect();
        Ok(Err(format!(
            "the wrapping token does not hold a secret id of auth/{mount}, but what was made at \
             {path}: it was not unwrapped; somebody may have put it in the place of yours; wrap \
             a new one (bao write -wrap-ttl=5m -force auth/{mount}/role/NAME/secret-id), give it \
             as VAULT_WRAPPED_SECRET_ID and restart vaultgram"
        )))
    }

    /// Remembers `failure` of unwrapping, where Vault may have done it.
    fn lost(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::Unclear(_) | Failure::Invalid(_)) {
            self.answer_lost.store(true, Ordering::Relaxed);
        }
        failure
    }

    /// What Vault's refusal means for good. A proxy's means that Vault is away.
    fn refused(&self, cause: &Refusal) -> Result<String, Failure> {
        let known = match cause.status {
            400 => cause.in_its_words,
            // What Vault says to any token that it does not know.
            403 => cause.in_its_words && cause.explained.contains("permission denied"),
            _ => false,
        };
        if known {
            return Ok(self.gone(&cause.to_string()));
        }
        Err(Failure::Unavailable(format!(
            "{cause}, which is no word of Vault's on a wrapping token; check [vault] address, and \
             what is between"
        )))
    }

    fn gone(&self, cause: &str) -> String {
        let why = if self.answer_lost.load(Ordering::Relaxed) {
            "Vault's answer to our unwrapping it was lost on the way"
        } else {
            "it was unwrapped already, has run out, or is mistyped; if not by an earlier start of \
             vaultgram, somebody else may have the secret id: destroy it in Vault"
        };
        format!(
            "the wrapping token of the secret id is not good any more ({cause}): {why}; wrap a \
             new one, give it as VAULT_WRAPPED_SECRET_ID and restart vaultgram"
        )
    }
}

/// Whether `path` is `auth/MOUNT/role/NAME/secret-id`. One chosen by its maker
/// (`custom-secret-id`) will not do.
fn is_of_a_role(path: &str, mount: &str) -> bool {
    let role = path
        .strip_prefix("auth/")
        .and_then(|path| path.strip_prefix(mount))
        .and_then(|path| path.strip_prefix("/role/"))
        .and_then(|path| path.strip_suffix("/secret-id"));
    role.is_some_and(|role| !role.is_empty() && !role.contains('/'))
}

/// The secret id that was unwrapped.
fn secret_id(body: &[u8]) -> Option<SecretValue> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        secret_id: Zeroizing<String>,
    }
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    let mut text = envelope.data.secret_id;
    Some(SecretValue::new(std::mem::take(&mut *text).into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_id_that_vault_made_for_a_role_will_do() {
        for (path, good) in [
            ("auth/approle/role/vaultgram/secret-id", true),
            ("auth/other/role/vaultgram/secret-id", false),
            ("auth/approle/role/vaultgram/custom-secret-id", false),
            ("auth/approle/role/vaultgram/role-id", false),
            ("auth/approle/role//secret-id", false),
            ("auth/approle/role/a/b/secret-id", false),
            ("auth/approle2/role/a/secret-id", false),
            ("sys/wrapping/wrap", false),
            ("", false),
        ] {
            assert_eq!(is_of_a_role(path, "approle"), good, "{path}");
        }
        assert!(is_of_a_role("auth/team/app/role/a/secret-id", "team/app"));
    }
}
