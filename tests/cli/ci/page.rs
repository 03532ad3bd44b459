//! The page about CI (`docs/ci.md`): what it says to write is run as it stands there.

use std::process::Command;

use serde_json::json;
use vaultgram::age::NewIdentity;
use vaultgram::domain::{Delivery, Mounts};
use vaultgram::telegram::command::{JobCommand, parse_signed};

use super::action::{Repository, path};
use super::{Elsewhere, KEY};
use crate::Ran;
use crate::config::{VARIABLES, check};

const PAGE: &str = include_str!("../../../docs/ci.md");
/// The workflow that others call.
const EXAMPLE: &str = include_str!("../../../action/example.yml");
/// The address on the page.
const ADDRESS: &str = "https://vaultgram.example.com:8443";

/// The block after the comment `mark`.
pub(super) fn block(mark: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("<!-- {mark} -->\n```")).unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("\n```").unwrap().0
}

/// What the page reads.
fn secrets(elsewhere: &Elsewhere) {
    let database = json!({"user": "django", "password": "n7-Quo:vadis"});
    elsewhere.served.put("django/database", &database);
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n";
    elsewhere.served.put("django/tls", &json!({"key": key}));
}

/// What the steps printed, as the runner shows it.
fn printed(log: &str) -> String {
    let lines = log.lines().filter_map(|line| line.split_once("]   | "));
    let mut printed = String::new();
    for (_, line) in lines {
        printed.push_str(line);
        printed.push('\n');
    }
    printed
}

/// What the steps of a workflow of the page print; `called` is one that it calls.
fn workflow(mark: &str, called: Option<&str>) -> String {
    let elsewhere = Elsewhere::shared();
    secrets(elsewhere);
    let pinned = "@0000000000000000000000000000000000000000";
    let here = |text: &str| {
        text.replace(ADDRESS, &elsewhere.address)
            .replace("example/vaultgram/action", "./action")
            .replace("acme/workflows/.github", "./.github")
            .replace(pinned, "")
    };
    let (ours, called) = (here(block(mark)), called.map(here));
    let mut workflows = vec![("w.yml", ours.as_str())];
    workflows.extend(called.as_deref().map(|text| ("deploy.yml", text)));
    let (well, log) = Repository::with(&workflows).act(elsewhere);
    assert!(well, "{log}");
    assert!(
        !log.contains("Quo:vadis") && !log.contains("MC4CAQ"),
        "{log}"
    );
    printed(&log)
}

#[test]
fn the_action_is_used_as_the_page_says() {
    assert_eq!(
        workflow("run: action", None).trim_end(),
        block("output: action")
    );
}

#[test]
fn a_workflow_without_it_works_too() {
    let said = workflow("run: bare", None);
    assert_eq!(said, "a password of 12 signs\none of 12 signs\n");
}

#[test]
fn a_workflow_for_many_is_called_as_the_page_says() {
    let said = workflow("run: caller", Some(EXAMPLE));
    assert_eq!(said.trim_end(), block("output: caller"));
}

#[test]
fn the_configuration_is_taken_as_it_stands() {
    let ran = check(block("config: https"), block("policy"), VARIABLES);
    assert_eq!(ran.code, 0, "{ran:?}");
    for line in [
        "https     0.0.0.0:8443 for jobs\n",
        "with tokens of github (https://token.actions.githubusercontent.com)\n",
        "with tokens of gitlab (https://gitlab.example.com)\n",
        "with signatures by the keys in secret/vaultgram/signing\n",
    ] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
    let key = NewIdentity::generate().public;
    let chat = block("config: chat").replace("age1…", &key);
    let ran = check(&chat, block("policy"), VARIABLES);
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = "to what shell signed, from 7001\n";
    assert!(ran.out.contains(line), "{}", ran.out);
}

#[test]
fn the_command_in_chat_is_read_as_it_stands() {
    let signed = parse_signed(block("command"), None).unwrap().unwrap();
    assert_eq!(signed.key, "shell/2026");
    assert_eq!(signed.name(), signed.id);
    assert!(signed.timestamp.parse::<u32>().is_ok());
    assert!(signed.signature.starts_with("v1,"));
    let mounts = Mounts::new(vec!["secret".to_owned()]).unwrap();
    let target = mounts.parse("secret/django/database").unwrap();
    assert_eq!(
        JobCommand::read(signed.content, &mounts).unwrap(),
        JobCommand::Read(target, Delivery::Sealed)
    );
}

/// Runs a script of the page, or as GitLab runs one.
fn script(elsewhere: &Elsewhere, text: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new("sh");
    command
        .args(["-c", &text.replace(ADDRESS, &elsewhere.address)])
        .env_clear()
        .env("PATH", path())
        // What the page's machine has among its system's authorities.
        .env("CURL_CA_BUNDLE", elsewhere.served.path("ca.pem"))
        .env("VAULTGRAM_CACERT", elsewhere.served.path("ca.pem"))
        .envs(variables.iter().copied());
    Ran::from(command.output().unwrap())
}

#[test]
fn a_job_of_gitlab_has_its_token_in_a_variable() {
    let elsewhere = Elsewhere::shared();
    secrets(elsewhere);
    let text = block("run: gitlab");
    let value = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        let line = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap().replace(ADDRESS, &elsewhere.address)
    };
    let (_, commands) = text.split_once("script:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .map(|line| line.trim().trim_start_matches("- "))
        .collect();
    let jwt = elsewhere.gitlab.token(&value("aud"));
    let (socket, role) = (value("VAULTGRAM_SOCKET"), value("VAULTGRAM_ROLE"));
    let variables = [
        ("VAULTGRAM_JWT", &*jwt),
        ("VAULTGRAM_SOCKET", &*socket),
        ("VAULTGRAM_ROLE", &*role),
    ];
    let ran = script(elsewhere, &commands.join("\n"), &variables);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "a password of 12 signs\n"),
        "{ran:?}"
    );
}

#[test]
fn a_shell_needs_curl_and_openssl() {
    let elsewhere = Elsewhere::shared();
    secrets(elsewhere);
    let expected = format!("{}\n", block("output: shell"));
    let jwt = elsewhere.gitlab.token(&elsewhere.address);
    let ran = script(elsewhere, block("run: session"), &[("JWT", &jwt)]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, expected.as_str()),
        "{ran:?}"
    );
    let file = elsewhere.secret("page-key", &format!("{KEY}\n"));
    let key = [("KEY_FILE", file.to_str().unwrap())];
    let ran = script(elsewhere, block("run: signed"), &key);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, expected.as_str()),
        "{ran:?}"
    );
}
