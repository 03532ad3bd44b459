//! The Vault policies we ship, tried with real tokens: each path, with every method.

use serde_json::{Value, json};

use crate::openbao::OpenBao;

/// The methods of a request, and those tried on each path. POST is "create" where there is
/// nothing yet and "update" elsewhere.
const METHODS: [&str; 5] = ["GET", "LIST", "POST", "PATCH", "DELETE"];

/// A policy file, and with which methods it lets its holder at which paths; with all others it
/// must not. Every path that the file names must be here.
struct Shipped {
    name: &'static str,
    rules: &'static str,
    paths: &'static [(&'static str, &'static [&'static str])],
}

/// What no policy of ours lets anybody do: grow beyond itself, or touch what others have.
const NOBODY: &[&str] = &[
    "auth/token/create",
    "auth/token/create-orphan",
    "auth/token/create/other",
    "auth/token/accessors",
    "auth/token/lookup",
    "auth/token/revoke",
    "auth/token/revoke-orphan",
    "auth/token/roles/other",
    "auth/approle/role/other",
    "auth/approle/role/other/secret-id",
    "identity/entity/id",
    "sys/audit/other",
    "sys/auth/other",
    "sys/mounts/other",
    "sys/policies/acl/other",
    "sys/raw/core",
    "sys/rotate/keyring",
    "sys/leases/lookup",
    "sys/leases/lookup/secret",
    "sys/leases/renew",
    "sys/leases/revoke",
    "sys/leases/revoke-prefix/secret",
    "other/data/app",
    "secret/config",
    "cubbyhole/app",
];

const SELF: [(&str, &[&str]); 3] = [
    ("auth/token/lookup-self", &["GET"]),
    ("auth/token/renew-self", &["POST"]),
    ("auth/token/revoke-self", &["POST"]),
];

const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "broker.hcl",
        rules: include_str!("../../policies/vault/broker.hcl"),
        paths: &[
            ("secret/data/app", &["GET", "POST", "PATCH"]),
            ("secret/data/new", &["GET", "POST", "PATCH"]),
            ("secret/metadata/app", &["GET", "LIST"]),
            ("secret/metadata", &["LIST"]),
            ("secret/delete/app", &["POST"]),
            ("secret/undelete/app", &["POST"]),
            ("secret/destroy/app", &[]),
            SELF[0],
            SELF[1],
            SELF[2],
            ("auth/token/create/developers", &["POST"]),
            ("auth/token/create/ci", &["POST"]),
            ("auth/token/roles/developers", &[]),
            ("auth/approle/role/vaultgram", &[]),
            ("sys/policies/acl/vaultgram", &[]),
            ("sys/audit", &[]),
        ],
    },
    Shipped {
        name: "developers.hcl",
        rules: include_str!("../../policies/vault/developers.hcl"),
        paths: &[
            ("secret/data/django/app", &["GET"]),
            ("secret/data/django/new", &["GET"]),
            ("secret/metadata/django/app", &["GET", "LIST"]),
            ("secret/metadata/django", &["LIST"]),
            SELF[0],
            SELF[1],
            SELF[2],
            ("secret/data/django", &[]),
            ("secret/data/app", &[]),
            ("secret/data/ci/app", &[]),
            ("secret/metadata", &[]),
            ("secret/metadata/app", &[]),
            ("secret/delete/django/app", &[]),
            ("secret/undelete/django/app", &[]),
            ("secret/destroy/django/app", &[]),
            ("auth/token/create/developers", &[]),
            ("auth/token/roles/developers", &[]),
            ("auth/approle/role/vaultgram", &[]),
            ("sys/policies/acl/developers", &[]),
            ("sys/audit", &[]),
        ],
    },
    Shipped {
        name: "ci.hcl",
        rules: include_str!("../../policies/vault/ci.hcl"),
        paths: &[
            ("secret/data/ci/app", &["GET", "PATCH"]),
            ("secret/data/ci/new", &["GET", "PATCH"]),
            ("secret/metadata/ci/app", &["GET"]),
            SELF[0],
            SELF[1],
            SELF[2],
            ("secret/data/app", &[]),
            ("secret/data/django/app", &[]),
            ("secret/metadata", &[]),
            ("secret/metadata/app", &[]),
            ("secret/delete/ci/app", &[]),
            ("secret/undelete/ci/app", &[]),
            ("secret/destroy/ci/app", &[]),
            ("auth/token/create/ci", &[]),
            ("auth/token/roles/ci", &[]),
            ("auth/approle/role/vaultgram", &[]),
            ("sys/policies/acl/ci", &[]),
            ("sys/audit", &[]),
        ],
    },
    Shipped {
        name: "operators.hcl",
        rules: include_str!("../../policies/vault/operators.hcl"),
        paths: &[
            ("auth/approle/role/vaultgram", &["GET", "POST"]),
            ("auth/approle/role/vaultgram/role-id", &["GET"]),
            ("auth/approle/role/vaultgram/secret-id", &["LIST", "POST"]),
            (
                "auth/approle/role/vaultgram/secret-id-accessor/lookup",
                &["POST"],
            ),
            (
                "auth/approle/role/vaultgram/secret-id-accessor/destroy",
                &["POST"],
            ),
            ("auth/token/roles", &["LIST"]),
            ("auth/token/roles/developers", &["GET", "POST", "DELETE"]),
            ("auth/token/roles/ci", &["GET", "POST", "DELETE"]),
            ("sys/policies/acl", &["LIST"]),
            ("sys/policies/acl/vaultgram", &["GET", "POST"]),
            ("sys/policies/acl/developers", &["GET", "POST"]),
            ("sys/policies/acl/ci", &["GET", "POST"]),
            ("sys/audit", &["GET"]),
            ("auth/token/create/developers", &[]),
            ("auth/token/lookup-self", &[]),
            ("secret/data/app", &[]),
            ("secret/data/django/app", &[]),
            ("secret/metadata", &[]),
            ("secret/metadata/app", &[]),
            ("secret/delete/app", &[]),
            ("secret/undelete/app", &[]),
            ("secret/destroy/app", &[]),
        ],
    },
];

/// What a request may need in its body to come as far as the question whether it may.
fn body(method: &str, path: &str) -> Value {
    match method {
        "POST" | "PATCH" if path.contains("/data/") => json!({"data": {"k": "v"}}),
        "POST" if path.starts_with("sys/policies/") => json!({"policy": ""}),
        "POST" => json!({}),
        _ => Value::Null,
    }
}

/// Whether a token that has the policy `tested` may.
fn may(bao: &OpenBao, method: &str, path: &str) -> bool {
    let token = bao.token(&json!({"policies": ["tested"], "no_default_policy": true}));
    let (status, answer) = bao.call_with(&token, method, path, &body(method, path));
    assert_ne!(status, 0, "no answer to {method} {path}");
    let denied = answer["errors"].to_string().contains("permission denied");
    assert_eq!(status == 403, denied, "{method} {path}: {status} {answer}");
    !denied
}

#[test]
fn each_policy_lets_its_holder_do_what_it_says_and_nothing_else() {
    let bao = OpenBao::start();
    for path in ["app", "django/app", "ci/app"] {
        bao.put(path, &json!({"k": "v"}));
    }
    bao.role("vaultgram", &json!({}));
    bao.role("other", &json!({}));
    let mut wrong = vec![];
    for Shipped { name, rules, paths } in SHIPPED {
        bao.policy("tested", rules);
        let nothing: &[&str] = &[];
        let nobody = NOBODY.iter().map(|path| (*path, nothing));
        for (path, allowed) in paths.iter().copied().chain(nobody) {
            for method in METHODS {
                let (may, should) = (may(&bao, method, path), allowed.contains(&method));
                if may != should {
                    wrong.push(format!("{name}: {method} {path}: allowed is {may}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_path_of_each_policy_is_tried() {
    for Shipped { name, rules, paths } in SHIPPED {
        let mut count = 0;
        for line in rules.lines() {
            let Some(rest) = line.strip_prefix("path \"") else {
                continue;
            };
            count += 1;
            let pattern = rest.split('"').next().unwrap();
            let tried = paths.iter().any(|(path, allowed)| {
                !allowed.is_empty()
                    && match pattern.strip_suffix('*') {
                        Some(begin) => path.starts_with(begin),
                        None => *path == pattern,
                    }
            });
            assert!(tried, "{name}: {pattern} is in no row");
        }
        assert!(count > 0, "{name}: no path is found");
        let tokens = rules.contains("path \"auth/token/lookup-self\"");
        assert!(tokens || *name == "operators.hcl", "{name}: no own token");
    }
    let shipped = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/vault"));
    for file in shipped.unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap();
        let tried = SHIPPED.iter().any(|policy| name == policy.name);
        let policy = path.extension().is_some_and(|ending| ending == "hcl");
        assert!(tried || !policy, "{} is not tried", path.display());
    }
}
