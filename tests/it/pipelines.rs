//! Pipelines from chat: the compiled program, the simulated Telegram and a simulated GitHub.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use telegram_dc::Chat;

use crate::crud::code_in;
use crate::github::{AppKey, Fault, GitHub, commit, pending};
use crate::metrics::metrics;
use crate::setting;
use crate::stage::{ALICE, BOB, BROKER, PATIENCE, Setting, Stage};

pub(crate) const TOKEN: &str = "github_pat_11AAAAAAA0hunter2hunter2hunter2";
pub(crate) const REPOSITORY: &str = "acme/shop";
const POLICY: &str = r#"
permit(
    principal == TelegramUser::"1001",
    action in [Action::"operate", Action::"observe"],
    resource in Path::"github/acme/shop"
);
@id("production") @approvals("1") @approvers("leads") @grant("30m")
forbid(principal, action == Action::"run", resource == Path::"github/acme/shop/production.yml");
"#;

/// A stage whose broker serves the pipelines of a repository, with its token in the environment or in Vault.
async fn stage(in_vault: bool) -> (GitHub, Stage) {
    let (github, mut stage) = prepared(in_vault, "", "").await;
    stage.start().await;
    (github, stage)
}

/// As [`stage`], before vaultgram starts; with more lines of `[github]` and what follows it, and of
/// `[telegram]`.
pub(crate) async fn prepared(in_vault: bool, more: &str, telegram: &str) -> (GitHub, Stage) {
    let github = GitHub::start().await;
    let files = ["deploy.yml", "production.yml"];
    github.world().furnish(TOKEN, REPOSITORY, &files);
    let setting = Setting {
        telegram,
        ..setting()
    };
    let stage = Stage::build(setting).await;
    for person in [ALICE, BOB] {
        stage.dc.send(person, Chat::User(BROKER), "hello").unwrap();
    }
    let mut section = format!(
        "[github]\naddress = \"{}\"\nrepositories = [\"Acme/Shop\"]\n",
        github.url()
    );
    if in_vault {
        stage.bao.put("vaultgram/github", &json!({"token": TOKEN}));
        section += "token_path = \"secret/vaultgram/github#token\"\n";
    } else {
        let file = stage.path(".env");
        std::fs::write(&file, format!("VAULTGRAM_GITHUB_TOKEN={TOKEN}\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let file = stage.path("vaultgram.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let people = "[people]\nalice = [\"telegram:1001\"]\nbob = [\"telegram:1002\"]\n\
                  [groups]\nleads = [\"person:bob\"]\n";
    let config = config.replace("[groups]\n", people);
    std::fs::write(&file, format!("{config}\n{section}{more}")).unwrap();
    let file = stage.path("policy.cedar");
    let policy = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{policy}{POLICY}")).unwrap();
    (github, stage)
}

impl Stage {
    /// Asks, and has the answer; what is told of runs meanwhile is none.
    pub(crate) async fn answer(&self, person: i64, text: &str) -> String {
        let chat = Chat::User(BROKER);
        let last = self.chat(person).last().map_or(0, |message| message.id);
        self.dc.send(person, chat, text).unwrap();
        let answer = self.dc.wait_for(person, chat, PATIENCE, |it| {
            !it.out && it.id > last && !it.text.starts_with("🛠")
        });
        let answer = answer.await;
        answer
            .unwrap_or_else(|| panic!("no answer to {text}; log:\n{}", self.log()))
            .text
    }

    /// Asks as Alice, and holds the answer against what it must say.
    pub(crate) async fn tells(&self, text: &str, expected: &[&str]) -> String {
        let answer = self.answer(ALICE, text).await;
        for part in expected {
            assert!(
                answer.contains(part),
                "{text}: {part}: {answer}\n{}",
                self.log()
            );
        }
        answer
    }

    pub(crate) async fn confirms(&self, question: &str, expected: &[&str]) -> String {
        let confirm = format!("/confirm {}", code_in(question));
        self.tells(&confirm, expected).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_started_looked_at_stopped_and_run_again() {
    let (github, stage) = stage(false).await;
    let question = stage.tells(
        "/run deploy version=v1.2",
        &[
            "Start acme/shop deploy.yml?",
            "Ref: main, commit ",
            "Inputs: colour=blue, version=v1.2",
            "Last change: Fix the till, by Octo Cat (@octocat)",
        ],
    );
    let question = question.await;
    assert!(!question.contains("It was broken"), "{question}");
    assert!(
        github.calls("/dispatches").is_empty(),
        "asking starts nothing"
    );
    let started = [
        "Started acme/shop deploy.yml on main: run 1001.",
        "/acme/shop/actions/runs/1001",
    ];
    stage.confirms(&question, &started).await;
    let run = github.world().run(REPOSITORY, 1001).clone();
    assert_eq!(run.inputs, json!({"version": "v1.2", "colour": "blue"}));
    stage
        .confirms(&question, &["Nothing waits for you under this code"])
        .await;
    stage
        .tells(
            "/runs deploy",
            &["Runs of acme/shop deploy.yml", "1001  queued"],
        )
        .await;
    stage
        .tells(
            "/cancel_run 1001",
            &["Run 1001 of acme/shop deploy.yml is being stopped"],
        )
        .await;
    stage
        .tells("/cancel_run 1001", &["The run cannot do that now"])
        .await;
    let again = stage
        .tells("/rerun 1001", &["Run 1001 again?", "cancelled"])
        .await;
    stage
        .confirms(&again, &["Run 1001 of acme/shop deploy.yml runs again."])
        .await;
    github.world().run(REPOSITORY, 1001).pending = vec![pending(5, "production", true)];
    let go_on = stage
        .tells("/approve_run 1001", &["Let run 1001 go on to production?"])
        .await;
    stage.confirms(&go_on, &["goes on to production."]).await;
    github.world().run(REPOSITORY, 1001).pending = vec![pending(5, "production", true)];
    let no = ["Run 1001 of acme/shop deploy.yml does not go on to production."];
    stage.tells("/deny_run 1001 not before noon", &no).await;
    let reviews = github.world().run(REPOSITORY, 1001).reviews.clone();
    assert_eq!(
        reviews[1]["comment"],
        "telegram:1001 through vaultgram: not before noon"
    );
    assert_eq!(github.calls("/dispatches").len(), 1);
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    assert!(audit.contains(r#""event":"started","run":1001"#), "{audit}");
    assert!(audit.contains(r#"?event=workflow_dispatch","version":1001"#));
    let entries = audit.lines().map(serde_json::from_str::<Value>);
    let entries: Vec<_> = entries.map(Result::unwrap).collect();
    for action in [
        "cancel_run",
        "rerun",
        "approve_deployment",
        "deny_deployment",
    ] {
        let done = |it: &&Value| it["event"] == "done" && it["action"] == action;
        let done: Vec<_> = entries.iter().filter(done).collect();
        let runs: Vec<_> = done.iter().map(|it| &it["version"]).collect();
        assert_eq!(runs, [1001], "{action}: {audit}");
    }
    assert!(!audit.contains("hunter2") && !stage.log().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_said_with_what_to_do() {
    let (github, stage) = stage(false).await;
    for (text, said) in [
        ("/run", "The workflow is missing"),
        (
            "/run deploy",
            "The input version is missing; give version=TEXT",
        ),
        (
            "/run deploy version=v1 colour=red",
            "The input colour must be one of: blue, green",
        ),
        (
            "/run deploy main verison=v1",
            "The workflow has no input verison; it has version, colour",
        ),
        ("/run nothing version=v1", "There is no such workflow"),
        ("/run deploy nowhere version=v1", "There is no such"),
        ("/run acme/other:deploy version=v1", "You are not permitted"),
        ("/cancel_run 7", "There is no such run"),
        ("/runs nothing", "There is no such workflow"),
        (
            "/get_secret github/acme/shop/deploy.yml",
            "You are not permitted",
        ),
    ] {
        stage.tells(text, &[said]).await;
    }
    for text in [
        "/run deploy version=v1",
        "/run nothing",
        "/runs",
        "/cancel_run 7",
    ] {
        let answer = stage.answer(BOB, text).await;
        assert!(answer.contains("You are not permitted"), "{text}: {answer}");
    }
    let question = stage.tells("/run deploy version=v1", &["Start"]).await;
    let moved = commit("elsewhere", "Break the till", "Octo Cat");
    let branch = "main".to_owned();
    github
        .world()
        .repo(REPOSITORY)
        .commits
        .insert(branch, moved);
    stage
        .confirms(&question, &["Nothing was started: what would run is not"])
        .await;
    let question = stage
        .tells("/run deploy version=v1", &["Break the till"])
        .await;
    github.fault("/dispatches", Fault::Lost);
    stage.confirms(&question, &["Started"]).await;
    assert_eq!(
        github.calls("/dispatches").len(),
        1,
        "a lost answer starts nothing twice"
    );
    github.fault("GET", Fault::Spent(3600));
    stage
        .tells(
            "/runs",
            &["GitHub takes no more requests of vaultgram's until"],
        )
        .await;
    drop(github);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_is_away_is_said_to_be() {
    let (github, stage) = stage(false).await;
    let question = stage.tells("/run deploy version=v1", &["Start"]).await;
    for _ in 0..40 {
        github.fault("", Fault::Dropped);
    }
    stage
        .tells(
            "/runs",
            &["GitHub cannot be reached now; try again in a moment"],
        )
        .await;
    stage
        .confirms(
            &question,
            &["GitHub cannot be reached", "the question still stands"],
        )
        .await;
    // Which is nobody's mistake, and nothing was done.
    let counted = metrics(&stage);
    for (outcome, times) in [("failed", 2), ("mistaken", 0), ("operated", 0)] {
        let line = format!(
            "\nvaultgram_requests_total{{front_end=\"telegram\",decision=\"allow\",\
             outcome=\"{outcome}\"}} {times}\n"
        );
        assert!(counted.contains(&line), "{line}{counted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn production_waits_for_somebody_who_sees_what_would_run() {
    let (github, stage) = stage(true).await;
    stage
        .tells(
            "/run production version=v1",
            &["This needs approval, so I opened request"],
        )
        .await;
    let card = stage.dc.wait_for(BOB, Chat::User(BROKER), PATIENCE, |it| {
        !it.out && it.text.starts_with("📋 Request ")
    });
    let card = card.await.unwrap().text;
    for part in [
        "What: start acme/shop production.yml",
        "Ref: main, commit ",
        "Inputs: colour=blue, version=v1",
    ] {
        assert!(card.contains(part), "{part}: {card}");
    }
    let id = card.split(' ').nth(2).unwrap().to_owned();
    stage.ask(BOB, &format!("/approve {id}")).await;
    let told = stage
        .dc
        .wait_for(ALICE, Chat::User(BROKER), PATIENCE, |it| {
            !it.out
                && it
                    .text
                    .contains("/run acme/shop:production.yml main colour=blue version=v1")
        });
    assert!(told.await.is_some(), "{:?}", stage.chat(ALICE));
    stage
        .tells("/run production version=v2", &["This needs approval"])
        .await;
    let question = "/run acme/shop:production.yml main colour=blue version=v1";
    let question = stage
        .tells(question, &["Start acme/shop production.yml?"])
        .await;
    stage
        .confirms(
            &question,
            &["Started acme/shop production.yml on main: run 1001."],
        )
        .await;
    assert_eq!(github.calls("/dispatches").len(), 1);
    let run = |arguments: &[&str]| {
        let ran = stage.vaultgram(arguments).output().unwrap();
        String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap()
    };
    let checked = run(&["check"]);
    assert!(
        checked.contains("pipelines ") && checked.contains("Acme/Shop"),
        "{checked}"
    );
    let found = run(&["doctor"]);
    let seen = " shows the runs of acme/shop";
    assert!(
        found.contains("ok    github         http://127.0.0.1:") && found.contains(seen),
        "{found}"
    );
    // A token that GitHub does not take any more.
    github.world().tokens.clear();
    let found = run(&["doctor"]);
    assert!(
        found.contains("FAIL  github") && found.contains("does not let vaultgram in"),
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_key_may_be_in_vault() {
    let more = "app_id = \"Iv23liHunter2\"\napp_key_path = \"secret/vaultgram/github#app_key\"\n";
    let (github, mut stage) = prepared(false, more, "").await;
    let key = AppKey::new();
    let pem = String::from_utf8(key.pem.clone()).unwrap();
    let app = ("Iv23liHunter2".to_owned(), "vaultgram".to_owned(), key);
    github.world().app = Some(app);
    // It is no account's token that is used.
    github.world().tokens.clear();
    stage.bao.put("vaultgram/github", &json!({"app_key": pem}));
    stage.start().await;
    let question = stage.tells("/run deploy version=v1", &["Start"]).await;
    stage
        .confirms(&question, &["Started acme/shop deploy.yml"])
        .await;
    let begun = github.world().repo(REPOSITORY).runs.last().cloned();
    assert_eq!(begun.unwrap().actor, "vaultgram[bot]");
    let found = stage.vaultgram(&["doctor"]).output().unwrap().stdout;
    let found = String::from_utf8(found).unwrap();
    assert!(found.contains("shows the runs of acme/shop"), "{found}");
    assert!(!stage.log().contains("PRIVATE KEY") && !found.contains("PRIVATE KEY"));
}
