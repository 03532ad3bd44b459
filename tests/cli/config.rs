//! Wrong configuration: each mistake is found, placed, and comes with what to do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{Ran, vaultgram};

pub(crate) const VARIABLES: &[(&str, &str)] = &[
    ("VAULT_TOKEN", "t"),
    ("TELEGRAM_API_ID", "1"),
    ("TELEGRAM_API_HASH", "0123456789abcdef0123456789abcdef"),
];

/// A folder with this configuration and this policy.
pub(crate) fn folder(config: &str, policy: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("vaultgram.toml"), config).unwrap();
    std::fs::write(directory.path().join("policy.cedar"), policy).unwrap();
    directory
}

pub(crate) fn check(config: &str, policy: &str, variables: &[(&str, &str)]) -> Ran {
    let directory = folder(config, policy);
    let ran = vaultgram(directory.path(), variables, &["check"]);
    // `serve` reads the same configuration, so it refuses the same.
    if ran.code != 0 {
        let serve = vaultgram(directory.path(), variables, &["serve"]);
        assert_eq!((serve.code, &serve.err), (ran.code, &ran.err));
    }
    ran
}

pub(crate) fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn files_that_others_could_change_or_read_are_refused() {
    let directory = folder("[telegram]\nkeys = \"keys.json\"\n", "");
    let path = |name: &str| directory.path().join(name);
    let keys = "{\"api_id\": 1, \"api_hash\": \"0123456789abcdef0123456789abcdef\"}";
    std::fs::write(path("keys.json"), keys).unwrap();
    std::fs::write(path(".env"), "VAULT_TOKEN=hunter2\n").unwrap();
    for (name, safe) in [
        ("vaultgram.toml", 0o644),
        ("policy.cedar", 0o644),
        ("keys.json", 0o600),
        (".env", 0o640),
    ] {
        mode(&path(name), safe);
    }
    let check = || vaultgram(directory.path(), &[], &["check"]);
    assert_eq!(check().code, 0, "{:?}", check());
    for (name, open, safe, advice) in [
        ("vaultgram.toml", 0o664, 0o644, "chmod go-w"),
        ("policy.cedar", 0o646, 0o644, "chmod go-w"),
        ("keys.json", 0o640, 0o600, "chmod 600"),
        (".env", 0o604, 0o640, "chmod o-rwx"),
    ] {
        mode(&path(name), open);
        let ran = check();
        assert_eq!(ran.code, 78, "{name}: {ran:?}");
        let told = ran
            .err
            .lines()
            .any(|line| line.contains(advice) && line.ends_with(name));
        assert!(told, "{name}: {ran:?}");
        mode(&path(name), safe);
    }
}

#[test]
fn each_mistake_is_told_with_its_place() {
    told(&[
        (
            "[socket]\npth = \"x\"\n",
            "vaultgram.toml:2:1: unknown field `pth`, expected one of `path`",
        ),
        ("[sokcet]\n", "vaultgram.toml:1:2: unknown field `sokcet`"),
        (
            "[socket]\nmode = \"rw\"\n",
            "[socket] mode: not octal permissions; write it like mode = \"0660\"",
        ),
        ("[socket]\nmode = \"7777\"\n", "[socket] mode: not octal"),
        (
            "[socket]\nmax_connections = 0\n",
            "[socket] max_connections: must be from 1",
        ),
        (
            "[telegram]\nstranger_reply = \" \"\n",
            "[telegram] stranger_reply: is blank",
        ),
        (
            "[socket]\n[policy]\nfiles = [\"policy.cedar\", \"policy.cedar\"]\n",
            "policy.cedar:1:1: the id \"policy.cedar:policy0\" is taken: policy.cedar:1:1:",
        ),
        (
            "[telegram]\nallowed_users = [-5]\n",
            "[telegram] allowed_users: -5 is not a user id",
        ),
        (
            "[telegram]\nallowed_users = [\"@alice\"]\n",
            "vaultgram.toml:2:",
        ),
        (
            "[telegram]\ncommand_age = \"soon\"\n",
            "vaultgram.toml:2:15: not a duration; write it like \"500ms\"",
        ),
        (
            "[telegram]\ndelete_after = \"0s\"\n",
            "[telegram] delete_after: must be from 1s to 169200s",
        ),
        (
            "[socket]\n[groups]\na = [\"alice\"]\n",
            "[groups] a: member 1 is not \"telegram:1001\", \"uid:990\", \"github:583231\", \"gid:27\", \"unit:deploy.service\", \"person:alice\" or \"group:admins\"",
        ),
        (
            "[socket]\n[groups]\na = [\"uid:0\", \"telegram:-5\"]\n",
            "[groups] a: member 2 is not",
        ),
        (
            "[socket]\n[groups]\na = [\"group:b\"]\n",
            "the group \"b\" is not defined",
        ),
        (
            "[socket]\n[policy]\nfiles = []\n",
            "[policy] files: name at least one",
        ),
        (
            "[socket]\n[policy]\nfiles = [\"nope.cedar\"]\n",
            "nope.cedar: no such file",
        ),
        (
            "",
            "nothing to serve: add a [telegram], a [socket] or an [https] section",
        ),
        ("[socket\n", "vaultgram.toml:1:"),
    ]);
}

#[test]
fn mistakes_about_vault_are_told() {
    told(&[
        (
            "[socket]\n[vault]\nca_cert = \"ca.pem\"\naddress = \"HTTP://127.0.0.1:8200\"\n",
            "[vault] ca_cert (or VAULT_CACERT): has no effect on an http:// address",
        ),
        (
            "[socket]\n[vault]\nmounts = []\n",
            "[vault] mounts, mounts_v1 and engines: name at least one",
        ),
        (
            "[socket]\n[vault]\nengines = [\"sys\"]\n",
            "[vault] mounts, mounts_v1 and engines: name at least one",
        ),
        (
            "[socket]\n[vault]\nmounts = [\"/secret/\"]\n",
            "[vault] mounts, mounts_v1 and engines: name at least one",
        ),
        (
            "[socket]\n[vault]\nauth = \"magic\"\n",
            "vaultgram.toml:3:8: unknown value, expected one of `token`, `approle`, `kubernetes`, `jwt`, `cert`, `userpass`",
        ),
        ("[socket]\n[vault]\naddress = \"vault:8200\"\n", "https://"),
        (
            "[socket]\n[vault]\naddress = \"http://[::1\"\n",
            "not a URL",
        ),
    ]);
}

pub(crate) fn told(mistakes: &[(&str, &str)]) {
    for (config, expected) in mistakes {
        let policy = "permit(principal, action, resource);";
        let ran = check(config, policy, VARIABLES);
        assert_eq!(ran.code, 78, "{config}: {ran:?}");
        assert!(ran.err.contains(expected), "{config}: {ran:?}");
    }
}

#[test]
fn mistakes_about_telegram_are_told() {
    told(&[
        (
            "[telegram]\nallowed_users = [5]\nadmins = [6]\n",
            "[telegram] admins: 6 is not in allowed_users",
        ),
        (
            "[telegram]\napprovals_chat = 1001\n",
            "[telegram] approvals_chat: must be the number of a group",
        ),
        (
            "[telegram]\nwatchdog_interval = \"2m\"\n",
            "[telegram] watchdog_interval: must be from 1s to 45s",
        ),
        (
            "[telegram]\nwatched_chats = \"some\"\n",
            "[telegram] watched_chats: must be \"all\", or a list of chat ids",
        ),
        (
            "[telegram]\nwatched_chats = [0]\n",
            "[telegram] watched_chats: 0 is no chat's id",
        ),
        (
            "[telegram]\nlock_on_new_device = true\n",
            "[telegram] lock_on_new_device: needs a [socket] section",
        ),
        (
            "[telegram]\nproxy = \"http://127.0.0.1:1080\"\n",
            "[telegram] proxy: only SOCKS5 is supported",
        ),
        (
            "[telegram]\nproxy = \"socks5://u:p@127.0.0.1:1080\"\n",
            "[telegram] proxy: user and password do not belong into this file",
        ),
    ]);
}

#[test]
fn a_policy_for_every_action_is_warned_of() {
    let all = "@id(\"all\") permit(principal, action, resource);";
    let ran = check("[socket]\n", all, VARIABLES);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("warning: all permits every action"));
    let read = "permit(principal, action == Action::\"read\", resource);";
    let ran = check("[socket]\n", read, VARIABLES);
    assert!(ran.code == 0 && !ran.out.contains("warning"), "{}", ran.out);
}

#[test]
fn metrics_over_the_network_are_for_whom_the_operator_says() {
    told(&[
        ("[socket]\n[metrics]\nport = 1\n", "unknown field `port`"),
        (
            "[socket]\n[metrics]\nlisten = \"localhost\"\n",
            "[metrics] listen: an address and a port, such as \"127.0.0.1:9464\"",
        ),
        (
            "[socket]\n[metrics]\nlisten = \"0.0.0.0:9464\"\n",
            "[metrics] listen: other machines would be told in plain HTTP; add cert_file",
        ),
        (
            "[socket]\n[metrics]\ncert_file = \"a.pem\"\n",
            "[metrics]: cert_file and key_file go together",
        ),
        (
            "[socket]\n[metrics]\nclient_ca_file = \"a.pem\"\n",
            "[metrics]: cert_file and key_file go together",
        ),
        ("[metrics]\n", "nothing to serve: add a [telegram]"),
    ]);
    let policy = "permit(principal, action, resource);";
    let tls = "cert_file = \"a.pem\"\nkey_file = \"b.pem\"\n";
    for (section, shown) in [
        ("", "127.0.0.1:9464 to whoever connects"),
        (
            "listen = \"[::]:1\"\nplaintext = true\n",
            "[::]:1 to whoever connects",
        ),
        (
            &format!("listen = \"0.0.0.0:1\"\n{tls}"),
            "0.0.0.0:1 by TLS, to whoever connects",
        ),
        (
            &format!("{tls}client_ca_file = \"c.pem\"\n"),
            "127.0.0.1:9464 by TLS, to who shows a certificate",
        ),
    ] {
        let ran = check(
            &format!("[socket]\n[metrics]\n{section}"),
            policy,
            VARIABLES,
        );
        let line = format!("metrics   {shown}\n");
        assert!(ran.out.contains(&line), "{ran:?}");
    }
}

#[test]
fn wrong_cedar_is_placed() {
    let ran = check(
        "[socket]\n",
        "\npermit(principal, action, resource) when { context.x };",
        VARIABLES,
    );
    assert_eq!(ran.code, 78);
    assert!(ran.err.contains("policy.cedar:2:44: "), "{ran:?}");
    // Once, not for every action that it could be about.
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let ran = check(
        "[socket]\nmode = \"x\"\n[vault]\nmounts = []\n",
        "nonsense",
        &[],
    );
    for expected in [
        "mode",
        "mounts",
        "policy.cedar:1:",
        "VAULT_TOKEN is not set",
    ] {
        assert!(ran.err.contains(expected), "{expected}: {ran:?}");
    }
}

#[test]
fn telegram_needs_its_keys() {
    for (variables, expected) in [
        (
            &[("VAULT_TOKEN", "t")][..],
            "session_keys.json: no such file; put {\"api_id\"",
        ),
        (
            &[("VAULT_TOKEN", "t"), ("TELEGRAM_API_ID", "1")],
            "TELEGRAM_API_HASH is not; set both",
        ),
        (
            &[
                ("VAULT_TOKEN", "t"),
                ("TELEGRAM_API_ID", "x"),
                ("TELEGRAM_API_HASH", "hunter2"),
            ],
            "TELEGRAM_API_ID is not a number",
        ),
        (
            &[
                ("VAULT_TOKEN", "t"),
                ("TELEGRAM_API_ID", "0"),
                ("TELEGRAM_API_HASH", "hunter2"),
            ],
            "TELEGRAM_API_ID is not a number from 1",
        ),
        (
            &[
                ("VAULT_TOKEN", "t"),
                ("TELEGRAM_API_ID", "1"),
                ("TELEGRAM_API_HASH", "hunter2"),
            ],
            "TELEGRAM_API_HASH is not 32 hexadecimal digits",
        ),
    ] {
        let ran = check("[telegram]\n", "", variables);
        assert_eq!(ran.code, 78);
        assert!(
            ran.err.contains(expected) && !ran.err.contains("hunter2"),
            "{ran:?}"
        );
    }
}

#[test]
fn telegram_keys_must_be_possible() {
    let directory = folder("[telegram]\nkeys = \"keys.json\"\n", "");
    let path = |name: &str| directory.path().join(name);
    let hash = "0123456789abcdef0123456789abcdef";
    let spaced = format!(" {hash}\\n");
    let short = hash.get(1..).unwrap();
    let other = hash.replace('f', "g");
    for (id, hash, code) in [
        (1, hash, 0),
        (1, &spaced, 0),
        (0, hash, 78),
        (-1, hash, 78),
        (1, "", 78),
        (1, short, 78),
        (1, &other, 78),
    ] {
        let keys = format!("{{\"api_id\": {id}, \"api_hash\": \"{hash}\"}}");
        std::fs::write(path("keys.json"), keys).unwrap();
        mode(&path("keys.json"), 0o600);
        let ran = vaultgram(directory.path(), &[("VAULT_TOKEN", "t")], &["check"]);
        assert_eq!(ran.code, code, "{id} {hash}: {ran:?}");
        let told = ran
            .err
            .contains("keys.json: api_id must be a number from 1");
        assert_eq!(told, code != 0, "{id} {hash}: {ran:?}");
    }
}

#[test]
fn telegram_keys_that_are_credentials_are_named_by_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = directory.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("telegram_api_id"), "1\n").unwrap();
    let kept = credentials.join("telegram_api_hash");
    let variables = [
        ("VAULT_TOKEN", "t"),
        ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()),
    ];
    std::fs::write(&kept, " 0123456789abcdef0123456789abcdef \n").unwrap();
    let ran = check("[telegram]\n", "", &variables);
    assert_eq!(ran.code, 0, "{ran:?}");
    std::fs::write(&kept, "hunter2\n").unwrap();
    let ran = check("[telegram]\n", "", &variables);
    let expected = format!("{} is not 32 hexadecimal digits", kept.display());
    assert_eq!(ran.code, 78);
    assert!(
        ran.err.contains(&expected) && !ran.err.contains("hunter2"),
        "{ran:?}"
    );
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let directory = tempfile::tempdir().unwrap();
    let ran = vaultgram(directory.path(), &[], &["check"]);
    assert_eq!(ran.code, 78);
    assert!(
        ran.err
            .contains("vaultgram.toml: no such file; `vaultgram init`"),
        "{ran:?}"
    );
}

#[test]
fn secrets_come_from_files_and_dotenv_and_are_not_shown() {
    let directory = folder("[socket]\n", "");
    let path = |name: &str| directory.path().join(name);
    let check = |variables: &[(&str, &str)]| {
        let ran = vaultgram(directory.path(), variables, &["check"]);
        assert!(
            !ran.err.contains("hunter2") && !ran.out.contains("hunter2"),
            "{ran:?}"
        );
        ran.code
    };
    assert_eq!(check(&[]), 78);

    std::fs::write(path("token"), "hunter2\n").unwrap();
    mode(&path("token"), 0o600);
    assert_eq!(
        check(&[("VAULT_TOKEN_FILE", path("token").to_str().unwrap())]),
        0
    );
    assert_eq!(check(&[("VAULT_TOKEN_FILE", "/nonexistent/token")]), 78);

    std::fs::write(path("vault_token"), "hunter2\n").unwrap();
    let credentials: &Path = directory.path();
    assert_eq!(
        check(&[("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())]),
        0
    );

    std::fs::write(path(".env"), "VAULT_TOKEN=hunter2\n").unwrap();
    mode(&path(".env"), 0o600);
    assert_eq!(check(&[]), 0);
    std::fs::write(path(".env"), "VAULT_TOKEN hunter2\n").unwrap();
    assert_eq!(check(&[]), 78);
}

#[test]
fn the_second_net_and_the_unix_users_are_checked() {
    let check = |line: &str| {
        let config = format!("[telegram]\nallowed_users = [1001]\n{line}\n");
        let ran = check(&config, "", VARIABLES);
        (ran.code, ran.err)
    };
    for right in ["off", "1d", "7days", "4w", "1month", "12months"] {
        let line = format!("history_ttl = \"{right}\"");
        assert_eq!(check(&line), (0, String::new()), "{right}");
    }
    for wrong in [
        "",
        "0d",
        "8d",
        "5w",
        "13months",
        "1h",
        "d",
        "-1d",
        "1D",
        "99999999999d",
    ] {
        let (code, err) = check(&format!("history_ttl = \"{wrong}\""));
        assert!(
            code == 78 && err.contains("[telegram] history_ttl: must be"),
            "{wrong}: {err}"
        );
    }
    for (users, said) in [
        ("1001 = 990", ""),
        ("1001 = \"root\"", ""),
        (
            "1001 = \"no-such-user\"",
            "there is no user \"no-such-user\"",
        ),
        ("1002 = 990", "must be a number from allowed_users"),
        ("1001 = -1", "a user's number or name"),
    ] {
        let (code, err) = check(&format!("unix_users = {{ {users} }}"));
        assert_eq!(code == 0, said.is_empty(), "{users}: {err}");
        assert!(err.contains(said), "{users}: {err}");
    }
}
