//! Runs of pipelines, told in chats as they go on: the compiled program, the simulated Telegram, and a
//! simulated GitHub that is looked at, or tells by webhooks.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};
use telegram_dc::{Chat, Message};

use crate::certificates::{Authority, Request};
use crate::github::{Fault, GitHub, job};
use crate::openbao::free_port;
use crate::pipelines::{REPOSITORY, prepared};
use crate::stage::{ALICE, BOB, BROKER, GROUP, PATIENCE, Stage};

const SECRET: &str = "webhook-hunter2";

impl Stage {
    /// The message about `run` in `chat`, as Alice sees it, once it says all of `parts`.
    async fn card(&self, chat: Chat, run: u64, parts: &[&str]) -> Message {
        let begins = format!("🛠 {REPOSITORY} run {run}: ");
        let card = self.dc.wait_for(ALICE, chat, PATIENCE, |it| {
            it.text.starts_with(&begins) && parts.iter().all(|part| it.text.contains(part))
        });
        card.await
            .unwrap_or_else(|| panic!("{parts:?}: {:?}\n{}", self.run_texts(chat), self.log()))
    }

    /// All messages about runs in `chat`.
    fn run_texts(&self, chat: Chat) -> Vec<String> {
        let all = self.dc.history(ALICE, chat).into_iter();
        all.map(|it| it.text)
            .filter(|text| text.starts_with("🛠"))
            .collect()
    }

    async fn start_again(&mut self) {
        let broker = self.broker.take().unwrap();
        broker.terminate();
        broker.exit().await;
        self.start().await;
    }
}

fn begin(github: &GitHub, file: &str, branch: &str) -> u64 {
    github
        .world()
        .begin(REPOSITORY, file, branch, "octocat", "push")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_in_one_message_from_its_beginning_to_its_end() {
    let (github, mut stage) = prepared(false, "poll = \"1s\"\n", "").await;
    stage.start().await;
    let group = Chat::Group(GROUP);
    let old = begin(&github, "deploy.yml", "main");
    github
        .world()
        .advance(REPOSITORY, old, "completed", Some("success"));
    for (person, text) in [
        (BOB, "/watch acme/shop"),
        (ALICE, "/watch acme/other"),
        (ALICE, "/watch secret/django"),
    ] {
        let answer = stage.answer(person, text).await;
        assert!(answer.contains("You are not permitted"), "{text}: {answer}");
    }
    stage
        .tells("/watch", &["Nothing that you may see is watched"])
        .await;
    stage
        .dc
        .send(ALICE, group, "/watch acme/shop/deploy.yml main")
        .unwrap();
    let began = stage
        .dc
        .wait_for(ALICE, Chat::User(BROKER), PATIENCE, |it| {
            it.text
                .contains("Each run of acme/shop/deploy.yml main is told in that chat")
        });
    assert!(began.await.is_some(), "{}", stage.log());

    let run = begin(&github, "deploy.yml", "main");
    let elsewhere = begin(&github, "deploy.yml", "patch");
    let card = stage
        .card(group, run, &["queued", "main at ", "by octocat"])
        .await;
    assert!(!card.silent, "{card:?}");
    let jobs = [
        job(1, "build", "completed", Some("success"), &[]),
        job(
            2,
            "test",
            "in_progress",
            None,
            &[("Run tests", "in_progress", None)],
        ),
    ];
    github.world().run(REPOSITORY, run).jobs = jobs.to_vec();
    github.world().advance(REPOSITORY, run, "in_progress", None);
    let parts = ["in progress", "Done: build", "Running: test (Run tests)"];
    stage.card(group, run, &parts).await;

    stage.start_again().await;
    let failed = [("Run tests", "completed", Some("failure"))];
    github.world().run(REPOSITORY, run).jobs[1] =
        job(2, "test", "completed", Some("failure"), &failed);
    github
        .world()
        .advance(REPOSITORY, run, "completed", Some("failure"));
    let parts = [
        "❌ failed",
        "test, at: Run tests\nhttps://github.com/acme/shop/actions/runs/1/job/2",
    ];
    let end = stage.card(group, run, &parts).await;
    assert_eq!(end.id, card.id, "one message, after a restart too");
    assert_eq!(
        stage.run_texts(group).len(),
        1,
        "{:?}",
        stage.run_texts(group)
    );
    let calls = |id: u64| github.calls(&format!("/actions/runs/{id}"));
    assert!(calls(elsewhere).is_empty() && calls(old).is_empty());
    let all = github.calls("GET");
    let kept = all.iter().filter(|it| it.status == 304).count();
    assert!(kept > 0, "what holds still is not sent again");

    // GitHub wants no requests for a while, and gets none.
    github.fault("GET", Fault::Spent(3));
    let spent = || github.calls("GET").iter().any(|it| it.status == 403);
    stage.wait("GitHub refuses", spent).await;
    let before = github.calls("").len();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(github.calls("").len() <= before + 1, "{}", stage.log());
    let other = begin(&github, "deploy.yml", "main");
    stage.card(group, other, &["queued"]).await;

    stage.dc.send(ALICE, group, "/watch").unwrap();
    let listed = stage
        .dc
        .wait_for(ALICE, Chat::User(BROKER), PATIENCE, |it| {
            it.text
                .contains("acme/shop/deploy.yml main  by telegram:1001")
        });
    assert!(listed.await.is_some(), "{:?}", stage.chat(ALICE));
    stage
        .dc
        .send(ALICE, group, "/unwatch acme/shop/deploy.yml main")
        .unwrap();
    let ended = stage
        .dc
        .wait_for(ALICE, Chat::User(BROKER), PATIENCE, |it| {
            it.text
                .contains("Runs of acme/shop/deploy.yml main are told there no more")
        });
    assert!(ended.await.is_some(), "{}", stage.log());
    let unseen = begin(&github, "deploy.yml", "main");
    github
        .world()
        .advance(REPOSITORY, other, "completed", Some("success"));
    stage.card(group, other, &["✅ succeeded"]).await;
    assert!(calls(unseen).is_empty());
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let watched = r#""action":"watch","path":"github/acme/shop/deploy.yml""#;
    assert!(audit.contains(watched), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_started_from_chat_is_told_there() {
    let (github, mut stage) =
        prepared(false, "poll = \"1s\"\n", "quiet_hours = \"00:00-23:59\"").await;
    stage.start().await;
    let question = stage.tells("/run deploy version=v1", &["Start"]).await;
    stage.confirms(&question, &["Started"]).await;
    let chat = Chat::User(BROKER);
    let card = stage.card(chat, 1001, &["queued"]).await;
    assert!(card.silent, "{card:?}");
    github
        .world()
        .advance(REPOSITORY, 1001, "completed", Some("success"));
    let end = stage.card(chat, 1001, &["✅ succeeded"]).await;
    assert_eq!(end.id, card.id);
    // Another attempt goes on in the same message.
    let question = stage.tells("/rerun 1001", &["Run 1001 again?"]).await;
    stage.confirms(&question, &["runs again"]).await;
    let again = stage.card(chat, 1001, &["queued, attempt 2"]).await;
    assert_eq!(again.id, card.id);
    assert_eq!(stage.run_texts(chat).len(), 1);
}

/// A vaultgram that is told by webhooks; its port, and whom to trust.
async fn told() -> (GitHub, Stage, u16, PathBuf) {
    let port = free_port();
    let more = format!(
        "poll = \"1h\"\nwebhook_secret_path = \"secret/vaultgram/github#webhook\"\n\
         [https]\nlisten = \"127.0.0.1:{port}\"\ncert_file = \"server.pem\"\nkey_file = \"server-key.pem\"\n"
    );
    let (github, mut stage) = prepared(true, &more, "").await;
    let token = crate::pipelines::TOKEN;
    let secrets = json!({"token": token, "webhook": format!("{SECRET}\nnext-{SECRET}")});
    stage.bao.put("vaultgram/github", &secrets);
    let authority = Authority::new(stage.path("authority"), "authority");
    let request = Request {
        common_name: "vaultgram",
        addresses: &[Ipv4Addr::LOCALHOST],
        key_usage: "digitalSignature",
        extended_key_usage: "serverAuth",
    };
    let certificate = authority.issue("server", &request);
    let key = stage.path("server-key.pem");
    std::fs::copy(&certificate.key, &key).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::copy(&certificate.certificate, stage.path("server.pem")).unwrap();
    stage.start().await;
    let trust = authority.trust();
    (github, stage, port, trust)
}

fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

/// Delivers `body`; the status of the answer, and what it says.
async fn deliver(
    (port, trust): (u16, PathBuf),
    (event, id, signature): (&str, &str, &str),
    body: String,
) -> (u16, String) {
    let headers = [
        format!("x-github-event: {event}"),
        format!("x-github-delivery: {id}"),
        format!("x-hub-signature-256: {signature}"),
    ];
    let curl = move || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--write-out", "\n%{http_code}", "--cacert"])
            .arg(&trust);
        for header in &headers {
            curl.args(["--header", header]);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), body).unwrap();
        curl.arg("--data-binary")
            .arg(format!("@{}", file.path().display()));
        curl.arg(format!("https://127.0.0.1:{port}/v1/webhooks/github"));
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    let said = tokio::task::spawn_blocking(curl).await.unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_tells_is_looked_at_at_once_and_a_forgery_is_not() {
    let (github, stage, port, trust) = told().await;
    let to = || (port, trust.clone());
    stage
        .tells("/watch acme/shop", &["Each run of acme/shop is told"])
        .await;
    // The first look is over: the next would come in an hour.
    stage
        .wait("it was looked", || {
            !github.calls("/actions/runs?").is_empty()
        })
        .await;
    let run = begin(&github, "deploy.yml", "main");
    let told = |id: u64| {
        let world = github.world();
        let mut run = world.repos[REPOSITORY].runs.iter();
        let run = run.find(|run| run.id == id).unwrap();
        let run = world.run_json(REPOSITORY, run);
        json!({"action": "in_progress", "workflow_run": run, "repository": {"full_name": REPOSITORY}})
    };
    let body = told(run).to_string();
    let good = signature(SECRET, body.as_bytes());
    let reached = github.calls("").len();
    let elsewhere = body.replace("\"full_name\":\"acme/shop\"", "\"full_name\":\"evil/shop\"");
    let unlike = json!({"action": "x"}).to_string();
    let huge = "x".repeat((1 << 20) + 1);
    for (event, id, signature, body, status, said) in [
        (
            "workflow_run",
            "a1",
            signature("wrong", body.as_bytes()),
            &body,
            403,
            "X-Hub-Signature-256",
        ),
        (
            "workflow_run",
            "a1",
            String::new(),
            &body,
            403,
            "X-Hub-Signature-256",
        ),
        (
            "workflow_run",
            "a1",
            good.clone(),
            &body.replace("main", "fork"),
            403,
            "X-Hub-Signature-256",
        ),
        (
            "workflow_run",
            "not an id",
            good.clone(),
            &body,
            400,
            "X-GitHub-Delivery",
        ),
        (
            "workflow_run",
            "a2",
            signature(SECRET, unlike.as_bytes()),
            &unlike,
            400,
            "not what GitHub sends",
        ),
        (
            "workflow_run",
            "a3",
            signature(SECRET, elsewhere.as_bytes()),
            &elsewhere,
            403,
            "serves no pipelines of this",
        ),
        (
            "workflow_run",
            "a4",
            signature(SECRET, huge.as_bytes()),
            &huge,
            413,
            "larger than",
        ),
    ] {
        let (got, words) = deliver(to(), (event, id, &signature), body.clone()).await;
        assert_eq!(got, status, "{said}: {words}");
        assert!(words.contains(said), "{words}");
        assert!(
            !words.contains("acme") && !words.contains(SECRET),
            "{words}"
        );
    }
    assert_eq!(
        github.calls("").len(),
        reached,
        "nothing was looked at for their sake"
    );
    assert!(stage.run_texts(Chat::User(BROKER)).is_empty());

    let (status, words) = deliver(to(), ("workflow_run", "b1", &good), body.clone()).await;
    assert_eq!((status, words.as_str()), (204, ""), "{}", stage.log());
    let chat = Chat::User(BROKER);
    let card = stage.card(chat, run, &["queued"]).await;
    let (status, words) = deliver(to(), ("workflow_run", "B1", &good), body).await;
    assert_eq!(status, 409, "{words}");
    github
        .world()
        .advance(REPOSITORY, run, "completed", Some("success"));
    let body = told(run).to_string();
    let good = signature(&format!("next-{SECRET}"), body.as_bytes());
    let (status, words) = deliver(to(), ("workflow_run", "b2", &good), body).await;
    assert_eq!(status, 204, "the next secret counts too: {words}");
    let end = stage.card(chat, run, &["✅ succeeded"]).await;
    assert_eq!(end.id, card.id);
    let ping = json!({"zen": "Design for failure."}).to_string();
    let good = signature(SECRET, ping.as_bytes());
    assert_eq!(deliver(to(), ("ping", "b3", &good), ping).await.0, 204);

    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let lines = audit
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let refused = lines.filter(|it| it["event"] == "proof_refused" && it["proof"] == "webhook");
    let reasons: Vec<String> = refused
        .map(|it| it["reason"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "signature",
        "signature",
        "signature",
        "no_delivery_id",
        "malformed",
        "elsewhere",
        "replayed",
    ];
    assert_eq!(reasons, expected);
    assert!(!audit.contains(SECRET) && !stage.log().contains(SECRET));
}
