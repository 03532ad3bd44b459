//! The action under `act`, which runs workflows as GitHub's runner does: what its steps get, and that
//! no log shows any of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Elsewhere;

/// A folder with a workflow in it, as a repository.
pub(super) struct Repository {
    folder: TempDir,
    /// Where act keeps its copy of it.
    home: TempDir,
}

impl Repository {
    /// The action is in the folder `action`.
    pub(super) fn new(workflow: &str) -> Self {
        Self::with(&[("w.yml", workflow)])
    }

    /// With several workflows, by the names of their files.
    pub(super) fn with(workflows: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let action = Path::new(env!("CARGO_MANIFEST_DIR")).join("action");
        let run = |program: &str, arguments: &[&str]| {
            let ran = Command::new(program)
                .args(arguments)
                .current_dir(folder.path())
                .output();
            let ran = ran.unwrap();
            assert!(ran.status.success(), "{program} {arguments:?}: {ran:?}");
        };
        run("cp", &["-r", action.to_str().unwrap(), "action"]);
        let place = folder.path().join(".github/workflows");
        std::fs::create_dir_all(&place).unwrap();
        for (name, workflow) in workflows {
            std::fs::write(place.join(name), workflow).unwrap();
        }
        run("git", &["init", "--quiet"]);
        run("git", &["add", "--all"]);
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        run(
            "git",
            &[&who[..], &["commit", "--quiet", "--message", "x"]].concat(),
        );
        let home = tempfile::tempdir().unwrap();
        Self { folder, home }
    }

    /// Runs its workflow; whether all went well, and the log.
    pub(super) fn act(&self, elsewhere: &Elsewhere) -> (bool, String) {
        let mut command = Command::new(tool("act"));
        command
            .args(["push", "--platform", "ubuntu-24.04=-self-hosted"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", path());
        let ca = elsewhere.served.path("ca.pem");
        command.args(["--env", &format!("VAULTGRAM_CACERT={}", ca.display())]);
        for (name, value) in elsewhere.issuer.variables() {
            command.args(["--env", &format!("{name}={value}")]);
        }
        let ran = command.output().unwrap();
        let log = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8(log).unwrap())
    }
}

/// Where `vaultgram` and all else is found.
pub(super) fn path() -> String {
    let ours = Path::new(env!("CARGO_BIN_EXE_vaultgram")).parent().unwrap();
    format!("{}:/usr/local/bin:/usr/bin:/bin", ours.display())
}

/// A program that `make tools` installs.
fn tool(name: &str) -> PathBuf {
    let tools = crate::openbao::bao();
    let tool = tools.parent().unwrap().join("../venv/bin").join(name);
    assert!(
        tool.exists(),
        "{} is missing; run: make tools",
        tool.display()
    );
    tool
}

/// Values that a careless log shows.
fn values() -> Vec<(&'static str, String)> {
    let json = json!({"key": "leaf \"quoted\" <&> \\ value", "list": ["another-leaf", 771_234]});
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END-----\n";
    vec![
        ("PEM", pem.to_owned()),
        ("WINDOWS", "first-of-two\r\nsecond-of-two\r\n".to_owned()),
        ("JSON", json.to_string()),
        ("PERCENT", "100%of%%it::add-mask::x%".to_owned()),
        (
            "COMMAND",
            "::set-output name=a::b-c-d\n::stop-commands::pause-it".to_owned(),
        ),
        ("DELIMITER", "ghadelimiter_and\nEOF\nnot-the-end".to_owned()),
        ("EMPTY", String::new()),
        ("SHORT", "q7".to_owned()),
    ]
}

/// Everything that no log may show of `value`.
fn forbidden(value: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let lines = value.split(['\r', '\n']).chain([value]);
    for text in lines.map(str::trim).filter(|text| text.len() > 1) {
        let json = serde_json::to_string(text).unwrap();
        all.insert(text.to_owned());
        all.insert(json.trim_matches('"').to_owned());
        all.insert(
            text.replace('%', "%25")
                .replace('\r', "%0D")
                .replace('\n', "%0A"),
        );
        if text.len() > 3 {
            all.insert(STANDARD.encode(text));
        }
    }
    all
}

/// act takes a carriage return at the end of a line away, as GitHub's runner does not.
fn as_act_reads(value: &str) -> String {
    value.replace("\r\n", "\n")
}

const WORKFLOW: &str = r#"on: push
permissions: {}
jobs:
  job:
    runs-on: ubuntu-24.04
    permissions:
      id-token: write
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8
      - id: vaultgram
        uses: ./action
        with:
          url: {ADDRESS}
          secrets: secret/data/app/odd *
          files: |
            A_FILE=app/odd#PEM
          ca-certificate: |
{CA}
      - env:
          ALL: ${{ steps.vaultgram.outputs.secrets }}
        run: |
          echo "$PEM$WINDOWS$JSON$PERCENT"; echo "$COMMAND"; echo "$DELIMITER $EMPTY $SHORT"
          echo "$ALL"
          cat "$A_FILE"
          stat --format 'mode %a' "$A_FILE"
          jq -r .JSON <<<"$ALL"
          printf '%s' "$ALL" >>"$COPY"
          env -0 >>"$COPY"
        shell: bash
      - uses: ./action/cleanup
      - run: test ! -e "$A_FILE" && test -z "$(ls "$RUNNER_TEMP" | grep vaultgram)" && echo "the file is gone"
"#;

#[test]
fn no_log_shows_what_the_steps_get() {
    let elsewhere = Elsewhere::shared();
    let fields: serde_json::Map<String, Value> = values()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    elsewhere.served.put("app/odd", &Value::Object(fields));
    let ca = std::fs::read_to_string(elsewhere.served.path("ca.pem")).unwrap();
    let ca = ca.replace('\n', "\n            ");
    let ca = format!("            {}\n", ca.trim_end());
    let copy = elsewhere.served.file("copy", "");
    let workflow = WORKFLOW
        .replace("{ADDRESS}", &elsewhere.address)
        .replace("{CA}\n", &ca)
        .replace("$COPY", copy.to_str().unwrap());
    let (well, log) = Repository::new(&workflow).act(elsewhere);
    assert!(well, "{log}");
    assert!(
        log.contains("mode 600") && log.contains("the file is gone"),
        "{log}"
    );
    // The steps have all of it.
    let copy = std::fs::read_to_string(copy).unwrap();
    for (name, value) in values() {
        let variable = format!("{name}={}\0", as_act_reads(&value));
        assert!(copy.contains(&variable), "{name}: {copy:?}");
    }
    let (all, _) = copy.split_once("\n}").unwrap();
    let all: Value = serde_json::from_str(&format!("{all}\n}}")).unwrap();
    for (name, value) in values() {
        assert_eq!(all[name], as_act_reads(&value), "{name}");
        for shown in forbidden(&value) {
            assert!(!log.contains(&shown), "{name}: {shown:?} in {log}");
        }
    }
}

#[test]
fn an_input_that_is_wrong_ends_the_step() {
    let elsewhere = Elsewhere::shared();
    let run = |variables: &[(&str, &str)]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("action/get.sh");
        let mut command = Command::new("bash");
        command.arg(script).env_clear().env("PATH", path());
        for name in [
            "SECRETS",
            "FILES",
            "WAIT",
            "REASON",
            "CA_CERTIFICATE",
            "DOWNLOAD",
            "SHA256",
        ] {
            command.env(name, "");
        }
        command
            .env("BINARY", "vaultgram")
            .env("EXPORT_ENV", "true")
            .env("RUNNER_TEMP", elsewhere.served.path("."))
            .env("VAULTGRAM_SOCKET", &elsewhere.address)
            .envs(variables.iter().copied());
        crate::Ran::from(command.output().unwrap())
    };
    let zeros = "0".repeat(64);
    for (variables, said) in [
        (
            &[("EXPORT_ENV", "yes")][..],
            "::error::export-env: true or false",
        ),
        (&[("BINARY", "no-such")], "::error::there is no vaultgram"),
        (&[("DOWNLOAD", "https://x/v")], "::error::sha256: needed"),
        (
            &[("DOWNLOAD", "http://x/v"), ("SHA256", &zeros)],
            "::error::download: must begin with https://",
        ),
    ] {
        let ran = run(variables);
        assert_eq!(ran.code, 64, "{variables:?}: {ran:?}");
        assert!(ran.out.starts_with(said), "{variables:?}: {ran:?}");
    }
    let ran = run(&[]);
    assert!(
        ran.code == 64 && ran.err.contains("no job of GitHub"),
        "{ran:?}"
    );
    let ran = run(&[("GITHUB_ACTIONS", "true")]);
    assert!(
        ran.code == 64 && ran.err.contains("no secret is asked for"),
        "{ran:?}"
    );
}

#[test]
fn nothing_in_it_is_known_to_be_dangerous() {
    let action = Path::new(env!("CARGO_MANIFEST_DIR")).join("action");
    let ran = Command::new(tool("zizmor"))
        .args(["--offline", "--no-progress", "--persona", "pedantic"])
        .args([action.join("example.yml"), action])
        .output();
    let ran = ran.unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stdout)
    );
}

#[test]
fn what_is_downloaded_is_what_was_looked_at() {
    // A curl that gives whoever asks this file.
    let folder = tempfile::tempdir().unwrap();
    let curl = folder.path().join("curl");
    let fake = "#!/bin/sh\nwhile [ \"$1\" != --output ]; do shift; done\n\
                printf '#!/bin/sh\\necho ran \"$@\"\\n' >\"$2\"\n";
    std::fs::write(&curl, fake).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&curl, open).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("action/get.sh");
    let run = |sum: &str| {
        let mut command = Command::new("bash");
        command.arg(&script).env_clear();
        for name in ["FILES", "WAIT", "REASON", "CA_CERTIFICATE"] {
            command.env(name, "");
        }
        command
            .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
            .env("SECRETS", "a b")
            .env("BINARY", "vaultgram")
            .env("EXPORT_ENV", "false")
            .env("RUNNER_TEMP", folder.path())
            .env("DOWNLOAD", "https://example.com/vaultgram")
            .env("SHA256", sum);
        crate::Ran::from(command.output().unwrap())
    };
    let ran = run(&"0".repeat(64));
    assert_eq!(ran.code, 64, "{ran:?}");
    assert!(ran.out.contains("its SHA-256 is not the one"), "{ran:?}");
    let program = "#!/bin/sh\necho ran \"$@\"\n";
    let ran = run(&hex::encode(<sha2::Sha256 as sha2::Digest>::digest(
        program,
    )));
    assert_eq!(
        ran.out, "ran github --secrets a b --no-variables\n",
        "{ran:?}"
    );
    // At the end nothing of it is left, and what others have there is.
    let cleanup = include_str!("../../../action/cleanup/action.yml");
    let (_, script) = cleanup.split_once("run: ").unwrap();
    let there = || {
        let there = std::fs::read_dir(folder.path()).unwrap();
        let names = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(there().len(), 3, "curl and two downloads: {:?}", there());
    for _ in 0..2 {
        let mut command = Command::new("bash");
        command.args(["-e", "-o", "pipefail", "-c", script]);
        let ran = command.env("RUNNER_TEMP", folder.path()).status();
        assert!(ran.unwrap().success());
        assert_eq!(there(), ["curl".to_owned()].into());
    }
}
