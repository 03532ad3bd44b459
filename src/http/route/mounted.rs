//! What is asked of a mount, in the way its kind is asked.

use hyper::Method;

use super::{Route, VersionVerb, malformed, only, unknown};
use crate::domain::secret_path::check_field;
use crate::domain::{MountKind, Mounts, SecretPath, Target};
use crate::http::error::Refusal;
use crate::http::query::Query;

/// What `path` asks for, if it is in one of `mounts`.
pub(super) fn route(
    method: &Method,
    path: &str,
    query: &mut Query,
    mounts: &Mounts,
) -> Result<Route, Refusal> {
    let (mount, path) = mounts.split(path).ok_or_else(unknown)?;
    let kind = mounts.kind(mount).ok_or_else(unknown)?;
    if kind == MountKind::Kv2 {
        return versioned(method, mount, path, query);
    }
    if asks_for_names(method, query)? {
        return names(mount, path, query);
    }
    if path.is_empty() {
        return Err(unknown());
    }
    let engine = kind == MountKind::Engine;
    match method {
        &Method::GET => target(mount, path, query).map(Route::Read),
        &Method::POST | &Method::PUT if engine => target(mount, path, query).map(Route::Invoke),
        _ if engine => Err(Refusal::method("GET, LIST, POST, PUT")),
        &Method::POST | &Method::PUT => whole(mount, path).map(Route::PutPlain),
        &Method::DELETE => whole(mount, path).map(Route::Delete),
        _ => Err(Refusal::method("GET, LIST, POST, PUT, DELETE")),
    }
}

/// In a mount of KV version 2 the first word says what of a secret is meant.
fn versioned(
    method: &Method,
    mount: &str,
    path: &str,
    query: &mut Query,
) -> Result<Route, Refusal> {
    let (what, path) = path.split_once('/').unwrap_or((path, ""));
    let verb = match what {
        "metadata" => {
            if asks_for_names(method, query)? {
                return names(mount, path, query);
            }
            return match method {
                &Method::GET => whole(mount, path).map(Route::Metadata),
                _ => Err(Refusal {
                    message: Some(
                        "unsupported operation; vaultgram changes no metadata: use Vault itself"
                            .to_owned(),
                    ),
                    ..Refusal::method("GET, LIST")
                }),
            };
        }
        // As Vault answers the folder itself.
        "data" if path.is_empty() => return Err(Refusal::nothing()),
        "data" => {
            return match method {
                &Method::GET => target(mount, path, query).map(Route::Read),
                &Method::POST | &Method::PUT => whole(mount, path).map(Route::Put),
                &Method::PATCH => whole(mount, path).map(Route::Patch),
                &Method::DELETE => whole(mount, path).map(Route::Delete),
                _ => Err(Refusal::method("GET, POST, PUT, PATCH, DELETE")),
            };
        }
        "delete" => VersionVerb::Delete,
        "undelete" => VersionVerb::Undelete,
        "destroy" => VersionVerb::Destroy,
        _ => return Err(unknown()),
    };
    only(
        method,
        "POST, PUT",
        Route::Versions(verb, whole(mount, path)?),
    )
}

fn asks_for_names(method: &Method, query: &mut Query) -> Result<bool, Refusal> {
    match query.flag("list")? {
        None | Some(false) => Ok(method.as_str() == "LIST"),
        Some(true) if method == Method::GET => Ok(true),
        Some(true) => Err(Refusal::bad_request("list: only with GET")),
    }
}

fn names(mount: &str, path: &str, query: &mut Query) -> Result<Route, Refusal> {
    let folder = SecretPath::folder(mount, path).map_err(malformed)?;
    Ok(Route::List(all_of(folder), query.page()?))
}

fn target(mount: &str, path: &str, query: &mut Query) -> Result<Target, Refusal> {
    let version = query.take("version").map(|text| text.parse::<u64>());
    let version = version
        .transpose()
        .map_err(|_| Refusal::bad_request("version: not a whole number"))?
        // Vault's word for the newest.
        .filter(|version| *version > 0);
    let field = query.take("field");
    let field = field.as_deref().map(check_field).transpose();
    Ok(Target {
        path: SecretPath::new(mount, path).map_err(malformed)?,
        field: field.map_err(malformed)?,
        version,
    })
}

/// What is about a secret as such: it has no field and no version.
fn whole(mount: &str, path: &str) -> Result<Target, Refusal> {
    SecretPath::new(mount, path).map(all_of).map_err(malformed)
}

fn all_of(path: SecretPath) -> Target {
    Target {
        path,
        field: None,
        version: None,
    }
}
