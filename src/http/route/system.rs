//! What is asked of the server itself: `sys`, `auth/token`, and our own `vaultgram`.

use hyper::{Method, StatusCode};

use super::{Route, malformed, only, unknown};
use crate::domain::SecretPath;
use crate::http::approvals;
use crate::http::error::Refusal;
use crate::http::leases;
use crate::http::query::Query;

/// What does something.
const DO: &str = "POST, PUT";

/// What `path` asks for, if it is in none of the mounts.
pub(super) fn route(
    method: &Method,
    path: &str,
    query: &mut Query,
) -> Result<Option<Route>, Refusal> {
    if let Some(path) = path.strip_prefix("sys/") {
        return sys(method, path, query).map(Some);
    }
    if let Some(path) = path.strip_prefix("auth/") {
        return auth(method, path).map(Some);
    }
    let Some(path) = path.strip_prefix("vaultgram/") else {
        return Ok(None);
    };
    if let Some(code) = path.strip_prefix("collect/") {
        let instead = "this works once: use POST, or run: vaultgram collect";
        return once(method, Route::Collect(code.to_owned()), instead);
    }
    if let Some(path) = path.strip_prefix("leases/") {
        let route = leases::own_route(path).ok_or_else(unknown)?;
        return only(method, DO, route).map(Some);
    }
    if let Some((allow, route)) = approvals::route(method, path, query)? {
        return only(method, allow, Route::Approvals(route)).map(Some);
    }
    match path {
        "unlock" => {
            let instead = "to unlock chat, use POST, or run: vaultgram unlock";
            once(method, Route::Unlock, instead)
        }
        "leases" => only(method, "GET", Route::Leases).map(Some),
        _ => Ok(None),
    }
}

fn once(method: &Method, route: Route, instead: &str) -> Result<Option<Route>, Refusal> {
    match method {
        &Method::POST => Ok(Some(route)),
        _ => Err(Refusal {
            message: Some(instead.to_owned()),
            ..Refusal::method("POST")
        }),
    }
}

fn sys(method: &Method, path: &str, query: &mut Query) -> Result<Route, Refusal> {
    if let Some(path) = path.strip_prefix("leases/") {
        return match path.split('/').next() {
            Some("revoke-prefix" | "revoke-force" | "tidy") => Err(Refusal::not_done(
                "vaultgram revokes leases one by one: see sys/leases/revoke and vaultgram/leases",
            )),
            _ => only(method, DO, leases::route(path).ok_or_else(unknown)?),
        };
    }
    if let Some(path) = path.strip_prefix("internal/ui/mounts/") {
        return only(method, "GET", mount(path, query)?);
    }
    match path {
        "health" => only(method, "GET, HEAD", Route::Health(query.health_codes()?)),
        "seal-status" => only(method, "GET", Route::SealStatus),
        "init" => only(method, "GET", Route::Init),
        "leader" => only(method, "GET", Route::Leader),
        "mounts" => only(method, "GET", Route::Mounts),
        "metrics" => only(method, "GET", metrics(query)?),
        "capabilities-self" => only(method, DO, Route::Capabilities),
        "wrapping/lookup" => only(method, DO, Route::LookAtWrapped),
        "wrapping/unwrap" => only(method, DO, Route::Unwrap),
        // Whoever has another token than his own must ask Vault about it.
        "capabilities" => Err(Refusal::denied()),
        "wrapping/wrap" | "wrapping/rewrap" => Err(Refusal::not_done(
            "vaultgram wraps what it reads: send X-Vault-Wrap-TTL with the request",
        )),
        _ => Err(unknown()),
    }
}

/// There are no tokens here: who has one has it from elsewhere.
fn auth(method: &Method, path: &str) -> Result<Route, Refusal> {
    match path {
        "token/lookup-self" => only(method, "GET", Route::LookupSelf),
        "token/revoke-self" => only(method, DO, Route::RevokeSelf),
        // Vault's words of a token that lives for ever.
        "token/renew-self" => Err(Refusal::bad_request("lease is not renewable")),
        "token/lookup" | "token/create" => Err(Refusal::denied()),
        _ => Err(unknown()),
    }
}

/// Vault has more formats; scrapers ask for this one.
fn metrics(query: &mut Query) -> Result<Route, Refusal> {
    match query.take("format").as_deref() {
        Some("prometheus") => Ok(Route::Metrics),
        Some(_) | None => Err(Refusal::bad_request(
            "format: only \"prometheus\" is served; ask for sys/metrics?format=prometheus",
        )),
    }
}

fn mount(path: &str, query: &mut Query) -> Result<Route, Refusal> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "unsupported path"));
    }
    // Below a mount that need not be ours, to hold it to what paths may be.
    SecretPath::new("m", path).map_err(malformed)?;
    Ok(Route::Mount {
        path: path.to_owned(),
        or_default: query.flag("default_mount")?.unwrap_or_default(),
    })
}
