//! HTTPS in the configuration: `[https]`, `[issuers.NAME]`, `[signing]`, and accounts at issuers.

use std::net::Ipv4Addr;

use crate::certificates::{Authority, Request};
use crate::config::{VARIABLES, check, folder, mode, told};
use crate::vaultgram;

const HTTPS: &str = "[https]\nlisten = \"127.0.0.1:0\"\ncert_file = \"server.pem\"\nkey_file = \"server-key.pem\"\n";
const SIGNING: &str = "[signing]\npath = \"secret/vaultgram/signing\"\n";
const GITHUB: &str = "[issuers.github]\naudience = \"https://vaultgram.test\"\n";

/// `HTTPS`, or another section, with what follows.
fn with(more: &str) -> String {
    format!("{HTTPS}{more}")
}

#[test]
fn mistakes_about_https_are_told() {
    let issuer = |more: &str| with(&format!("{GITHUB}{more}"));
    let other = |lines: &str| with(&format!("[issuers.gitlab]\naudience = \"a\"\n{lines}"));
    let mistakes = [
        (
            "[https]\nport = 1\n".to_owned(),
            "unknown field `port`, expected one of `listen`",
        ),
        (
            with(""),
            "[https]: nobody could prove who they are; add an [issuers.github] section",
        ),
        (
            format!("[https]\n{GITHUB}"),
            "[https] listen: an address and a port, such as \"0.0.0.0:8443\"",
        ),
        (
            format!("[https]\n{GITHUB}"),
            "[https] cert_file: missing; name a file in PEM",
        ),
        (
            format!("[https]\n{GITHUB}"),
            "[https] key_file: missing; name a file in PEM",
        ),
        (
            format!("{}{GITHUB}", HTTPS.replace("127.0.0.1:0", "localhost")),
            "[https] listen: an address and a port",
        ),
        (
            format!("{HTTPS}max_connections = 0\n{GITHUB}"),
            "[https] max_connections: must be at least 1",
        ),
        (
            format!("[socket]\n{GITHUB}"),
            "[issuers]: their tokens are for HTTPS; add an [https] section",
        ),
        (
            with("[issuers.github]\n"),
            "[issuers.github] audience: missing; name what",
        ),
        (
            with(&format!(
                "{GITHUB}[issuers.again]\naudience = \"https://vaultgram.test\"\n\
                 issuer = \"https://token.actions.githubusercontent.com\"\n"
            )),
            "[issuers.github]: takes the same tokens as [issuers.again], as issuer and audience are the \
             same; leave it out, or give it an audience of its own",
        ),
        (
            with("[issuers.gitlab]\naudience = \"a\"\n"),
            "[issuers.gitlab] issuer: missing; it is what its tokens say in `iss`",
        ),
        (
            with("[issuers.GitHub]\naudience = \"a\"\nissuer = \"https://a\"\n"),
            "[issuers] \"GitHub\": a name has up to 32 small letters",
        ),
        (
            with("[issuers.uid]\naudience = \"a\"\nissuer = \"https://a\"\n"),
            "and is not \"telegram\", \"uid\"",
        ),
        (
            issuer("ca_file = \"none.pem\"\n"),
            "[issuers.github] ca_file: ",
        ),
        (issuer("session_ttl = \"soon\"\n"), "not a duration"),
        (
            issuer("session_ttl = \"0s\"\n"),
            "[issuers] the sessions of github must last from a second to a day",
        ),
        (
            issuer("session_ttl = \"2days\"\n"),
            "must last from a second to a day",
        ),
        (
            with("[issuers.github]\naudience = \"\"\n"),
            "[issuers] github has no audience; name one",
        ),
        (
            other("issuer = \"http://gitlab.test\"\n"),
            "[issuers] the issuer of gitlab cannot be used: it begins with http://, which is for this \
             machine only",
        ),
        (
            other("issuer = \"gitlab.test\"\n"),
            "write it like https://host",
        ),
        (
            other("issuer = \"https://gitlab.test\"\njwks_url = \"ftp://x\"\n"),
            "[issuers] the jwks_url of gitlab cannot be used: it does not begin with https://",
        ),
    ];
    for (config, expected) in &mistakes {
        told(&[(config, expected)]);
    }
}

#[test]
fn webhooks_and_certificates_of_clients_exclude_each_other() {
    let config = format!(
        "{HTTPS}client_ca_file = \"clients.pem\"\n[github]\nrepositories = [\"acme/shop\"]\n\
         token_path = \"secret/github#token\"\nwebhook_secret_path = \"secret/github#webhook\"\n"
    );
    let expected = "[https] client_ca_file: GitHub has no certificate to show, so none of its webhooks \
                    would come in; leave it out, or have no [github] webhook_secret_path";
    told(&[(&config, expected)]);
}

#[test]
fn mistakes_about_who_signs_and_who_has_accounts_are_told() {
    let issuer = |more: &str| with(&format!("{GITHUB}{more}"));
    let job = |lines: &str, more: &str| format!("[telegram.jobs.shell]\n{lines}{more}");
    let mistakes = [
        (
            "[socket]\n[signing]\npath = \"secret/keys\"\n".to_owned(),
            "[signing]: what is signed comes by HTTPS or by chat; add an [https] section, or \
             [telegram.jobs.OWNER]",
        ),
        (
            job("accounts = [7001]\n", ""),
            "[telegram.jobs]: what they sign cannot be checked; say in [signing] where the keys are",
        ),
        (
            job("accounts = []\n", SIGNING),
            "[telegram.jobs.shell] accounts: name the accounts that send its commands",
        ),
        (
            job("accounts = [-1001]\n", SIGNING),
            "[telegram.jobs.shell] accounts: name the accounts",
        ),
        (
            job("accounts = [7001]\nage_keys = [\"age1nope\"]\n", SIGNING),
            "[telegram.jobs.shell] age_keys: up to 5 public keys, which begin with age1",
        ),
        (job("", SIGNING), "missing field `accounts`"),
        (
            format!("[telegram.jobs.Shell]\naccounts = [7001]\n{SIGNING}"),
            "[telegram.jobs] \"Shell\": not what the owner of a signing key can be called",
        ),
        (
            issuer(&format!(
                "[telegram.jobs.github]\naccounts = [7001]\n{SIGNING}"
            )),
            "[telegram.jobs.github]: an issuer is called so, and it could not own a key",
        ),
        (
            issuer("[signing]\npath = \"secret/a#b\"\n"),
            "[signing] path: not the path of a secret; write it like path = \"secret/vaultgram/signing\"",
        ),
        (issuer("[signing]\n"), "missing field `path`"),
        (
            issuer("[people]\nalice = [\"gitlab:5\"]\n"),
            "[people] alice: no issuer is called \"gitlab\"; there is no [issuers.gitlab]",
        ),
        (
            issuer("[groups]\nleads = [\"telegarm:1001\"]\n"),
            "[groups] leads: no issuer is called \"telegarm\"",
        ),
        (issuer("[people]\nalice = [\"github:\"]\n"), "alice: "),
    ];
    for (config, expected) in &mistakes {
        told(&[(config, expected)]);
    }
}

#[test]
fn who_signs_in_chat_is_told_of() {
    let config = format!(
        "[telegram]\nallowed_users = [1001]\n[telegram.jobs.shell]\naccounts = [7001, 7002]\n{SIGNING}"
    );
    let ran = check(&config, "", VARIABLES);
    assert_eq!(ran.code, 0, "{ran:?}");
    let expected = "listens to 1 person\n          to what shell signed, from 7001, 7002\n";
    assert!(ran.out.contains(expected), "{}", ran.out);
}

#[test]
fn https_is_told_of() {
    let config = with(&format!(
        "{GITHUB}[issuers.gitlab]\nissuer = \"https://gitlab.test\"\naudience = \"a\"\n\
         [signing]\npath = \"secret/vaultgram/signing\"\n\
         [people]\nalice = [\"github:583231\", \"uid:1000\"]\n"
    ));
    let ran = check(&config, "", VARIABLES);
    assert_eq!(ran.code, 0, "{ran:?}");
    for line in [
        "https     127.0.0.1:0 for jobs\n",
        "with tokens of github (https://token.actions.githubusercontent.com)\n",
        "with tokens of gitlab (https://gitlab.test)\n",
        "with signatures by the keys in secret/vaultgram/signing\n",
        "socket    not served",
    ] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
}

#[test]
fn doctor_looks_at_certificate_and_issuers() {
    // Nobody listens at this port: who asks for keys there is told.
    let down = crate::openbao::free_port();
    let config = with(&format!(
        "[issuers.local]\nissuer = \"http://127.0.0.1:{down}\"\naudience = \"a\"\n"
    ));
    let directory = folder(&config, "");
    let path = |name: &str| directory.path().join(name);
    let authority = Authority::new(path("authority"), "authority");
    let issue = |name: &str| {
        let request = Request {
            common_name: "vaultgram",
            addresses: &[Ipv4Addr::LOCALHOST],
            key_usage: "digitalSignature",
            extended_key_usage: "serverAuth",
        };
        authority.issue(name, &request)
    };
    let (one, other) = (issue("one"), issue("other"));
    let doctor = || {
        let ran = vaultgram(directory.path(), VARIABLES, &["doctor"]);
        assert_eq!(ran.code, 69, "{ran:?}");
        let line = |name: &str| {
            let found = ran.out.lines().find(|line| line.contains(name));
            found.unwrap_or_default().to_owned()
        };
        (line(" https "), line(" issuer "))
    };
    let (https, issuer) = doctor();
    assert!(
        https.starts_with("FAIL") && https.contains("server.pem: No such file"),
        "{https}"
    );
    let down =
        format!("the keys of local (http://127.0.0.1:{down}) cannot be fetched: no connection");
    assert!(
        issuer.starts_with("FAIL") && issuer.contains(&down),
        "{issuer}"
    );

    let install = |certificate, key| {
        std::fs::copy(certificate, path("server.pem")).unwrap();
        std::fs::copy(key, path("server-key.pem")).unwrap();
        mode(&path("server-key.pem"), 0o600);
    };
    install(&one.certificate, &one.key);
    let (https, _) = doctor();
    // The tests' certificates hold for two days.
    let soon = "127.0.0.1:0 can be listened at; its certificate ends on ";
    assert!(https.starts_with("ok") && https.contains(soon), "{https}");
    assert!(
        https.contains(", in 1 days: put a new one in its place soon"),
        "{https}"
    );
    install(&one.certificate, &other.key);
    let (https, _) = doctor();
    assert!(
        https.starts_with("FAIL") && https.contains("do not go together"),
        "{https}"
    );
    install(&one.certificate, &one.key);
    mode(&path("server-key.pem"), 0o644);
    let (https, _) = doctor();
    assert!(
        https.contains("everybody can read this key; chmod o="),
        "{https}"
    );
}
