//! GitHub's webhooks over HTTPS: the compiled program, the simulated Telegram and a simulated GitHub.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use ring::hmac;
use serde_json::{Value, json};
use telegram_dc::Chat;

use crate::certificates::{Authority, Request};
use crate::github::GitHub;
use crate::openbao::free_port;
use crate::pipelines::{REPOSITORY, TOKEN, prepared};
use crate::stage::{BROKER, Stage};
use crate::watching::begin;

const SECRET: &str = "webhook-hunter2";
/// What most deliveries are of.
const RUN: &str = "workflow_run";

/// A vaultgram that is told by webhooks, and watches a repository.
struct Told {
    github: GitHub,
    stage: Stage,
    /// Its port, and whom to trust.
    to: (u16, PathBuf),
}

async fn told() -> Told {
    let port = free_port();
    let more = format!(
        "poll = \"1h\"\nwebhook_secret_path = \"secret/vaultgram/github#webhook\"\n\
         [https]\nlisten = \"127.0.0.1:{port}\"\ncert_file = \"server.pem\"\nkey_file = \"server-key.pem\"\n"
    );
    let (github, mut stage) = prepared(true, &more, "").await;
    let secrets = json!({"token": TOKEN, "webhook": format!("{SECRET}\nnext-{SECRET}")});
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
    stage
        .tells("/watch acme/shop", &["Each run of acme/shop is told"])
        .await;
    // The next look by itself would come in an hour.
    let looked = || !github.calls("per_page=20").is_empty();
    stage.wait("it was looked", looked).await;
    Told {
        github,
        stage,
        to: (port, authority.trust()),
    }
}

impl Told {
    /// What GitHub tells of a run as it is now.
    fn about(&self, id: u64) -> String {
        self.github.world().told_of_run(REPOSITORY, id).to_string()
    }

    /// Why deliveries were refused, by the audit.
    fn refused(&self) -> Vec<String> {
        let audit = std::fs::read_to_string(self.stage.path("audit.jsonl")).unwrap();
        assert!(!audit.contains(SECRET) && !self.stage.log().contains(SECRET));
        let lines = audit.lines().map(serde_json::from_str::<Value>);
        let refused = lines
            .map(Result::unwrap)
            .filter(|it| it["event"] == "proof_refused" && it["proof"] == "webhook");
        refused
            .map(|it| it["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Delivers `body`; the status of the answer, and what it says.
    async fn deliver(
        &self,
        (event, id, signature): (&str, &str, &str),
        body: &str,
    ) -> (u16, String) {
        let (port, trust) = self.to.clone();
        let body = body.to_owned();
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
}

fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_or_not_for_us_is_refused_and_on_record() {
    let told = told().await;
    let run = begin(&told.github, "deploy.yml", "main");
    let body = told.about(run);
    let good = signature(SECRET, body.as_bytes());
    let reached = told.github.calls("").len();
    let elsewhere = body.replace("\"full_name\":\"acme/shop\"", "\"full_name\":\"evil/shop\"");
    let unlike = json!({"action": "x"}).to_string();
    let huge = "x".repeat((1 << 20) + 1);
    let signed = |body: &str| signature(SECRET, body.as_bytes());
    let wrong = signature("wrong", body.as_bytes());
    let changed = body.replace("main", "fork");
    let badly = "X-Hub-Signature-256";
    for (id, signature, body, status, said) in [
        ("a1", &wrong, &body, 403, badly),
        ("a1", &String::new(), &body, 403, badly),
        ("a1", &good, &changed, 403, badly),
        ("not an id", &good, &body, 400, "X-GitHub-Delivery"),
        (
            "a2",
            &signed(&unlike),
            &unlike,
            400,
            "not what GitHub sends",
        ),
        (
            "a3",
            &signed(&elsewhere),
            &elsewhere,
            403,
            "serves no pipelines of this",
        ),
        ("a4", &signed(&huge), &huge, 413, "larger than"),
    ] {
        let (got, words) = told.deliver((RUN, id, signature), body).await;
        assert_eq!(got, status, "{said}: {words}");
        assert!(words.contains(said), "{words}");
        assert!(
            !words.contains("acme") && !words.contains(SECRET),
            "{words}"
        );
    }
    let asked = told.github.calls("").len();
    assert_eq!(asked, reached, "nothing was looked at for their sake");
    assert!(told.stage.run_texts(Chat::User(BROKER)).is_empty());
    let expected = [
        "signature",
        "signature",
        "signature",
        "no_delivery_id",
        "malformed",
        "elsewhere",
        "too_large",
    ];
    assert_eq!(told.refused(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_tells_is_looked_at_at_once_and_counts_once() {
    let told = told().await;
    let run = begin(&told.github, "deploy.yml", "main");
    let (body, chat) = (told.about(run), Chat::User(BROKER));
    let good = signature(SECRET, body.as_bytes());
    let (status, words) = told.deliver((RUN, "b1", &good), &body).await;
    assert_eq!((status, words.as_str()), (204, ""), "{}", told.stage.log());
    let card = told.stage.card(chat, run, &["queued"]).await;
    let (status, words) = told.deliver((RUN, "B1", &good), &body).await;
    assert_eq!(status, 409, "{words}");
    assert_eq!(told.refused(), ["replayed"]);

    told.github
        .world()
        .advance(REPOSITORY, run, "completed", Some("success"));
    let body = told.about(run);
    let next = signature(&format!("next-{SECRET}"), body.as_bytes());
    let (status, words) = told.deliver((RUN, "b2", &next), &body).await;
    assert_eq!(status, 204, "the next secret counts too: {words}");
    let end = told.stage.card(chat, run, &["✅ succeeded"]).await;
    assert_eq!(end.id, card.id);
    let ping = json!({"zen": "Design for failure."}).to_string();
    let good = signature(SECRET, ping.as_bytes());
    assert_eq!(told.deliver(("ping", "b3", &good), &ping).await.0, 204);
}
