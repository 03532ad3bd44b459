//! What is asked for, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::domain::MountKind;

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
        ("/v1/secret/subkeys/a", 404),
        ("/v1/secret/config", 404),
        ("/v1/secret/metadata/", 400),
        ("/v1/secret/metadata/a?version=1", 400),
        ("/v1/secret/delete/a", 405),
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
        ("/v1/sys/internal/ui/mounts/a?default_mount=yes", 400),
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
fn each_kind_of_mount_is_asked_in_its_own_way() {
    let ask = |method: &str, target: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        match route(&method, path, query, &mounts()) {
            Ok(Route::Read(target)) => format!("read {target}"),
            Ok(Route::List(target, _)) => format!("list {target}"),
            Ok(Route::Invoke(target)) => format!("invoke {target}"),
            Ok(Route::Metadata(target)) => format!("metadata {target}"),
            Ok(Route::Put(target) | Route::PutPlain(target)) => format!("put {target}"),
            Ok(Route::Patch(target)) => format!("patch {target}"),
            Ok(Route::Delete(target)) => format!("delete {target}"),
            Ok(Route::Versions(verb, target)) => format!("{verb:?} {target}"),
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
        ("GET", "/v1/secret/metadata?list=True", "list secret"),
        ("GET", "/v1/secret/metadata/a?list=0", "metadata secret/a"),
        ("GET", "/v1/secret/metadata/a", "metadata secret/a"),
        ("POST", "/v1/secret/metadata/a", "405"),
        ("PATCH", "/v1/secret/metadata/a", "405"),
        ("DELETE", "/v1/secret/metadata/a", "405"),
        ("PUT", "/v1/secret/delete/a", "Delete secret/a"),
        ("POST", "/v1/secret/undelete/a", "Undelete secret/a"),
        ("POST", "/v1/secret/destroy/a/b", "Destroy secret/a/b"),
        ("DELETE", "/v1/secret/destroy/a", "405"),
        ("POST", "/v1/secret/metadata/a?list=true", "400"),
        ("PUT", "/v1/secret/data/a", "put secret/a"),
        ("POST", "/v1/secret/data/a", "put secret/a"),
        ("POST", "/v1/secret/data/a?version=1", "400"),
        ("PATCH", "/v1/secret/data/a", "patch secret/a"),
        ("DELETE", "/v1/secret/data/a", "delete secret/a"),
        ("HEAD", "/v1/secret/data/a", "405"),
        ("LIST", "/v1/secret/data/a", "405"),
        ("GET", "/v1/old/a/b", "read old/a/b"),
        ("GET", "/v1/old?list=true", "list old"),
        ("LIST", "/v1/old/a/", "list old/a"),
        ("PUT", "/v1/old/a", "put old/a"),
        ("POST", "/v1/old/a", "put old/a"),
        ("DELETE", "/v1/old/a", "delete old/a"),
        ("PATCH", "/v1/old/a", "405"),
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
        ("/v1/sys/leases/revoke-prefix/a", "405"),
        ("/v1/sys/leases/tidy", "405"),
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
fn the_server_is_asked_as_vault_is() {
    for (method, path, wanted) in [
        ("GET", "seal-status", Ok(Route::SealStatus)),
        ("GET", "leader", Ok(Route::Leader)),
        ("GET", "init", Ok(Route::Init)),
        ("PUT", "init", Err(405)),
        ("HEAD", "seal-status", Err(405)),
        ("GET", "mounts", Ok(Route::Mounts)),
        ("POST", "mounts/x", Err(404)),
        ("POST", "capabilities-self", Ok(Route::Capabilities)),
        ("PUT", "capabilities", Err(403)),
        ("PUT", "wrapping/lookup", Ok(Route::LookAtWrapped)),
        ("POST", "wrapping/unwrap", Ok(Route::Unwrap)),
        ("GET", "wrapping/unwrap", Err(405)),
        ("PUT", "wrapping/wrap", Err(405)),
        ("POST", "wrapping/rewrap", Err(405)),
        ("GET", "../auth/token/lookup-self", Err(400)),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = route(&method, &format!("/v1/sys/{path}"), None, &mounts());
        let found = found.map_err(|refusal| refusal.status.as_u16());
        assert_eq!(found, wanted, "{method} {path}");
    }
    let auth = |method: &Method, path: &str| {
        let path = format!("/v1/auth/token/{path}");
        let found = route(method, &path, None, &mounts());
        found.map_err(|refusal| (refusal.status.as_u16(), refusal.message.unwrap()))
    };
    assert_eq!(auth(&Method::POST, "revoke-self"), Ok(Route::RevokeSelf));
    let eternal = Err((400, "lease is not renewable".to_owned()));
    assert_eq!(auth(&Method::PUT, "renew-self"), eternal);
    for path in ["lookup", "create"] {
        assert_eq!(auth(&Method::POST, path).unwrap_err().0, 403);
    }
}

#[test]
fn a_list_comes_in_pages() {
    let page = |query: &str| match get(&format!("/v1/old/a?list=true&{query}")) {
        Ok(Route::List(_, page)) => {
            let mut names = ["a", "b/", "c"].map(str::to_owned).to_vec();
            page.cut(&mut names);
            names.concat()
        }
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => refusal.status.as_u16().to_string(),
    };
    for (query, wanted) in [
        ("", "ab/c"),
        ("limit=-1", "ab/c"),
        ("limit=2", "ab/"),
        ("after=a", "b/c"),
        ("after=a&limit=1", "b/"),
        ("after=x", ""),
        ("limit=many", "400"),
    ] {
        assert_eq!(page(query), wanted, "{query}");
    }
    assert!(get("/v1/old/a?limit=1").is_err());
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
