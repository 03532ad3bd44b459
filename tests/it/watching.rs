//! Runs of pipelines, told in chats as they go on: the compiled program, the simulated Telegram, and a
//! simulated GitHub that is looked at.

use std::time::Duration;

use telegram_dc::{Chat, Message};

use crate::github::{Fault, GitHub, job};
use crate::pipelines::{REPOSITORY, prepared};
use crate::stage::{ALICE, BOB, BROKER, GROUP, PATIENCE, Stage};

impl Stage {
    /// The message about `run` in `chat`, as Alice sees it, once it says all of `parts`.
    pub(crate) async fn card(&self, chat: Chat, run: u64, parts: &[&str]) -> Message {
        let begins = format!("🛠 {REPOSITORY} run {run}: ");
        let card = self.dc.wait_for(ALICE, chat, PATIENCE, |it| {
            it.text.starts_with(&begins) && parts.iter().all(|part| it.text.contains(part))
        });
        card.await
            .unwrap_or_else(|| panic!("{parts:?}: {:?}\n{}", self.run_texts(chat), self.log()))
    }

    /// All messages about runs in `chat`.
    pub(crate) fn run_texts(&self, chat: Chat) -> Vec<String> {
        let all = self.dc.history(ALICE, chat).into_iter();
        all.map(|it| it.text)
            .filter(|text| text.starts_with("🛠"))
            .collect()
    }

    /// Has Alice say `text` in the group; what she is told in private then.
    async fn is_told_after(&self, text: &str, expected: &str) {
        self.dc.send(ALICE, Chat::Group(GROUP), text).unwrap();
        let private = Chat::User(BROKER);
        let told = self.dc.wait_for(ALICE, private, PATIENCE, |it| {
            !it.out && it.text.contains(expected)
        });
        let told = told.await;
        assert!(told.is_some(), "{:?}\n{}", self.chat(ALICE), self.log());
    }

    async fn start_again(&mut self) {
        let broker = self.broker.take().unwrap();
        broker.terminate();
        broker.exit().await;
        self.start().await;
    }
}

pub(crate) fn begin(github: &GitHub, file: &str, branch: &str) -> u64 {
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
        .is_told_after(
            "/watch acme/shop/deploy.yml main",
            "Each run of acme/shop/deploy.yml main is told in that chat",
        )
        .await;

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
    let kept = || github.calls("GET").iter().any(|it| it.status == 304);
    stage.wait("what holds still is not sent again", kept).await;
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let watched = r#""action":"watch","path":"github/acme/shop/deploy.yml""#;
    assert!(audit.contains(watched), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_left_alone_when_it_wants_that_and_a_watch_has_an_end() {
    let (github, mut stage) = prepared(false, "poll = \"1s\"\n", "").await;
    stage.start().await;
    let group = Chat::Group(GROUP);
    stage
        .is_told_after(
            "/watch acme/shop/deploy.yml main",
            "Each run of acme/shop/deploy.yml main is told in that chat",
        )
        .await;
    github.fault("GET", Fault::Spent(3));
    let spent = || github.calls("GET").iter().any(|it| it.status == 403);
    stage.wait("GitHub refuses", spent).await;
    let before = github.calls("").len();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(github.calls("").len() <= before + 1, "{}", stage.log());
    let run = begin(&github, "deploy.yml", "main");
    stage.card(group, run, &["queued"]).await;

    let listed = "acme/shop/deploy.yml main  by telegram:1001";
    stage.is_told_after("/watch", listed).await;
    stage
        .is_told_after(
            "/unwatch acme/shop/deploy.yml main",
            "Runs of acme/shop/deploy.yml main are told there no more",
        )
        .await;
    let unseen = begin(&github, "deploy.yml", "main");
    github
        .world()
        .advance(REPOSITORY, run, "completed", Some("success"));
    stage.card(group, run, &["✅ succeeded"]).await;
    let calls = github.calls(&format!("/actions/runs/{unseen}"));
    assert!(calls.is_empty());
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
