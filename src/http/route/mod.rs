//! What a request is for: its method, path and query, parsed strictly. Pure.

mod mounted;
mod system;
#[cfg(test)]
mod tests;

use hyper::{Method, StatusCode};

use crate::domain::{Mounts, PathError, Target};
use crate::http::approvals::ApprovalRoute;
use crate::http::error::Refusal;
use crate::http::health;
use crate::http::leases::{LeaseRef, LeaseVerb};
use crate::http::query::{HealthCodes, Page, Query, decode_path};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A secret's values.
    Read(Target),
    /// The names in a folder.
    List(Target, Page),
    /// What Vault keeps of a secret's versions.
    Metadata(Target),
    /// A secret written whole.
    Put(Target),
    /// The same, where no versions are kept.
    PutPlain(Target),
    /// Some fields of a secret written.
    Patch(Target),
    /// A random value written to one field: our own addition.
    Rotate(Target),
    /// The newest version deleted; where there are none, the secret.
    Delete(Target),
    /// Something done to the versions that the body names.
    Versions(VersionVerb, Target),
    /// Something an engine does, with the parameters in the body.
    Invoke(Target),
    /// The mount a path is in.
    Mount {
        /// The path, with or without its mount.
        path: String,
        /// Our own addition: answer the default mount where the path begins with none.
        or_default: bool,
    },
    /// All mounts.
    Mounts,
    /// The state of the store.
    Health(HealthCodes),
    /// The same, for who could unseal it.
    SealStatus,
    /// Whether the store was ever initialised.
    Init,
    /// Which of several servers leads.
    Leader,
    /// Who the caller is.
    LookupSelf,
    /// That the caller's token be no more.
    RevokeSelf,
    /// What the caller may do at some paths.
    Capabilities,
    /// What a wrapping token is of.
    LookAtWrapped,
    /// What a wrapping token holds.
    Unwrap,
    /// What was offered in chat under this code, as it was given.
    Collect(String),
    /// What is counted.
    Metrics,
    /// Open the lock on chat: our own addition.
    Unlock,
    /// The leases of the caller: our own addition.
    Leases,
    /// Something about one lease.
    Lease(LeaseVerb, LeaseRef),
    /// Something about requests for approval: our own addition.
    Approvals(ApprovalRoute),
    /// How everything is, outside of Vault's API as the next two.
    Report,
    /// Who else is there, outside of Vault's API too.
    Cluster,
    /// Whether we live.
    Alive,
    /// Whether secrets can be served.
    Ready,
}

/// What is done to versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionVerb {
    /// So that it can be undone.
    Delete,
    /// Undo that.
    Undelete,
    /// For good.
    Destroy,
}

/// Finds out what `method`, `path` and `query` ask for.
///
/// # Errors
/// Malformed, unknown, or not done.
pub(super) fn route(
    method: &Method,
    path: &str,
    query: Option<&str>,
    mounts: &Mounts,
) -> Result<Route, Refusal> {
    let path = decode_path(path)?;
    if let Some(route) = health::route(method, &path)? {
        Query::parse(query.unwrap_or_default())?.finish()?;
        return Ok(route);
    }
    let path = path.strip_prefix("/v1/").ok_or_else(unknown)?;
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Refusal::bad_request("relative paths not supported"));
    }
    let mut query = Query::parse(query.unwrap_or_default())?;
    let route = if let Some(path) = path.strip_prefix("vaultgram/rotate/") {
        mounted::rotate(method, path, mounts)?
    } else {
        match system::route(method, path, &mut query)? {
            Some(route) => route,
            None => mounted::route(method, path, &mut query, mounts)?,
        }
    };
    query.finish()?;
    Ok(route)
}

/// `route`, if `method` is one of those in `allow`.
pub(super) fn only(method: &Method, allow: &'static str, route: Route) -> Result<Route, Refusal> {
    if allow.split(", ").any(|allowed| allowed == method.as_str()) {
        return Ok(route);
    }
    Err(Refusal::method(allow))
}

fn malformed(error: PathError) -> Refusal {
    Refusal::bad_request(error.to_string())
}

fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no handler for this route; docs/vault-api.md lists what vaultgram serves",
    )
}
