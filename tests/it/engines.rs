//! Engines behind the running broker, asked by the real `bao` and by our own command line.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::openbao::bao;
use crate::postgres::Postgres;
use crate::setting;
use crate::stage::{Setting, Stage};

/// A stage whose broker may use `database`, `pki`, `transit` and `legacy` (KV version 1).
pub(crate) async fn serving() -> (Stage, Postgres) {
    serving_as(setting()).await
}

/// As [`serving`], and people in chat may too.
pub(crate) async fn serving_as(setting: Setting<'static>) -> (Stage, Postgres) {
    let mut stage = Stage::build(setting).await;
    let postgres = tokio::task::block_in_place(|| {
        let (bao, postgres) = (&stage.bao, Postgres::start());
        postgres.mount_in(bao);
        let old = json!({"type": "kv", "options": {"version": "1"}});
        bao.must("POST", "sys/mounts/legacy", &old);
        bao.must("POST", "legacy/app", &json!({"password": "old-1c9e"}));
        let tune = json!({"type": "pki", "config": {"max_lease_ttl": "87600h"}});
        bao.must("POST", "sys/mounts/pki", &tune);
        let root = json!({"common_name": "Test CA", "ttl": "87600h"});
        bao.must("POST", "pki/root/generate/internal", &root);
        let web =
            json!({"allowed_domains": "example.org", "allow_subdomains": true, "max_ttl": "72h"});
        bao.must("POST", "pki/roles/web", &web);
        bao.must("POST", "sys/mounts/transit", &json!({"type": "transit"}));
        bao.must("POST", "transit/keys/k", &json!({}));
        let rules = include_str!("../../policies/vault/broker.hcl");
        let all = ["database", "pki", "transit", "legacy"].map(|mount| {
            let verbs = r#"["create", "read", "update", "list"]"#;
            format!("path \"{mount}/*\" {{ capabilities = {verbs} }}\n")
        });
        let leases = ["renew", "revoke"]
            .map(|verb| format!("path \"sys/leases/{verb}\" {{ capabilities = [\"update\"] }}\n"));
        // What the shipped policy leaves to be asked for.
        let destroy = "path \"secret/destroy/*\" { capabilities = [\"update\"] }\n";
        let rules = format!("{rules}{}{}{destroy}", all.concat(), leases.concat());
        bao.policy("vaultgram-broker", &rules);
        postgres
    });
    let (config, policy) = (stage.path("vaultgram.toml"), stage.path("policy.cedar"));
    let text = std::fs::read_to_string(&config).unwrap();
    let mounts =
        "[vault]\nmounts_v1 = [\"legacy\"]\nengines = [\"database\", \"pki\", \"transit\"]\n";
    std::fs::write(&config, text.replace("[vault]\n", mounts)).unwrap();
    let uid = rustix::process::getuid().as_raw();
    let rules = ["legacy", "database", "pki", "transit"].map(|mount| {
        let actions = r#"[Action::"read", Action::"list", Action::"invoke"]"#;
        format!(
            "permit(principal == UnixPeer::\"{uid}\", action in {actions}, resource in Path::\"{mount}\");\n\
             permit(principal in Group::\"developers\", action in {actions}, resource in Path::\"{mount}\");\n"
        )
    });
    let policies = std::fs::read_to_string(&policy).unwrap() + &rules.concat();
    let private =
        "forbid(principal, action, resource) when { resource in Path::\"transit/decrypt\" };\n";
    std::fs::write(&policy, policies + private).unwrap();
    stage.start().await;
    (stage, postgres)
}

/// Runs it with `input`; its exit code, standard output and standard error.
pub(crate) fn run(command: &mut Command, input: &str) -> (i32, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let ran = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        ran.status.code().unwrap(),
        text(ran.stdout),
        text(ran.stderr),
    )
}

pub(crate) fn real_bao(stage: &Stage, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(bao());
    command
        .env_clear()
        .env("HOME", stage.directory.path())
        .env(
            "BAO_ADDR",
            format!("unix://{}", stage.path("vaultgram.sock").display()),
        )
        .args(arguments);
    let (code, out, err) = run(&mut command, "");
    (code, out + &err)
}

/// The leases there are of the role `app`.
pub(crate) fn leases(stage: &Stage) -> usize {
    let (_, found) = stage
        .bao
        .call("LIST", "sys/leases/lookup/database/creds/app", &Value::Null);
    found["data"]["keys"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_bao_reads_writes_and_lists_engines() {
    let (stage, postgres) = serving().await;
    let bao = |arguments: &[&str]| real_bao(&stage, arguments);
    let (code, said) = bao(&["read", "-format=json", "database/creds/app"]);
    assert_eq!(code, 0, "{said}");
    let made: Value = serde_json::from_str(&said).unwrap();
    let text = |name: &str| made["data"][name].as_str().unwrap();
    assert!(
        postgres.lets_in(text("username"), text("password")),
        "{said}"
    );
    assert!(
        made["lease_id"]
            .as_str()
            .unwrap()
            .starts_with("database/creds/app/")
    );
    assert_eq!(made["lease_duration"], 3600);

    let (code, said) = bao(&[
        "write",
        "-field=certificate",
        "pki/issue/web",
        "common_name=www.example.org",
    ]);
    assert!(
        code == 0 && said.starts_with("-----BEGIN CERTIFICATE"),
        "{said}"
    );
    let (code, said) = bao(&["write", "pki/issue/web", "common_name=www.elsewhere.net"]);
    assert!(
        code == 2 && said.contains("not allowed by this role"),
        "{said}"
    );
    let (code, said) = bao(&[
        "write",
        "-field=ciphertext",
        "transit/encrypt/k",
        "plaintext=aGk=",
    ]);
    assert!(code == 0 && said.starts_with("vault:v1:"), "{said}");
    let (code, said) = bao(&["write", "transit/decrypt/k", "ciphertext=x"]);
    assert!(code == 2 && said.contains("permission denied"), "{said}");
    let (code, said) = bao(&["write", "-f", "transit/datakey/plaintext/k"]);
    assert!(code == 0 && said.contains("ciphertext"), "{said}");
    let (code, said) = bao(&["write", "-f", "database/rotate-role/fixed"]);
    assert!(code == 0 && said.contains("Success"), "{said}");

    assert_eq!(
        bao(&["kv", "get", "-field=password", "legacy/app"]),
        (0, "old-1c9e".to_owned())
    );
    let (code, said) = bao(&["kv", "put", "legacy/app", "a=b"]);
    assert!(code == 2 && said.contains("permission denied"), "{said}");
    for (path, name) in [
        ("legacy", "app"),
        ("transit/keys", "k"),
        ("database/roles", "app"),
    ] {
        let (code, said) = bao(&["list", path]);
        assert!(
            code == 0 && said.lines().any(|line| line == name),
            "{path}: {said}"
        );
    }
    let (code, said) = bao(&["list", "legacy/none"]);
    assert!(code == 2 && said.contains("No value found"), "{said}");
    let (code, said) = bao(&["kv", "list", "legacy"]);
    assert!(code == 0 && said.contains("app"), "{said}");
    let (code, said) = bao(&["read", "pki/issue/web"]);
    assert!(code == 2 && said.contains("405"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_command_line_gets_and_invokes() {
    let (stage, postgres) = serving().await;
    let ours = |arguments: &[&str], input: &str| run(&mut stage.vaultgram(arguments), input);
    let (code, out, err) = ours(&["get", "database/creds/app", "--json"], "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let text = |name: &str| made["data"][name].as_str().unwrap();
    assert!(postgres.lets_in(text("username"), text("password")));
    assert_eq!(made["path"], "database/creds/app");
    assert_eq!(
        (&made["lease_duration"], &made["renewable"]),
        (&json!(3600), &json!(true))
    );
    assert_eq!(made.get("version"), None);
    let lease = made["lease_id"].as_str().unwrap();
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    assert!(audit.contains(lease), "{audit}");
    assert!(!audit.contains(text("password")) && !stage.log().contains(text("password")));

    let (code, out, err) = ours(&["get", "database/creds/app"], "");
    assert!(
        code == 0 && out.contains("username") && err.contains("3600 s, with the lease"),
        "{out}{err}"
    );
    assert_eq!(leases(&stage), 2);
    let (code, _, err) = ours(&["get", "database/creds/app#port"], "");
    assert!(
        code == 66 && err.contains("it has: password, username"),
        "{err}"
    );
    assert_eq!(leases(&stage), 2, "what nobody got is taken back");
    assert!(stage.log().contains("broker.lease_given_back"));

    assert_eq!(ours(&["get", "legacy/app#password"], "").1, "old-1c9e");
    let (code, _, err) = ours(&["get", "legacy/app@2"], "");
    assert!(code == 64 && err.contains("keeps no versions"), "{err}");

    let file = stage.path("plain");
    std::fs::write(&file, "aGk=").unwrap();
    let from_file = format!("plaintext=@{}", file.display());
    for (parameter, input) in [
        ("plaintext=aGk=", ""),
        (&*from_file, ""),
        ("plaintext=-", "aGk="),
    ] {
        let (code, out, err) = ours(
            &["invoke", "transit/encrypt/k#ciphertext", parameter],
            input,
        );
        assert!(
            code == 0 && out.starts_with("vault:v1:"),
            "{parameter}: {out}{err}"
        );
        let opened = json!({ "ciphertext": out });
        let opened = stage.bao.must("POST", "transit/decrypt/k", &opened);
        assert_eq!(opened["data"]["plaintext"], "aGk=", "{parameter}");
    }
    let issue = [
        "invoke",
        "pki/issue/web",
        "common_name=a.example.org",
        "--json",
    ];
    let (code, out, err) = ours(&issue, "");
    assert!(code == 0 && out.contains("BEGIN CERTIFICATE"), "{out}{err}");
    for (arguments, code, said) in [
        (
            &["invoke", "transit/encrypt/k", "plaintext=hunter22!"][..],
            64,
            "error: illegal base64 data",
        ),
        (
            &["invoke", "transit/decrypt/k", "ciphertext=x"],
            77,
            "denied",
        ),
        (&["invoke", "django/database", "a=b"], 64, "no engine"),
        (
            &["invoke", "transit/encrypt/none"],
            64,
            "error: missing plaintext to encrypt",
        ),
        (
            &["invoke", "transit/encrypt/k", "plaintext"],
            64,
            "NAME=VALUE",
        ),
        (
            &["invoke", "transit/encrypt/k", "plaintext=@/none"],
            66,
            "/none",
        ),
    ] {
        let (ended, out, err) = ours(arguments, "");
        assert!(
            ended == code && err.contains(said),
            "{arguments:?}: {ended} {out}{err}"
        );
        assert!(!err.contains("hunter22"), "{err}");
    }
    assert!(!stage.log().contains("hunter22"));
}
