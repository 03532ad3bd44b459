//! What a request is for: its method, path and query, parsed strictly. Pure.

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};

use crate::domain::secret_path::check_field;
use crate::domain::{Mounts, SecretPath, Target};
use crate::http::error::Refusal;

/// Most parameters a query may have.
const MAX_PARAMETERS: usize = 16;

/// Parameters of Vault's `sys/health` that ask about standbys: there are none here.
const STANDBY_PARAMETERS: [&str; 7] = [
    "standbyok",
    "perfstandbyok",
    "standbycode",
    "drsecondarycode",
    "performancestandbycode",
    "haunhealthycode",
    "removedcode",
];

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A secret's values.
    Read(Target),
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
    /// Open the lock on chat: our own addition, and the one thing that is done and not read.
    Unlock,
}

/// The statuses `sys/health` answers with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HealthCodes {
    pub(super) active: StatusCode,
    pub(super) sealed: StatusCode,
    pub(super) uninitialized: StatusCode,
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
    } else if path == "sys/metrics" {
        metrics_route(&mut query)?
    } else if let Some(path) = path.strip_prefix("sys/internal/ui/mounts/") {
        mount_route(path, &mut query)?
    } else {
        read_route(path, &mut query, mounts)?
    };
    query.finish()?;
    let head = matches!(route, Route::Health(_)) && method == Method::HEAD;
    let once = match route {
        Route::Unlock => Some("to unlock chat, use POST, or run: vaultgram unlock"),
        Route::Collect(_) => Some("this works once: use POST, or run: vaultgram collect"),
        Route::Read(_)
        | Route::Mount { .. }
        | Route::Health(_)
        | Route::LookupSelf
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
        let why = "vaultgram only reads: use GET; to write, use Vault itself";
        Err(Refusal::method("GET", why))
    }
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

fn read_route(path: &str, query: &mut Query, mounts: &Mounts) -> Result<Route, Refusal> {
    let Some((mount, rest)) = mounts.split(path) else {
        return Err(unknown());
    };
    let Some(path) = rest.strip_prefix("data/") else {
        return Err(unknown());
    };
    if path.is_empty() {
        // As Vault answers the folder itself.
        return Err(Refusal {
            status: StatusCode::NOT_FOUND,
            message: None,
            allow: None,
        });
    }
    let version = query.take("version").map(|text| text.parse::<u64>());
    let version = version
        .transpose()
        .map_err(|_| Refusal::bad_request("version: not a whole number"))?
        // Vault's word for the newest.
        .filter(|version| *version > 0);
    let field = query.take("field");
    let field = field.as_deref().map(check_field).transpose();
    Ok(Route::Read(Target {
        path: SecretPath::new(mount, path).map_err(malformed)?,
        field: field.map_err(malformed)?,
        version,
    }))
}

fn malformed(error: crate::domain::PathError) -> Refusal {
    Refusal::bad_request(error.to_string())
}

fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no handler for this route; vaultgram serves GET /v1/MOUNT/data/PATH of its configured \
         mounts, sys/internal/ui/mounts/PATH, sys/health, sys/metrics and auth/token/lookup-self, \
         and POST /v1/vaultgram/collect/CODE",
    )
}

/// A path without its percent-encoding. A slash must not hide behind one.
fn decode_path(text: &str) -> Result<String, Refusal> {
    decode(text, |byte| match byte {
        b'/' => Err(Refusal::bad_request("the path holds an encoded slash")),
        byte => Ok(byte),
    })
}

/// Takes percent-encoding away; `check` sees each byte that was encoded.
fn decode(text: &str, check: impl Fn(u8) -> Result<u8, Refusal>) -> Result<String, Refusal> {
    let broken = || Refusal::bad_request("broken percent-encoding");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || {
                bytes
                    .next()
                    .and_then(|digit| char::from(digit).to_digit(16))
            };
            let (high, low) = digit().zip(digit()).ok_or_else(broken)?;
            let value = u8::try_from(high * 16 + low).map_err(|_| broken())?;
            decoded.push(check(value)?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).map_err(|_| broken())
}

/// The parameters of a query; each is taken once, and what is left over is an error.
struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut parameters = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| decode(&text.replace('+', " "), Ok);
            if parameters.insert(plain(name)?, plain(value)?).is_some() {
                return Err(Refusal::bad_request("a query parameter is given twice"));
            }
            if parameters.len() > MAX_PARAMETERS {
                return Err(Refusal::bad_request("too many query parameters"));
            }
        }
        Ok(Self(parameters))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn health_codes(&mut self) -> Result<HealthCodes, Refusal> {
        for name in STANDBY_PARAMETERS {
            self.take(name);
        }
        let mut code = |name: &str, default| match self.take(name) {
            None => Ok(default),
            Some(text) => text
                .parse::<u16>()
                .ok()
                .filter(|code| (200..600).contains(code))
                .and_then(|code| StatusCode::from_u16(code).ok())
                .ok_or_else(|| Refusal::bad_request(format!("{name}: not a status code"))),
        };
        Ok(HealthCodes {
            active: code("activecode", StatusCode::OK)?,
            sealed: code("sealedcode", StatusCode::SERVICE_UNAVAILABLE)?,
            uninitialized: code("uninitcode", StatusCode::NOT_IMPLEMENTED)?,
        })
    }

    /// Refuses parameters nobody took: what a caller means by them must not be ignored.
    fn finish(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Refusal::bad_request(
            "unknown query parameter; known for data: version, field",
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mounts() -> Mounts {
        Mounts::new(vec!["secret".to_owned(), "team/kv".to_owned()]).unwrap()
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
