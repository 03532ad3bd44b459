//! Signing in as Vault's JWT method has it: a token of an issuer, which counts once, for one of ours.

use std::collections::BTreeMap;

use hyper::body::{Body, Bytes};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::domain::{Caller, Job, RequestId};
use crate::http::body;
use crate::http::error::Refusal;
use crate::http::reply::{self, Reply};
use crate::identity::Session;

/// Where a program signs in: at `auth/jwt/login`, or by the name of its issuer.
const AT: (&str, &str) = ("/v1/auth/", "/login");
/// The mount that is no issuer's name.
const ANY: &str = "jwt";

/// What a program signs in with.
pub(super) struct Login {
    /// The name of the issuer.
    pub(super) role: String,
    /// Its token.
    pub(super) token: Zeroizing<String>,
}

/// The mount that `path` signs in at, if it does.
pub(super) fn mount<'p>(method: &Method, path: &'p str) -> Option<&'p str> {
    let at = path.strip_prefix(AT.0)?.strip_suffix(AT.1)?;
    let posted = *method == Method::POST || *method == Method::PUT;
    (posted && !at.contains('/')).then_some(at)
}

/// Reads what is signed in with at `mount`.
///
/// # Errors
/// When it is not Vault's form.
pub(super) async fn read<B>(mount: &str, body: &mut B) -> Result<Login, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    #[derive(Deserialize)]
    struct Document {
        role: Option<String>,
        jwt: Zeroizing<String>,
    }
    let why = "sign in with {\"role\": \"github\", \"jwt\": \"…\"}: the name of the issuer in \
               vaultgram's configuration, and its token";
    // What exactly is wrong could repeat the token.
    let document: Option<Document> = body::document(body).await.map_err(|refusal| {
        if refusal.status == StatusCode::BAD_REQUEST {
            return Refusal::bad_request(why);
        }
        refusal
    })?;
    let Document { role, jwt } = document.ok_or_else(|| Refusal::bad_request(why))?;
    let named = (mount != ANY).then(|| mount.to_owned());
    let role = role.filter(|role| !role.is_empty()).or(named);
    Ok(Login {
        role: role.ok_or_else(|| Refusal::bad_request(why))?,
        token: jwt,
    })
}

/// Vault's answer to who signed in.
pub(super) fn answer(id: &RequestId, job: Job, session: &Session, now: OffsetDateTime) -> Reply {
    #[derive(Serialize)]
    struct Document<'s> {
        request_id: String,
        lease_id: &'static str,
        renewable: bool,
        lease_duration: u64,
        data: Option<()>,
        warnings: Option<()>,
        auth: Auth<'s>,
    }
    #[derive(Serialize)]
    struct Auth<'s> {
        client_token: &'s str,
        accessor: &'static str,
        policies: [String; 0],
        token_policies: [String; 0],
        metadata: BTreeMap<String, String>,
        lease_duration: i64,
        renewable: bool,
        entity_id: &'static str,
        token_type: &'static str,
        orphan: bool,
        display_name: String,
    }
    #[expect(clippy::disallowed_methods, reason = "it is the job's from now on")]
    let token = str::from_utf8(session.token.expose_secret()).unwrap_or_default();
    let metadata = job.facts();
    let document = Document {
        request_id: id.to_string(),
        lease_id: "",
        renewable: false,
        lease_duration: 0,
        data: None,
        warnings: None,
        auth: Auth {
            client_token: token,
            accessor: "",
            policies: [],
            token_policies: [],
            metadata,
            lease_duration: (session.until - now).whole_seconds(),
            renewable: false,
            entity_id: "",
            token_type: "service",
            orphan: true,
            display_name: Caller::Job(job).to_string(),
        },
    };
    reply::json(StatusCode::OK, &document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_signs_in_where_is_told() {
        let at = |path| mount(&Method::POST, path);
        assert_eq!(at("/v1/auth/jwt/login"), Some("jwt"));
        assert_eq!(at("/v1/auth/github/login"), Some("github"));
        assert_eq!(mount(&Method::PUT, "/v1/auth/jwt/login"), Some("jwt"));
        for other in [
            "/v1/auth/login",
            "/v1/auth/a/b/login",
            "/v1/secret/login",
            "/v1/auth/jwt",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
        assert_eq!(mount(&Method::GET, "/v1/auth/jwt/login"), None);
    }
}
