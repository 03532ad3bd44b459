//! How to sign in to Vault, as configured: each method's keys, and each mistake in them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{Ran, vaultgram};

/// Writes a configuration with `vault` in its section `[vault]`, and a token for who wants one.
fn write(directory: &Path, vault: &str) {
    let config = format!("[socket]\npath = \"s\"\n[vault]\n{vault}");
    std::fs::write(directory.join("vaultgram.toml"), config).unwrap();
    std::fs::write(directory.join("policy.cedar"), "").unwrap();
    for (name, mode) in [("token", 0o600), ("open", 0o644), ("empty", 0o600)] {
        let file = directory.join(name);
        std::fs::write(&file, if name == "empty" { "\n" } else { "jwt\n" }).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    }
}

fn check(vault: &str, variables: &[(&str, &str)]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), vault);
    vaultgram(directory.path(), variables, &["check"])
}

#[test]
fn every_method_can_be_configured() {
    let secret_id = ("VAULT_SECRET_ID", "s");
    for (vault, variables) in [
        ("auth = \"token\"\n", &[("VAULT_TOKEN", "t")][..]),
        ("auth = \"approle\"\nrole_id = \"r\"\n", &[secret_id]),
        (
            "auth = \"approle\"\nauth_mount = \"team/app\"\n",
            &[("VAULT_ROLE_ID", "r"), ("VAULT_WRAPPED_SECRET_ID", "s.w")],
        ),
        (
            "auth = \"kubernetes\"\nrole = \"r\"\ntoken_file = \"token\"\n",
            &[],
        ),
        (
            "auth = \"jwt\"\nrole = \"r\"\ntoken_file = \"token\"\n",
            // What other methods take from the environment is left alone.
            &[secret_id],
        ),
        ("auth = \"jwt\"\nrole = \"r\"\n", &[("VAULT_JWT", "a.b.c")]),
        (
            "auth = \"userpass\"\nusername = \"u\"\n",
            &[("VAULT_PASSWORD", "pass word")],
        ),
    ] {
        let ran = check(vault, variables);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{vault}: {ran:?}");
        let name = vault.split('"').nth(1).unwrap();
        let said = format!("vault     http://127.0.0.1:8200, signs in by {name}\n");
        assert!(ran.out.contains(&said), "{vault}: {ran:?}");
    }
}

#[test]
fn each_mistake_says_what_to_write() {
    let both = [
        ("VAULT_SECRET_ID", "hunter2"),
        ("VAULT_WRAPPED_SECRET_ID", "hunter2"),
    ];
    let jwt = [("VAULT_JWT", "hunter2")];
    for (vault, variables, expected) in [
        (
            "auth = \"magic\"\n",
            &[][..],
            "unknown value, expected one of `token`, `approle`, `kubernetes`, `jwt`, `cert`, \
             `userpass`",
        ),
        (
            "auth = \"approle\"\n",
            &both[..1],
            "[vault] role_id: missing; auth = \"approle\" needs it (or VAULT_ROLE_ID)",
        ),
        (
            "auth = \"approle\"\nrole_id = \"r\"\n",
            &[],
            "VAULT_SECRET_ID, or in .env, or give VAULT_WRAPPED_SECRET_ID in one of these ways",
        ),
        (
            "auth = \"approle\"\nrole_id = \"r\"\n",
            &both,
            "VAULT_SECRET_ID (from VAULT_SECRET_ID) and VAULT_WRAPPED_SECRET_ID (from \
             VAULT_WRAPPED_SECRET_ID) are both set; remove one of them",
        ),
        (
            "auth = \"approle\"\nrole_id = \"r\"\napprole_mount = \"x\"\n",
            &both[..1],
            "unknown field `approle_mount`, expected one of",
        ),
        (
            "auth = \"kubernetes\"\ntoken_file = \"token\"\n",
            &[],
            "[vault] role: missing; auth = \"kubernetes\" needs it: the name of a role",
        ),
        (
            "auth = \"kubernetes\"\nrole = \"r\"\n",
            &[],
            "[vault] token_file: /var/run/secrets/kubernetes.io/serviceaccount/token: no such file",
        ),
        (
            "auth = \"jwt\"\nrole = \"r\"\ntoken_file = \"nope\"\n",
            &[],
            "/nope: no such file; name the one with the token to log in with",
        ),
        (
            "auth = \"jwt\"\nrole = \"r\"\ntoken_file = \"open\"\n",
            &[],
            "holds a secret, and is open to everybody (in Kubernetes: defaultMode: 0440 on its volume, ",
        ),
        (
            "auth = \"jwt\"\nrole = \"r\"\ntoken_file = \"empty\"\n",
            &[],
            "/empty is empty",
        ),
        (
            "auth = \"jwt\"\nrole = \"r\"\n",
            &[],
            "VAULT_JWT, or in .env; or set [vault] token_file, which is read again at each login",
        ),
        (
            "auth = \"jwt\"\nrole = \"r\"\ntoken_file = \"token\"\n",
            &jwt,
            "[vault] token_file and VAULT_JWT (from VAULT_JWT) are both set; remove one of them",
        ),
        (
            "auth = \"jwt\"\n",
            &jwt,
            "[vault] role: missing; auth = \"jwt\" needs it",
        ),
        (
            "auth = \"cert\"\n",
            &[],
            "[vault] client_cert: missing; auth = \"cert\" needs it (or VAULT_CLIENT_CERT)",
        ),
        (
            "auth = \"userpass\"\n",
            &[("VAULT_PASSWORD", "hunter2")],
            "[vault] username: missing; auth = \"userpass\" needs it",
        ),
        (
            "auth = \"userpass\"\nusername = \"u\"\n",
            &[],
            "VAULT_PASSWORD is not set; give it as",
        ),
        (
            "auth = \"userpass\"\nusername = \"a/b\"\n",
            &[("VAULT_PASSWORD", "hunter2")],
            "the Vault username is empty or holds",
        ),
    ] {
        let ran = check(vault, variables);
        assert_eq!(ran.code, 78, "{vault}: {ran:?}");
        assert!(ran.err.contains(expected), "{vault}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{vault}: {ran:?}");
        assert!(!ran.err.contains("hunter2"), "{vault}: {ran:?}");
    }
}

#[test]
fn a_key_of_another_method_is_a_mistake() {
    for (auth, variable, key, of) in [
        ("token", "VAULT_TOKEN", "role_id", "approle"),
        ("token", "VAULT_TOKEN", "role", "kubernetes, jwt, cert"),
        ("token", "VAULT_TOKEN", "token_file", "kubernetes, jwt"),
        ("token", "VAULT_TOKEN", "username", "userpass"),
        (
            "token",
            "VAULT_TOKEN",
            "auth_mount",
            "approle, kubernetes, jwt, cert, userpass",
        ),
        (
            "userpass\"\nusername = \"u",
            "VAULT_PASSWORD",
            "role",
            "kubernetes, jwt, cert",
        ),
    ] {
        let vault = format!("auth = \"{auth}\"\n{key} = \"x\"\n");
        let ran = check(&vault, &[(variable, "t")]);
        let name = auth.split('"').next().unwrap();
        let expected = format!(
            "[vault] {key}: has no effect with auth = \"{name}\"; remove it, or set auth to what \
             it is for ({of})"
        );
        assert_eq!(ran.code, 78, "{vault}: {ran:?}");
        assert!(ran.err.contains(&expected), "{vault}: {ran:?}");
    }
}
