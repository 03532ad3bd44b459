//! What a request is for: its method, path and query, parsed strictly. Pure.

use hyper::{Method, StatusCode};

use crate::domain::secret_path::check_field;
use crate::domain::{MountKind, Mounts, SecretPath, Target};
use crate::http::error::Refusal;
use crate::http::leases::{self, LeaseRef, LeaseVerb};
use crate::http::query::{HealthCodes, Query, decode_path};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A secret's values.
    Read(Target),
    /// The names in a folder.
    List(Target),
    /// Something an engine does, with the parameters in the body.
    Invoke(Target),
    /// The mount a path is in.
    Mount {
        /// The path, with or without its mount.
        path: String,
        /// Our own addition: answer the default mount where the path begins with none.
        or_default: bool,
    },
    /// The state of the store.
    Health(HealthCodes),
    /// Who the caller is.
    LookupSelf,
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
}

/// Finds out what `method`, `path` and `query` ask for.
///
/// # Errors
/// Malformed, unknown, or not a read.
pub(super) fn route(
    method: &Method,
    path: &str,
    query: Option<&str>,
    mounts: &Mounts,
) -> Result<Route, Refusal> {
    let path = decode_path(path)?;
    let Some(path) = path.strip_prefix("/v1/") else {
        return Err(unknown());
    };
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Refusal::bad_request("relative paths not supported"));
    }
    let mut query = Query::parse(query.unwrap_or_default())?;
    let route = if path == "sys/health" {
        Route::Health(query.health_codes()?)
    } else if path == "auth/token/lookup-self" {
        Route::LookupSelf
    } else if let Some(code) = path.strip_prefix("vaultgram/collect/") {
        Route::Collect(code.to_owned())
    } else if path == "vaultgram/unlock" {
        Route::Unlock
    } else if path == "vaultgram/leases" {
        Route::Leases
    } else if let Some(path) = path.strip_prefix("vaultgram/leases/") {
        leases::own_route(path).ok_or_else(unknown)?
    } else if let Some(path) = path.strip_prefix("sys/leases/") {
        leases::route(path).ok_or_else(unknown)?
    } else if path == "sys/metrics" {
        metrics_route(&mut query)?
    } else if let Some(path) = path.strip_prefix("sys/internal/ui/mounts/") {
        mount_route(path, &mut query)?
    } else {
        let route = secret_route(method, path, &mut query, mounts)?;
        query.finish()?;
        return Ok(route);
    };
    query.finish()?;
    let head = matches!(route, Route::Health(_)) && method == Method::HEAD;
    if let Route::Lease(..) = route {
        let why = "this does something: use POST or PUT";
        return match method {
            &Method::POST | &Method::PUT => Ok(route),
            _ => Err(Refusal::method("POST, PUT", why)),
        };
    }
    let once = match route {
        Route::Unlock => Some("to unlock chat, use POST, or run: vaultgram unlock"),
        Route::Collect(_) => Some("this works once: use POST, or run: vaultgram collect"),
        Route::Read(_)
        | Route::List(_)
        | Route::Invoke(_)
        | Route::Mount { .. }
        | Route::Health(_)
        | Route::LookupSelf
        | Route::Leases
        | Route::Lease(..)
        | Route::Metrics => None,
    };
    if let Some(instead) = once {
        return match method {
            &Method::POST => Ok(route),
            _ => Err(Refusal::method("POST", instead)),
        };
    }
    if method == Method::GET || head {
        Ok(route)
    } else {
        Err(not_written("GET"))
    }
}

/// What is only read.
fn not_written(allow: &'static str) -> Refusal {
    let why = "vaultgram only reads: use GET; to write, use Vault itself";
    Refusal::method(allow, why)
}

/// Vault has more formats; scrapers ask for this one.
fn metrics_route(query: &mut Query) -> Result<Route, Refusal> {
    match query.take("format").as_deref() {
        Some("prometheus") => Ok(Route::Metrics),
        Some(_) | None => Err(Refusal::bad_request(
            "format: only \"prometheus\" is served; ask for sys/metrics?format=prometheus",
        )),
    }
}

fn mount_route(path: &str, query: &mut Query) -> Result<Route, Refusal> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "unsupported path"));
    }
    // Below a mount that need not be ours, to hold it to what paths may be.
    SecretPath::new("m", path).map_err(malformed)?;
    let or_default = match query.take("default_mount").as_deref() {
        None => false,
        Some("true") => true,
        Some(_) => {
            return Err(Refusal::bad_request(
                "default_mount: only \"true\" is known",
            ));
        }
    };
    Ok(Route::Mount {
        path: path.to_owned(),
        or_default,
    })
}

/// What is asked of a mount, in the way its kind is asked.
fn secret_route(
    method: &Method,
    path: &str,
    query: &mut Query,
    mounts: &Mounts,
) -> Result<Route, Refusal> {
    let Some((mount, rest)) = mounts.split(path) else {
        return Err(unknown());
    };
    let kind = mounts.kind(mount).ok_or_else(unknown)?;
    let asks_for_names = |query: &mut Query| match query.take("list").as_deref() {
        None | Some("false") => Ok(method.as_str() == "LIST"),
        Some("true") if method == Method::GET => Ok(true),
        Some(_) => Err(Refusal::bad_request(
            "list: only \"true\" is known, with GET",
        )),
    };
    match kind {
        MountKind::Kv2 => {
            let metadata = rest
                .strip_prefix("metadata")
                .filter(|rest| rest.is_empty() || rest.starts_with('/'));
            if let Some(folder) = metadata {
                if !asks_for_names(query)? {
                    return Err(unknown());
                }
                return names(mount, folder.strip_prefix('/').unwrap_or(folder));
            }
            let path = rest.strip_prefix("data/").ok_or_else(unknown)?;
            if method != Method::GET {
                return Err(not_written("GET"));
            }
            if path.is_empty() {
                // As Vault answers the folder itself.
                return Err(Refusal::nothing());
            }
            target(mount, path, query).map(Route::Read)
        }
        MountKind::Kv1 | MountKind::Engine => {
            if asks_for_names(query)? {
                return names(mount, rest);
            }
            if rest.is_empty() {
                return Err(unknown());
            }
            let invoked = method == Method::POST || method == Method::PUT;
            if method == Method::GET {
                target(mount, rest, query).map(Route::Read)
            } else if invoked && kind == MountKind::Engine {
                target(mount, rest, query).map(Route::Invoke)
            } else if kind == MountKind::Engine {
                let why = "vaultgram takes GET, LIST, POST and PUT here";
                Err(Refusal::method("GET, LIST, POST, PUT", why))
            } else {
                Err(not_written("GET, LIST"))
            }
        }
    }
}

fn names(mount: &str, path: &str) -> Result<Route, Refusal> {
    Ok(Route::List(Target {
        path: SecretPath::folder(mount, path).map_err(malformed)?,
        field: None,
        version: None,
    }))
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

fn malformed(error: crate::domain::PathError) -> Refusal {
    Refusal::bad_request(error.to_string())
}

fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no handler for this route; vaultgram serves GET /v1/MOUNT/data/PATH and LIST \
         /v1/MOUNT/metadata/PATH of its configured mounts of KV version 2, GET and LIST \
         /v1/MOUNT/PATH of others (and POST, where an engine is mounted), \
         sys/internal/ui/mounts/PATH, sys/health, sys/metrics, auth/token/lookup-self and vaultgram/leases, and POST \
         sys/leases/lookup, renew and revoke, and vaultgram/collect/CODE",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mounts() -> Mounts {
        Mounts::of(vec![
            ("secret".to_owned(), MountKind::Kv2),
            ("team/kv".to_owned(), MountKind::Kv2),
            ("old".to_owned(), MountKind::Kv1),
            ("pki".to_owned(), MountKind::Engine),
        ])
        .unwrap()
    }

    fn get(target: &str) -> Result<Route, Refusal> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        route(&Method::GET, path, query, &mounts())
    }

    fn read(target: &str) -> String {
        let route = get(target).unwrap();
        let Route::Read(target) = route else {
            panic!("{target}: {route:?}")
        };
        target.to_string()
    }

    #[test]
    fn reads_path_version_and_field() {
        for (request, target) in [
            ("/v1/secret/data/django/database", "secret/django/database"),
            ("/v1/team/kv/data/a?version=3", "team/kv/a@3"),
            ("/v1/secret/data/a?version=0", "secret/a"),
            ("/v1/secret/data/a?field=p%C3%BC&version=2", "secret/a#pü@2"),
            ("/v1/secret/data/%61%2D", "secret/a-"),
            ("/v1/secret/data/data/data", "secret/data/data"),
            ("/v1/old/data/a", "old/data/a"),
            ("/v1/pki/cert/17:3a", "pki/cert/17:3a"),
            (
                "/v1/pki/cert/ca?field=certificate",
                "pki/cert/ca#certificate",
            ),
            ("/v1/pki/a?version=2", "pki/a@2"),
        ] {
            assert_eq!(read(request), target);
        }
    }

    #[test]
    fn refuses_what_is_malformed_or_not_ours() {
        for (request, status) in [
            ("/", 404),
            ("/v1/", 404),
            ("/v2/secret/data/a", 404),
            ("/v1/secret", 404),
            ("/v1/secret/data", 404),
            ("/v1/secret/data/", 404),
            ("/v1/secret/metadata/a", 404),
            ("/v1/secretdata/a", 404),
            ("/v1/other/data/a", 404),
            ("/v1//secret/data/a", 404),
            ("/v1/sys/seal", 404),
            ("/v1/sys/health/", 404),
            ("/v1/secret/data/../../sys/health", 400),
            ("/v1/secret/data/%2e%2e/sys", 400),
            ("/v1/secret/data/a%2fb", 400),
            ("/v1/secret/data/a%2Fb", 400),
            ("/v1/secret/data/a%00b", 400),
            ("/v1/secret/data/a%E2%80%AEb", 400),
            ("/v1/secret/data/a%ff", 400),
            ("/v1/secret/data/a%2", 400),
            ("/v1/secret/data/a%+1", 400),
            ("/v1/secret/data/a//b", 400),
            ("/v1/secret/data/a/", 400),
            ("/v1/secret/data/a%20b", 400),
            ("/v1/secret/data/a?version=", 400),
            ("/v1/secret/data/a?version=-1", 400),
            ("/v1/secret/data/a?version=99999999999999999999", 400),
            ("/v1/secret/data/a?version=1&version=2", 400),
            ("/v1/secret/data/a?verson=1", 400),
            ("/v1/secret/data/a?list=true", 400),
            ("/v1/secret/data/a?field=", 400),
            ("/v1/secret/data/a?field=a+b", 400),
            ("/v1/secret/data/a?field=a%E2%80%AEb", 400),
            ("/v1/secret/metadata?list=maybe", 400),
            ("/v1/secret/metadatax?list=true", 404),
            ("/v1/pki", 404),
            ("/v1/pki/", 404),
            ("/v1/pki/a/", 400),
            ("/v1/pki/../sys/seal", 400),
            ("/v1/pki/a?ttl=1h", 400),
            ("/v1/auth/token/lookup-self?x", 400),
            ("/v1/sys/internal/ui/mounts/", 404),
            ("/v1/sys/internal/ui/mounts/a%22b", 400),
            ("/v1/sys/internal/ui/mounts/a?default_mount=1", 400),
            ("/v1/sys/health?sealedcode=99", 400),
            ("/v1/sys/health?sealedcode=600", 400),
        ] {
            let refusal = get(request).expect_err(request);
            assert_eq!(refusal.status.as_u16(), status, "{request}: {refusal:?}");
        }
        let many: Vec<String> = (0..40).map(|n| format!("a{n}=")).collect();
        let refusal = get(&format!("/v1/secret/data/a?{}", many.join("&"))).unwrap_err();
        assert_eq!(refusal.message.unwrap(), "too many query parameters");
    }

    #[test]
    fn only_reads() {
        let health = "/v1/sys/health";
        assert!(route(&Method::HEAD, health, None, &mounts()).is_ok());
        let list = Method::from_bytes(b"LIST").unwrap();
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::HEAD,
            list,
        ] {
            let refusal = route(&method, "/v1/secret/data/a", None, &mounts()).unwrap_err();
            assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    #[test]
    fn each_kind_of_mount_is_asked_in_its_own_way() {
        let ask = |method: &str, target: &str| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let (path, query) = match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (target, None),
            };
            match route(&method, path, query, &mounts()) {
                Ok(Route::Read(target)) => format!("read {target}"),
                Ok(Route::List(target)) => format!("list {target}"),
                Ok(Route::Invoke(target)) => format!("invoke {target}"),
                Ok(other) => panic!("{other:?}"),
                Err(refusal) => refusal.status.as_u16().to_string(),
            }
        };
        for (method, target, wanted) in [
            ("LIST", "/v1/secret/metadata/a", "list secret/a"),
            ("LIST", "/v1/secret/metadata/", "list secret"),
            ("GET", "/v1/secret/metadata?list=true", "list secret"),
            (
                "GET",
                "/v1/team/kv/metadata/a/b/?list=true",
                "list team/kv/a/b",
            ),
            ("POST", "/v1/secret/metadata/a", "404"),
            ("POST", "/v1/secret/metadata/a?list=true", "400"),
            ("PUT", "/v1/secret/data/a", "405"),
            ("LIST", "/v1/secret/data/a", "405"),
            ("GET", "/v1/old/a/b", "read old/a/b"),
            ("GET", "/v1/old?list=true", "list old"),
            ("LIST", "/v1/old/a/", "list old/a"),
            ("PUT", "/v1/old/a", "405"),
            ("DELETE", "/v1/old/a", "405"),
            ("GET", "/v1/pki/cert/ca", "read pki/cert/ca"),
            ("LIST", "/v1/pki/certs", "list pki/certs"),
            ("PUT", "/v1/pki/issue/web", "invoke pki/issue/web"),
            (
                "POST",
                "/v1/pki/issue/web?field=serial_number",
                "invoke pki/issue/web#serial_number",
            ),
            ("POST", "/v1/pki/issue/web?list=true", "400"),
            ("POST", "/v1/pki", "404"),
            ("DELETE", "/v1/pki/roles/web", "405"),
            ("HEAD", "/v1/pki/cert/ca", "405"),
        ] {
            assert_eq!(ask(method, target), wanted, "{method} {target}");
        }
    }

    #[test]
    fn leases_are_asked_for_in_vaults_words_and_in_ours() {
        let ask = |method: &Method, path: &str| match route(method, path, None, &mounts()) {
            Ok(Route::Lease(verb, lease)) => format!("{verb:?} {lease:?}"),
            Ok(other) => format!("{other:?}"),
            Err(refusal) => refusal.status.as_u16().to_string(),
        };
        for (path, wanted) in [
            ("/v1/sys/leases/lookup", "Lookup InBody"),
            (
                "/v1/sys/leases/renew/pki/issue/x",
                "Renew Id(\"pki/issue/x\")",
            ),
            ("/v1/sys/leases/revoke/a", "Revoke Id(\"a\")"),
            ("/v1/vaultgram/leases/K7Q2/keep", "Keep Code(\"K7Q2\")"),
            ("/v1/vaultgram/leases/K7Q2/revoke", "Revoke Code(\"K7Q2\")"),
            ("/v1/vaultgram/leases/K7Q2/renew", "404"),
            ("/v1/vaultgram/leases/K7Q2", "404"),
            ("/v1/vaultgram/leases", "405"),
            ("/v1/sys/leases/revoke-prefix/a", "404"),
            ("/v1/sys/leases/tidy", "404"),
            ("/v1/sys/leases/revoke/../x", "400"),
        ] {
            for method in [Method::POST, Method::PUT] {
                assert_eq!(ask(&method, path), wanted, "{method} {path}");
            }
        }
        assert_eq!(ask(&Method::GET, "/v1/vaultgram/leases"), "Leases");
        assert_eq!(ask(&Method::GET, "/v1/sys/leases/lookup"), "405");
        assert_eq!(ask(&Method::DELETE, "/v1/sys/leases/revoke/a"), "405");
    }

    #[test]
    fn health_codes_can_be_chosen() {
        let asked = "/v1/sys/health?standbyok=true&sealedcode=299&uninitcode=298&activecode=204";
        let Route::Health(codes) = get(asked).unwrap() else {
            panic!("not health")
        };
        let codes = [codes.active, codes.sealed, codes.uninitialized];
        assert_eq!(codes.map(|code| code.as_u16()), [204, 299, 298]);
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_only_what_is_well_formed(
            path in "(/v1/(secret|team/kv)/data/)?[a-z0-9%/.+\\PC]{0,40}",
            query in proptest::option::of("(version|field)?[=&%0-9a-zA-F+\\PC]{0,40}"),
        ) {
            if let Ok(Route::Read(target)) =
                route(&Method::GET, &path, query.as_deref(), &mounts())
            {
                prop_assert_eq!(mounts().parse(&target.to_string()).map(|t| t.path), Ok(target.path));
            }
        }
    }
}
