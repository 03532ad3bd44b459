//! Requests for approval, asked for and decided by users of one host over a real OpenBao.

mod config;
mod waiting;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::Ran;
use crate::openbao::OpenBao;
use crate::served::Served;

/// Who asks, and who may agree; the second has an authenticator.
const ASKER: u32 = 65531;
const LEAD: u32 = 65532;
const CODED: u32 = 65533;

const CONFIG: &str = r#"mode = "0666"
[people]
carol = ["uid:65533"]
[groups]
askers = ["uid:65531"]
leads = ["uid:65532", "person:carol"]
"#;

const POLICIES: &str = r#"
@id("prod") @approvals("1") @approvers("leads") @reason("10") @grant("30m") @break_glass("15m")
permit (principal in Group::"askers", action == Action::"read", resource in Path::"secret/prod");
@id("writes") @approvals("1") @approvers("leads") @reason("10")
permit (principal in Group::"askers", action == Action::"put", resource in Path::"secret/prod");
@id("quick") @approvals("2") @approvers("leads")
permit (principal in Group::"askers", action == Action::"read", resource in Path::"secret/quick");
@id("coded") @approvals("1") @approvers("leads") @step_up("totp")
permit (principal in Group::"askers", action == Action::"read", resource in Path::"secret/coded");
@id("why") @reason("10") @grant("30m")
permit (principal in Group::"askers", action == Action::"read", resource in Path::"secret/why");
@id("free")
permit (principal in Group::"askers", action == Action::"read", resource in Path::"secret/free");
"#;

/// A host with a vaultgram.
struct Host(Served);

impl Host {
    /// One for all tests: each has paths of its own. `None` where only one user can be played.
    fn shared() -> Option<&'static Self> {
        static HOST: OnceLock<Host> = OnceLock::new();
        if !rustix::process::geteuid().is_root() {
            // Past the harness, which shows what is printed only of a test that fails.
            let said = b"\nSKIPPED: only root can become other users\n";
            std::io::stderr().write_all(said).unwrap();
            return None;
        }
        Some(HOST.get_or_init(|| {
            let bao = OpenBao::start();
            bao.must("POST", "sys/mounts/totp", &json!({"type": "totp"}));
            let key =
                json!({"key": "JBSWY3DPEHPK3PXP", "issuer": "vaultgram", "account_name": "carol"});
            bao.must("POST", "totp/keys/carol", &key);
            for name in [
                "prod/a", "prod/b", "prod/c", "prod/d", "prod/e", "prod/f", "prod/g",
            ] {
                bao.put(name, &json!({"password": "hunter2"}));
            }
            for name in [
                "quick/a", "quick/b", "coded/a", "coded/b", "free/a", "why/a",
            ] {
                bao.put(name, &json!({"password": "hunter2"}));
            }
            let served = Served::with(bao, "", CONFIG, POLICIES);
            let open = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(served.path("."), open).unwrap();
            Self(served)
        }))
    }

    fn command(&self, uid: u32, arguments: &[&str]) -> Command {
        let mut command = self.0.vaultgram(arguments);
        command.uid(uid).gid(uid);
        command
    }

    fn run(&self, uid: u32, arguments: &[&str]) -> Ran {
        Ran::from(self.command(uid, arguments).output().unwrap())
    }

    /// Runs it; what it printed, after it ended well.
    #[track_caller]
    fn good(&self, uid: u32, arguments: &[&str]) -> String {
        let ran = self.run(uid, arguments);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (0, ""),
            "{arguments:?}: {ran:?}"
        );
        ran.out
    }

    /// Opens a request to read `path`: its id.
    fn open(&self, path: &str) -> String {
        let arguments = ["request", path, "--reason", "fix the login", "--json"];
        let said: Value = serde_json::from_str(&self.good(ASKER, &arguments)).unwrap();
        said.get("id").and_then(Value::as_str).unwrap().to_owned()
    }
}

#[track_caller]
fn ends(ran: &Ran, code: i32, said: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.err.contains(said), "{said:?}: {}", ran.err);
}

#[test]
fn whoever_needs_approval_is_told_what_to_do() {
    let Some(host) = Host::shared() else { return };
    let ran = host.run(ASKER, &["get", "prod/a"]);
    ends(
        &ran,
        77,
        "error: this needs approval, and a reason of 10 characters or more\n",
    );
    let command = "vaultgram request secret/prod/a --reason TEXT --wait\n";
    assert!(ran.err.ends_with(command), "{ran:?}");
    let exec = ["exec", "--env", "A=prod/a#password", "--", "env"];
    ends(&host.run(ASKER, &exec), 77, "prod/a: this needs approval");
    ends(
        &host.run(ASKER, &["put", "prod/a", "x=1", "--yes"]),
        77,
        "vaultgram request secret/prod/a --action put --reason TEXT",
    );

    let ran = host.run(ASKER, &["request", "prod/a", "--reason", "because"]);
    ends(&ran, 64, "say why, in 10 characters or more");
    ends(
        &host.run(
            ASKER,
            &["request", "prod/none", "--reason", "fix the login"],
        ),
        66,
        "no secret",
    );
    ends(
        &host.run(ASKER, &["request", "else", "--reason", "fix the login"]),
        77,
        "denied",
    );
    ends(
        &host.run(ASKER, &["request", "free/a"]),
        64,
        "this needs no approval",
    );
    let said = host.good(ASKER, &["request", "free/a", "--wait"]);
    assert_eq!(said, "this needs no approval; just ask for it\n");

    let said = host.good(ASKER, &["request", "prod/a", "--reason", "fix the login"]);
    let id = said.split(' ').nth(1).unwrap();
    assert!(
        said.starts_with(&format!(
            "request {id} waits for 1 of leads: 0 of 1 approved, "
        )) && said.contains(&format!("vaultgram approve {id}")),
        "{said}"
    );
    let ran = host.run(ASKER, &["get", "prod/a"]);
    ends(
        &ran,
        75,
        &format!("this needs approval by 1 of leads: request {id} waits (0 of 1"),
    );
    ends(
        &host.run(ASKER, &exec),
        75,
        "prod/a: this needs approval by 1 of leads",
    );
    let ran = host.run(ASKER, &["get", "prod/a", "--json"]);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["exit"], 75);
    ends(
        &host.run(ASKER, &["request", "prod/a", "--reason", "fix the login"]),
        75,
        "this is requested already",
    );

    host.good(ASKER, &["cancel", id]);
}

#[test]
fn a_reason_that_is_enough_is_granted_at_once() {
    let Some(host) = Host::shared() else { return };
    let ran = host.run(ASKER, &["get", "why/a"]);
    let said = "error: this needs a reason of 10 characters or more\n\
                hint: ask for it: vaultgram request secret/why/a --reason TEXT\n";
    ends(&ran, 77, said);
    let said = host.good(ASKER, &["request", "why/a", "--reason", "fix the login"]);
    let id = said.split(' ').nth(1).unwrap();
    let expected = format!(
        "request {id} is granted automatically, for 30 min\n\
         ask for it as always; what was granted is given back with: vaultgram revoke {id}\n"
    );
    assert_eq!(said, expected);
    let got = host.good(ASKER, &["get", "why/a#password"]);
    assert_eq!(got, "hunter2");
    host.good(ASKER, &["revoke", id]);
    ends(&host.run(ASKER, &["get", "why/a"]), 77, "needs a reason");
    let waited = ["request", "why/a", "--reason", "fix the login", "--wait"];
    let said = host.good(ASKER, &waited);
    assert!(
        said.contains("is granted automatically, for 30 min"),
        "{said}"
    );
}

#[test]
fn a_request_is_seen_by_those_who_may_and_taken_back() {
    let Some(host) = Host::shared() else { return };
    let id = host.open("prod/f");
    let id = id.as_str();
    let list = host.good(LEAD, &["requests", "--pending"]);
    let line = list.lines().find(|line| line.starts_with(id)).unwrap();
    for cell in [
        "pending",
        "0/1",
        "uid:65531",
        "read",
        "secret/prod/f",
        "fix the login",
    ] {
        assert!(line.contains(cell), "{cell}: {list}");
    }
    let one = host.good(ASKER, &["requests", &id.to_lowercase()]);
    for line in [
        "who            uid:65531 (uid:65531)\n",
        "wants          read secret/prod/f (delivery: socket)\n",
        "needs          1 of leads (0 of 1 approved), says policy prod\n",
    ] {
        assert!(one.contains(line), "{line}: {one}");
    }
    let all: Value = serde_json::from_str(&host.good(ASKER, &["requests", "--json"])).unwrap();
    assert!(
        all["requests"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["id"] == id)
    );
    ends(&host.run(65530, &["requests", id]), 66, "no such request");
    assert_eq!(
        host.good(65530, &["requests", "--all"]),
        "there are no requests\n"
    );

    let said = host.good(ASKER, &["cancel", id]);
    assert_eq!(said, format!("request {id} is cancelled\n"));
    ends(
        &host.run(ASKER, &["cancel", id]),
        77,
        "its requester cancelled it",
    );
    for wrong in [
        &["requests", "R7"][..],
        &["requests", "R7K2XQ", "--all"],
        &["requests", "--pending", "--all"],
        &["approve"],
        &["deny", "R7K2XQ"],
        &["reviewed", "R7K2XQ"],
        &["request", "a", "--action", "eat"],
        &["request", "a", "--delivery", "message"],
        &["request", "a", "--timeout", "1h"],
        &["request", "a", "--wait", "--timeout", "soon"],
    ] {
        ends(&host.run(ASKER, wrong), 64, "--help");
    }
}

#[test]
fn the_glass_is_broken_and_somebody_looks_at_it() {
    let Some(host) = Host::shared() else { return };
    let broken = ["break-glass", "prod/e", "--reason", "production is down"];
    let said = host.good(ASKER, &broken);
    let id = said.strip_prefix("the glass is broken: request ").unwrap();
    let id = id.split(' ').next().unwrap();
    assert!(
        said.contains("is granted, for ") && said.contains("vaultgram reviewed"),
        "{said}"
    );
    assert_eq!(host.good(ASKER, &["get", "prod/e#password"]), "hunter2");
    let list = host.good(LEAD, &["requests", "--pending"]);
    let line = list.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(line.contains("granted, glass broken"), "{list}");
    ends(
        &host.run(ASKER, &["reviewed", id, "I was right"]),
        77,
        "your own",
    );
    let note = ["reviewed", id, "the database", "was down"];
    assert_eq!(
        host.good(LEAD, &note),
        format!("request {id} is reviewed\n")
    );
    let shown = host.good(LEAD, &["requests", id]);
    assert!(shown.contains(": the database was down\n"), "{shown}");
    let closed = ["break-glass", "quick/b", "--reason", "production is down"];
    ends(
        &host.run(ASKER, &closed),
        77,
        "policy lets nobody break the glass",
    );
}

#[test]
fn a_vote_with_a_code_of_an_authenticator() {
    let Some(host) = Host::shared() else { return };
    let id = host.open("coded/a");
    let ran = host.run(CODED, &["approve", &id]);
    ends(&ran, 77, "needs a code of your authenticator");
    ends(
        &ran,
        77,
        "hint: type it at a terminal, or name a file it is in with --code-file",
    );
    for (text, code, said) in [
        ("hunter2", 64, "not the 6 to 8 digits of a code"),
        (
            "000000",
            77,
            "this is not the code your authenticator shows now",
        ),
    ] {
        host.0.file("code", text);
        let ran = host.run(CODED, &["approve", &id, "--code-file", "code"]);
        ends(&ran, code, said);
        assert!(!ran.err.contains(text), "{ran:?}");
    }
    ends(
        &host.run(CODED, &["approve", &id, "--code-file", "none"]),
        66,
        "none: No such file",
    );
    let code = host.0.bao.must("GET", "totp/code/carol", &Value::Null);
    let code = code["data"]["code"].as_str().unwrap().to_owned();
    let typed = as_typed(host, &id, &code);
    assert_eq!(typed.code, 0, "{typed:?}");
    assert!(
        typed.out.contains(&format!("request {id} is granted")),
        "{typed:?}"
    );
    assert!(typed.out.contains("code of your authenticator: ") && !typed.out.contains(&code));
    for name in ["audit.jsonl", "log"] {
        let text = std::fs::read_to_string(host.0.path(name)).unwrap();
        assert!(!text.contains(&code), "{name}");
    }
    // Whose account has no authenticator learns what to do.
    let id = host.open("coded/b");
    host.0.file("code", "123456");
    let ran = host.run(LEAD, &["approve", &id, "--code-file", "code"]);
    ends(&ran, 64, "Vault knows no authenticator of uid:65532");
}

/// What is seen at a terminal at which the second approver types `code`.
fn as_typed(host: &Host, id: &str, code: &str) -> Ran {
    let command = format!(
        "setpriv --reuid {CODED} --regid {CODED} --clear-groups {} approve {id}",
        env!("CARGO_BIN_EXE_vaultgram")
    );
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(host.0.path("."))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm")
        .env("VAULTGRAM_SOCKET", host.0.path("vaultgram.sock"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Typed once it is asked for: what is typed before is shown.
    let mut out = child.stdout.take().unwrap();
    let mut seen = vec![];
    while !seen.ends_with(b"authenticator: ") {
        let mut byte = [0];
        assert_eq!(
            out.read(&mut byte).unwrap(),
            1,
            "{}",
            String::from_utf8_lossy(&seen)
        );
        seen.push(byte[0]);
    }
    // The terminal stops showing what is typed a moment after the question.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{code}").unwrap();
    out.read_to_end(&mut seen).unwrap();
    let status = child.wait().unwrap();
    Ran {
        out: String::from_utf8(seen).unwrap(),
        err: String::new(),
        code: status.code().unwrap(),
    }
}
