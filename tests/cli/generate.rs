//! `vaultgram generate`: what it prints is what the tools that it is for understand, and what it says of
//! vaultgram is what vaultgram understands.

use std::path::Path;

use crate::{Ran, vaultgram};

const SECRETS: [&str; 2] = [
    "DB_PASSWORD=secret/django/database#password",
    "tls_key=secret/web/tls#k\"e$(x)",
];

fn generate(arguments: &[&str]) -> Ran {
    vaultgram(
        Path::new("/"),
        &[],
        &[&["generate"], arguments, &SECRETS].concat(),
    )
}

/// The lines of a comment that holds a policy, from its first word to its end.
fn policy(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.strip_prefix('#'));
    let lines = lines.skip_while(|line| !line.trim().starts_with("permit"));
    let mut policy = String::new();
    for line in lines {
        policy.push_str(line);
        policy.push('\n');
        if line.trim_end().ends_with("};") {
            break;
        }
    }
    policy
}

#[test]
fn the_policies_are_ones_and_name_every_path() {
    for (arguments, who) in [
        (
            &["compose", "--service", "web", "--user", "1000"][..],
            "UnixPeer::\"1000\"",
        ),
        (
            &["systemd", "--unit", "app.service"],
            "principal.unit == \"app.service\"",
        ),
        (
            &["kubernetes", "--deployment", "web", "--user", "1000"],
            "principal is Job",
        ),
    ] {
        let ran = generate(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        let policy = policy(&ran.out);
        assert!(policy.contains(who), "{policy}");
        for path in [
            "Path::\"secret/django/database\"",
            "Path::\"secret/web/tls\"",
        ] {
            assert!(policy.contains(path), "{policy}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.cedar"), &policy).unwrap();
        let config = "[vault]\n[socket]\n[credentials]\nunits = { \"app.service\" = { a = \"secret/a#b\" } }\n";
        std::fs::write(folder.path().join("vaultgram.toml"), config).unwrap();
        let ran = vaultgram(folder.path(), &[], &["policy", "validate"]);
        assert_eq!(ran.code, 0, "{ran:?}\n{policy}");
    }
}

#[test]
fn each_secret_has_a_file_and_a_variable() {
    let compose = generate(&["compose", "--service", "web", "--user", "1000"]).out;
    assert!(
        compose.contains("      DB_PASSWORD_FILE: /run/secrets/db_password\n"),
        "{compose}"
    );
    assert!(
        compose.contains("      - \"tls_key=secret/web/tls#k\\\"e$$(x)\"\n"),
        "{compose}"
    );
    let systemd = generate(&["systemd", "--unit", "app.service"]).out;
    assert!(
        systemd.contains("LoadCredential=tls_key:/run/vaultgram/credentials.sock\n"),
        "{systemd}"
    );
    assert!(
        systemd.contains("Environment=TLS_KEY_FILE=%d/tls_key\n"),
        "{systemd}"
    );
    assert!(
        systemd.contains("#   tls_key = \"secret/web/tls#k\\\"e$(x)\"\n"),
        "{systemd}"
    );
    let kubernetes = generate(&["kubernetes", "--deployment", "web", "--user", "1000"]).out;
    assert!(
        kubernetes.contains("            - \"tls_key=secret/web/tls#k\\\"e$$(x)\"\n"),
        "{kubernetes}"
    );
    assert!(
        kubernetes.contains("            - name: DB_PASSWORD_FILE\n"),
        "{kubernetes}"
    );
}

#[test]
fn what_could_break_out_is_refused() {
    for arguments in [
        &["compose", "--service", "a b", "--user", "1", "A=a#b"][..],
        &["compose", "--service", "a", "--user", "x", "A=a#b"],
        &["compose", "--service", "a", "--user", "1", "A-B=a#b"],
        &["compose", "--service", "a", "--user", "1", "A=a#b", "a=a#c"],
        &["compose", "--service", "a", "--user", "1", "A=a\nb#c"],
        &["compose", "--service", "a", "--user", "1", "A=a"],
        &["systemd", "--unit", "../a.service", "A=a#b"],
        &[
            "kubernetes",
            "--deployment",
            "a",
            "--user",
            "1",
            "--image",
            "a\nb",
            "A=a#b",
        ],
    ] {
        let ran = vaultgram(Path::new("/"), &[], &[&["generate"], arguments].concat());
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (64, ""),
            "{arguments:?}: {ran:?}"
        );
    }
}
