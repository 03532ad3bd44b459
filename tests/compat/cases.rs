//! The table: what is asked on both sides, in order, and where the answers differ by design.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pair::Request;

/// One request. `{NAME}` in it stands for what an answer before it held.
pub(crate) struct Case {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: &'static str,
    keeps: Vec<(&'static str, &'static str)>,
    /// Why the answers are not the same.
    pub(crate) differs: Option<&'static str>,
}

impl Case {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Keeps what is at `pointer` in the answer under `name`.
    fn keeps(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.keeps.push((name, pointer));
        self
    }

    fn differs(mut self, why: &'static str) -> Self {
        self.differs = Some(why);
        self
    }

    pub(crate) fn request(&self, kept: &BTreeMap<&'static str, String>) -> Request<'static> {
        let filled = |text: &str| {
            let all = kept.iter();
            all.fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            })
        };
        let headers = self.headers.iter();
        Request {
            method: self.method,
            path: filled(self.path),
            headers: headers
                .map(|(name, value)| (*name, filled(value)))
                .collect(),
            body: filled(self.body),
        }
    }

    pub(crate) fn keep(&self, answer: &Value, kept: &mut BTreeMap<&'static str, String>) {
        for (name, pointer) in &self.keeps {
            let value = answer.pointer(pointer).and_then(Value::as_str);
            kept.insert(
                name,
                value
                    .unwrap_or_else(|| panic!("{pointer}: {answer}"))
                    .to_owned(),
            );
        }
    }

    /// As the documentation has it.
    pub(crate) fn label(&self) -> String {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| format!("`{name}: {value}`"))
            .collect();
        let body = Some(self.body).filter(|body| !body.is_empty());
        let body = body.map(|body| format!("`{body}`"));
        let request = format!("`{} {}`", self.method, self.path);
        let parts = std::iter::once(request).chain(headers).chain(body);
        parts.collect::<Vec<_>>().join(" ")
    }
}

fn case(method: &'static str, path: &'static str, body: &'static str) -> Case {
    Case {
        method,
        path,
        headers: vec![],
        body,
        keeps: vec![],
        differs: None,
    }
}

fn get(path: &'static str) -> Case {
    case("GET", path, "")
}

fn put(path: &'static str, body: &'static str) -> Case {
    case("PUT", path, body)
}

fn post(path: &'static str, body: &'static str) -> Case {
    case("POST", path, body)
}

fn patch(path: &'static str, body: &'static str) -> Case {
    case("PATCH", path, body).with("Content-Type", "application/merge-patch+json")
}

const NO_METADATA: &str = "405: vaultgram changes no metadata";
const ONE_BY_ONE: &str = "405: leases are revoked one by one";
const NOT_SERVED: &str = "404: not served";
const OWN_TOKEN: &str = "the caller is known by the kernel, and has no token";
const STRICT: &str = "400: what would be ignored is refused";

/// The whole table.
pub(crate) fn cases() -> Vec<Case> {
    [
        reading(),
        writing(),
        versions(),
        plain(),
        engines(),
        wrapping(),
        server(),
        caller(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn reading() -> Vec<Case> {
    vec![
        get("secret/data/app/db"),
        get("secret/data/app/db?version=1"),
        get("secret/data/app/db?version=0"),
        get("secret/data/app/db?version=99"),
        get("secret/data/app/db?version=x").differs("400 in words of our own"),
        get("secret/data/app/db?foo=bar").differs(STRICT),
        get("secret/data/app/gone"),
        get("secret/data/app/destroyed"),
        get("secret/data/app/none"),
        get("secret/data/private/key"),
        get("secret/data/app/a%20b").differs("400: no such characters in paths"),
        get("secret/subkeys/app/db").differs(NOT_SERVED),
        get("secret/config").differs(NOT_SERVED),
        get("nomount/data/app").differs("404 in words of our own"),
        case("LIST", "secret/metadata/app", ""),
        get("secret/metadata/app?list=true"),
        get("secret/metadata/app?list=True"),
        get("secret/metadata/app?list=1"),
        get("secret/metadata/app?list=true&after=db&limit=2"),
        get("secret/metadata/none?list=true"),
        get("secret/metadata/private?list=true"),
        get("secret/metadata/app/db").differs(
            "without `current_metadata_version` and `metadata_cas_required`, which Vault does not have either",
        ),
        get("secret/metadata/app/none"),
        get("secret/metadata/private/key"),
        get("secret/data/app/db").with("X-Vault-Namespace", "root/"),
        get("secret/data/app/db").with("X-Vault-Namespace", "ns1/").differs(
            "400: one namespace is served, where OpenBao says 404",
        ),
        case("HEAD", "secret/data/app/db", "").differs("405, where OpenBao says 403"),
    ]
}

fn writing() -> Vec<Case> {
    vec![
        put(
            "secret/data/app/new",
            r#"{"data":{"a":"1","b":"2"},"options":{}}"#,
        ),
        post("secret/data/app/new", r#"{"data":{"a":"2","b":{"x":"1"}}}"#),
        put(
            "secret/data/app/new",
            r#"{"data":{"a":"3"},"options":{"cas":0}}"#,
        ),
        put(
            "secret/data/app/new",
            r#"{"data":{"a":"3","b":{"x":"1"}},"options":{"cas":"2"}}"#,
        ),
        put(
            "secret/data/app/db",
            r#"{"data":{"username":"u4","password":"p"}}"#,
        ),
        put("secret/data/app/strict", r#"{"data":{"a":"1"}}"#),
        put(
            "secret/data/app/strict",
            r#"{"data":{"a":"1"},"options":{"cas":1}}"#,
        ),
        put("secret/data/app/new", ""),
        put("secret/data/app/new", "{}"),
        put("secret/data/app/new", r#"{"data":"x"}"#).differs("400 in words of our own"),
        put("secret/data/app/odd", r#"{"data":{}}"#).differs("400: there is nothing to write"),
        put("secret/data/app/odd", r#"{"data":{"a":"1"},"x":"y"}"#).differs(STRICT),
        put("secret/data/private/key", r#"{"data":{"a":"1"}}"#),
        patch("secret/data/app/new", r#"{"data":{"b":{"y":"2"},"c":"4"}}"#),
        get("secret/data/app/new"),
        patch(
            "secret/data/app/new",
            r#"{"data":{"c":null},"options":{"cas":4}}"#,
        ),
        get("secret/data/app/new"),
        patch(
            "secret/data/app/new",
            r#"{"data":{"c":"1"},"options":{"cas":1}}"#,
        ),
        patch("secret/data/app/none", r#"{"data":{"c":"1"}}"#)
            .differs("404 with `{\"errors\":[]}`, where OpenBao sends no body"),
        patch("secret/data/app/gone", r#"{"data":{"c":"1"}}"#),
        patch("secret/data/private/key", r#"{"data":{"c":"1"}}"#),
        case("PATCH", "secret/data/app/new", r#"{"data":{"c":"1"}}"#)
            .differs("415, where OpenBao says 400"),
        case("PATCH", "secret/data/app/new", r#"{"data":{"c":"1"}}"#)
            .with("Content-Type", "application/json"),
        put("secret/metadata/app/new", r#"{"max_versions":5}"#).differs(NO_METADATA),
        patch("secret/metadata/app/new", r#"{"max_versions":5}"#).differs(NO_METADATA),
        case("DELETE", "secret/metadata/app/doomed", "").differs(NO_METADATA),
    ]
}

fn versions() -> Vec<Case> {
    vec![
        case("DELETE", "secret/data/app/new", ""),
        case("DELETE", "secret/data/app/new", ""),
        case("DELETE", "secret/data/app/none", ""),
        case("DELETE", "secret/data/private/key", ""),
        get("secret/data/app/new"),
        put("secret/undelete/app/new", r#"{"versions":["5"]}"#),
        put("secret/undelete/app/new", r#"{"versions":[5,99]}"#),
        get("secret/data/app/new"),
        post("secret/delete/app/new", r#"{"versions":[1,2]}"#),
        put("secret/delete/app/new", r#"{"versions":"2,3"}"#),
        put("secret/delete/app/new", "{}"),
        put("secret/delete/app/none", r#"{"versions":[1]}"#),
        put("secret/destroy/app/new", r#"{"versions":["1"]}"#),
        put("secret/destroy/app/new", r#"{"versions":[1,99]}"#),
        put("secret/destroy/app/none", r#"{"versions":[1]}"#),
        get("secret/data/app/new?version=1"),
        get("secret/data/app/new?version=2"),
        put("secret/destroy/app/new", r#"{"versions":["x"]}"#).differs("400 in words of our own"),
    ]
}

fn plain() -> Vec<Case> {
    vec![
        get("legacy/app/db")
            .differs("`lease_duration` is 0: vaultgram names no time to read it again"),
        get("legacy/app/none"),
        case("LIST", "legacy/app", ""),
        get("legacy/app?list=true"),
        put("legacy/app/x", r#"{"a":"1"}"#),
        post("legacy/app/x", r#"{"a":"2"}"#),
        put("legacy/app/x", "{}"),
        put("legacy/app/x", ""),
        patch("legacy/app/x", r#"{"a":"1"}"#).differs("405, and what would be right"),
        case("DELETE", "legacy/app/x", ""),
        case("DELETE", "legacy/app/x", ""),
    ]
}

fn engines() -> Vec<Case> {
    vec![
        put("transit/encrypt/mail", r#"{"plaintext":"aGk="}"#)
            .keeps("ciphertext", "/data/ciphertext"),
        post("transit/decrypt/mail", r#"{"ciphertext":"{ciphertext}"}"#),
        put("transit/encrypt/mail", r#"{"plaintext":"%"}"#),
        put("transit/encrypt/none", r#"{"plaintext":"aGk="}"#),
        case("LIST", "transit/keys", ""),
        get("transit/keys?list=true"),
        put(
            "pki/issue/web",
            r#"{"common_name":"x.example.org","ttl":"10m"}"#,
        )
        .keeps("lease", "/lease_id"),
        put("sys/leases/lookup", r#"{"lease_id":"{lease}"}"#),
        put("sys/leases/lookup", r#"{"lease_id":"none"}"#),
        put("sys/leases/lookup", "{}"),
        put(
            "sys/leases/renew",
            r#"{"lease_id":"{lease}","increment":1200}"#,
        ),
        put("sys/leases/renew", r#"{"lease_id":"none","increment":0}"#),
        put("sys/leases/revoke/{lease}", r#"{"sync":false}"#)
            .differs("204: it is revoked by then, which OpenBao only promises"),
        put("sys/leases/revoke", r#"{"lease_id":"none"}"#),
        put("sys/leases/revoke-prefix/pki/issue/web", r#"{"sync":true}"#).differs(ONE_BY_ONE),
        put("sys/leases/revoke-force/pki/issue/web", "").differs(ONE_BY_ONE),
    ]
}

fn wrapping() -> Vec<Case> {
    vec![
        get("secret/data/app/other")
            .with("X-Vault-Wrap-TTL", "1m0s")
            .keeps("token", "/wrap_info/token"),
        put("sys/wrapping/lookup", r#"{"token":"{token}"}"#),
        put("sys/wrapping/unwrap", r#"{"token":"{token}"}"#),
        put("sys/wrapping/unwrap", r#"{"token":"{token}"}"#),
        put("sys/wrapping/lookup", r#"{"token":"{token}"}"#),
        get("secret/data/app/other")
            .with("X-Vault-Wrap-TTL", "60")
            .keeps("token", "/wrap_info/token"),
        post("sys/wrapping/unwrap", "").with("X-Vault-Token", "{token}"),
        put("transit/encrypt/mail", r#"{"plaintext":"aGk="}"#)
            .with("X-Vault-Wrap-TTL", "60s")
            .keeps("token", "/wrap_info/token"),
        put("sys/wrapping/unwrap", r#"{"token":"{token}"}"#),
        get("secret/data/app/other").with("X-Vault-Wrap-TTL", "0"),
        get("secret/data/app/other")
            .with("X-Vault-Wrap-TTL", "junk")
            .differs("400 in words of our own"),
        get("secret/data/private/key").with("X-Vault-Wrap-TTL", "60"),
        get("secret/metadata/app?list=true")
            .with("X-Vault-Wrap-TTL", "60")
            .differs("400: what is read or invoked is wrapped, and nothing else"),
        put("sys/wrapping/wrap", r#"{"a":"b"}"#)
            .with("X-Vault-Wrap-TTL", "60")
            .differs("405: what vaultgram reads is wrapped, not what is sent"),
    ]
}

fn server() -> Vec<Case> {
    vec![
        get("sys/health").differs("with `performance_standby`, as Vault has it, and `store`"),
        case("HEAD", "sys/health", ""),
        get("sys/seal-status").differs("no keys are counted: nothing is unsealed here"),
        get("sys/leader"),
        get("sys/init"),
        get("sys/internal/ui/mounts/secret/app/db"),
        get("sys/internal/ui/mounts/legacy/app/db"),
        get("sys/internal/ui/mounts/nomount/x"),
        get("sys/mounts")
            .differs("those that are configured; of other engines than KV the `type` is `engine`"),
        get("sys/auth").differs(NOT_SERVED),
        get("sys/policies/acl?list=true").differs(NOT_SERVED),
        case("FOO", "sys/leader", "").differs("405, and what would be right"),
    ]
}

fn caller() -> Vec<Case> {
    vec![
        post(
            "sys/capabilities-self",
            r#"{"paths":["secret/data/app/db"]}"#,
        )
        .differs("without `list`: below `data` nothing is listed"),
        post(
            "sys/capabilities-self",
            r#"{"path":"secret/data/private/key"}"#,
        ),
        post(
            "sys/capabilities-self",
            r#"{"paths":["sys/leader","secret/data/private/key"]}"#,
        )
        .differs("`sys` is read by everybody"),
        post(
            "sys/capabilities",
            r#"{"path":"secret/data/app/db","token":"x"}"#,
        )
        .differs(OWN_TOKEN),
        get("auth/token/lookup-self").differs(OWN_TOKEN),
        post("auth/token/lookup", r#"{"token":"x"}"#).differs(OWN_TOKEN),
        post("auth/token/create", "{}").differs(OWN_TOKEN),
        put("auth/token/renew-self", "{}"),
        put("auth/token/revoke-self", ""),
    ]
}

/// Asked when both servers are sealed.
pub(crate) fn sealed() -> Vec<Case> {
    vec![
        get("secret/data/app/db"),
        get("sys/health")
            .differs("with `performance_standby` and `store`, and without a version; no standby"),
        get("sys/seal-status").differs("no keys are counted, and there is no version"),
        get("sys/init"),
        get("auth/token/lookup-self").differs(OWN_TOKEN),
        get("sys/internal/ui/mounts/secret/app/db").differs("200: vaultgram knows its mounts"),
    ]
}
