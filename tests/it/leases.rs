//! Leases of PostgreSQL's users: shown, kept, and gone from PostgreSQL when they are revoked, when
//! vaultgram stops, and when it starts after a crash.

use std::time::Duration;

use serde_json::Value;
use telegram_dc::{Chat, Fault};

use crate::engines::{leases, real_bao, run, serving, serving_as};
use crate::postgres::Postgres;
use crate::setting;
use crate::stage::{ALICE, BOB, BROKER, Setting, Stage};

/// The token is given to vaultgram, so that it does not end with it, nor the leases with the token.
fn given_token() -> Setting<'static> {
    Setting {
        plain_token: true,
        ..setting()
    }
}

/// A user of PostgreSQL's, as a message tells it.
struct Account {
    user: String,
    password: String,
    code: String,
}

impl Account {
    fn read(message: &str) -> Self {
        let after = |mark: &str, end: &str| {
            let (_, rest) = message
                .split_once(mark)
                .unwrap_or_else(|| panic!("{message}"));
            rest.split(end).next().unwrap().to_owned()
        };
        Self {
            user: after("username: ", "\n"),
            password: after("password: ", "\n"),
            code: after("(lease ", ","),
        }
    }

    async fn ask(stage: &Stage, role: &str) -> Self {
        let message = stage
            .ask(ALICE, &format!("/get_secret database/creds/{role}"))
            .await;
        Self::read(&message)
    }

    fn works(&self, postgres: &Postgres) -> bool {
        postgres.lets_in(&self.user, &self.password)
    }
}

/// The events of the audit that are about leases, and who made them.
fn audited(stage: &Stage) -> Vec<(String, String)> {
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let records = audit
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let about = records.filter(|record| record["action"].to_string().contains("_lease"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    about
        .map(|record| {
            assert!(
                text(&record["lease"]).starts_with(&text(&record["path"])),
                "{record}"
            );
            (text(&record["event"]), text(&record["caller"]))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chat_a_lease_is_shown_kept_and_revoked_by_its_holder_alone() {
    let (stage, postgres) = serving().await;
    let account = Account::ask(&stage, "brief").await;
    let code = &account.code;
    let said = stage.ask(ALICE, &format!("/keep_lease {code} 10m")).await;
    assert!(
        said.contains("kept for 10 min") && said.contains("grants 3 s now"),
        "{said}"
    );
    let said = stage.ask(BOB, "/leases").await;
    assert_eq!(said, "There are no leases.");
    for command in [
        format!("/keep_lease {code} 8h"),
        format!("/revoke_lease {code}"),
    ] {
        let said = stage.ask(BOB, &command).await;
        assert!(said.starts_with("You have no such lease"), "{said}");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(account.works(&postgres), "past its first time");
    let said = stage.ask(ALICE, "/leases").await;
    assert!(
        said.contains(code) && said.contains("kept for 9 min"),
        "{said}"
    );
    let said = stage.ask(ALICE, &format!("/keep_lease {code} 8h")).await;
    assert!(
        said.contains("kept for 29 min") && said.contains("no longer"),
        "{said}"
    );
    let said = stage.ask(ALICE, &format!("/revoke_lease {code}")).await;
    assert!(said.contains("is revoked"), "{said}");
    assert!(!account.works(&postgres));
    let said = stage.ask(ALICE, "/leases").await;
    assert_eq!(said, "There are no leases.");

    // Not kept, it ends.
    let other = Account::ask(&stage, "brief").await;
    assert!(other.works(&postgres));
    stage.wait("it has ended", || !other.works(&postgres)).await;

    let found = audited(&stage);
    let count = |event: &str, who: &str| {
        let wanted = (event.to_owned(), who.to_owned());
        found.iter().filter(|found| **found == wanted).count()
    };
    let (alice, bob) = (format!("telegram:{ALICE}"), format!("telegram:{BOB}"));
    let itself = format!("uid:{}", rustix::process::getuid().as_raw());
    assert_eq!((count("decided", &bob), count("lease_kept", &bob)), (2, 0));
    assert_eq!(
        (count("decided", &alice), count("lease_kept", &alice)),
        (3, 2)
    );
    assert_eq!(count("lease_revoked", &alice), 1);
    assert!(count("lease_renewed", &itself) > 0, "{found:?}");
    assert!(!stage.log().contains(&account.password));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_in_chat_is_revoked_and_administrators_may_revoke_the_rest() {
    let admins = "admins = [1002]";
    assert_eq!(BOB, 1002);
    let telegram = Setting {
        telegram: admins,
        ..setting()
    };
    let (stage, postgres) = serving_as(telegram).await;
    let account = Account::ask(&stage, "app").await;
    assert_eq!(leases(&stage), 1);
    let refusal = Fault::error(400, "USER_IS_BLOCKED");
    stage.dc.fault("messages.sendMessage", refusal, 1);
    let question = "/get_secret database/creds/app";
    stage.dc.send(ALICE, Chat::User(BROKER), question).unwrap();
    let gone = || stage.log().contains("broker.lease_revoked");
    stage
        .wait("the lease of what did not arrive is revoked", gone)
        .await;
    assert_eq!(leases(&stage), 1);
    assert!(account.works(&postgres));

    let said = stage.ask(BOB, "/leases").await;
    assert!(
        said.contains(&account.code) && said.contains("of telegram:1001"),
        "{said}"
    );
    let said = stage
        .ask(BOB, &format!("/revoke_lease {}", account.code))
        .await;
    assert!(
        said.contains("is revoked") && !account.works(&postgres),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chat_engines_are_invoked_and_versions_destroyed() {
    let (stage, _postgres) = serving().await;
    let said = stage
        .ask(ALICE, "/invoke transit/encrypt/k#ciphertext plaintext=aGk=")
        .await;
    assert!(said.contains("ciphertext: vault:v1:"), "{said}");
    let asked = |text: &str| {
        stage
            .chat(ALICE)
            .iter()
            .any(|message| message.text.contains(text))
    };
    stage
        .wait("what held a value is deleted", || !asked("plaintext=aGk="))
        .await;
    for (command, expected) in [
        (
            "/invoke pki/issue/web common_name=www.elsewhere.net",
            "not allowed by this role",
        ),
        ("/invoke transit/decrypt/k ciphertext=x", "not permitted"),
        (
            "/invoke transit/encrypt/k socket plaintext=aGk=",
            "vaultgram invoke",
        ),
        (
            "/invoke transit/encrypt/k sealed plaintext=aGk=",
            "no key registered",
        ),
        (
            "/invoke transit/encrypt/k wrapped plaintext=aGk=",
            "waits in Vault",
        ),
        ("/invoke django/database a=b", "only an engine is invoked"),
        (
            "/invoke database/rotate-role/fixed",
            "done, and nothing to say",
        ),
        ("/destroy_secret django/database", "Say which version"),
        ("/destroy_secret django/database@9", "Destroy version 9"),
    ] {
        let said = stage.ask(ALICE, command).await;
        assert!(said.contains(expected), "{command}: {said}");
    }
    let said = stage.ask(ALICE, "/destroy_secret django/database@1").await;
    assert!(
        said.contains("Destroy version 1") && said.contains("Nothing brings it back"),
        "{said}"
    );
    let (_, code) = said.split_once("/confirm ").unwrap();
    let code = code.split_whitespace().next().unwrap();
    let said = stage.ask(ALICE, &format!("/confirm {code}")).await;
    assert!(said.contains("is destroyed, for good"), "{said}");
    let said = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(said.contains("destroyed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_host_our_command_line_and_the_real_bao_look_after_leases() {
    let (stage, postgres) = serving().await;
    let ours = |arguments: &[&str]| run(&mut stage.vaultgram(arguments), "");
    let bao = |arguments: &[&str]| real_bao(&stage, arguments);
    assert_eq!(ours(&["leases"]).1, "there are no leases\n");
    let read = || -> Value {
        let (_, out, err) = ours(&["get", "database/creds/app", "--json"]);
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"))
    };
    let (made, other) = (read(), read());
    let works = |made: &Value| {
        let text = |name: &str| made["data"][name].as_str().unwrap().to_owned();
        postgres.lets_in(&text("username"), &text("password"))
    };
    let lease = made["lease_id"].as_str().unwrap();
    let (code, out, err) = ours(&["leases", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let listed: Value = serde_json::from_str(&out).unwrap();
    let listed = listed["leases"].as_array().unwrap();
    let entry = |lease: &Value| {
        listed
            .iter()
            .find(|entry| entry["lease_id"] == *lease)
            .unwrap()
    };
    let of_other = entry(&other["lease_id"])["code"].as_str().unwrap();
    assert_eq!(entry(&made["lease_id"])["path"], "database/creds/app");
    let (_, out, _) = ours(&["leases"]);
    assert!(
        out.starts_with("CODE") && out.contains(of_other) && out.contains("uid:"),
        "{out}"
    );

    let (code, said) = bao(&["lease", "lookup", lease]);
    assert!(
        code == 0 && said.contains("expire_time") && said.contains("ttl"),
        "{said}"
    );
    let (code, said) = bao(&["lease", "renew", "-increment=2m", lease]);
    assert!(
        code == 0 && said.contains("lease_duration") && said.contains("2m"),
        "{said}"
    );
    let (code, out, err) = ours(&["leases", "keep", of_other, "90m"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "kept for 90 min\n", "")
    );
    let (code, out, _) = ours(&["leases", "keep", &of_other.to_lowercase(), "8h"]);
    assert!(
        code == 0 && out.contains("Vault lets it last no longer"),
        "{out}"
    );
    let metrics = metrics(&stage);
    assert!(metrics.contains("vaultgram_leases 2"), "{metrics}");
    assert!(
        metrics.contains("vaultgram_lease_renewals_total{result=\"renewed\"}"),
        "{metrics}"
    );

    let (code, said) = bao(&["lease", "revoke", lease]);
    assert!(code == 0 && !works(&made) && works(&other), "{said}");
    let (code, out, err) = ours(&["leases", "revoke", of_other]);
    assert!(
        code == 0 && out.starts_with("revoked") && !works(&other),
        "{out}{err}"
    );
    assert_eq!(leases(&stage), 0);

    // Whether it exists or not: somebody else's looks the same as none.
    let foreign = stage.bao.must("GET", "database/creds/app", &Value::Null);
    let foreign = foreign["lease_id"].as_str().unwrap();
    for (verb, exit, words) in [
        ("lookup", 2, "invalid lease"),
        ("renew", 2, "lease not found"),
        ("revoke", 0, "queued"),
    ] {
        let (code, said) = bao(&["lease", verb, foreign]);
        assert!(code == exit && said.contains(words), "{verb}: {said}");
        let none = bao(&["lease", verb, "database/creds/app/none"]);
        assert_eq!(said.replace(foreign, "database/creds/app/none"), none.1);
    }
    assert_eq!(leases(&stage), 1);
    for (arguments, code, said) in [
        (&["leases", "keep", "XXXX", "8h"][..], 77, "no such lease"),
        (&["leases", "revoke", "XXXX"], 77, "no such lease"),
        (&["leases", "keep", "XXXX", "31d"], 64, "30 days"),
        (&["leases", "keep", "XXXX", "soon"], 64, "not a time"),
        (&["leases", "keep", "XX/X", "8h"], 64, "not a code"),
        (&["leases", "keep", "XXXX"], 64, "TIME"),
        (
            &["leases", "--socket", "/none", "revoke", "XXXX"],
            69,
            "/none",
        ),
        (&["leases", "--socket", "/none"], 69, "/none"),
    ] {
        let (ended, out, err) = ours(arguments);
        assert!(
            ended == code && err.contains(said),
            "{arguments:?}: {ended} {out}{err}"
        );
    }
}

fn metrics(stage: &Stage) -> String {
    let socket = stage.path("vaultgram.sock");
    let mut curl = std::process::Command::new("curl");
    curl.args(["-s", "--unix-socket", socket.to_str().unwrap()]);
    run(curl.arg("http://x/v1/sys/metrics?format=prometheus"), "").1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_revokes_every_lease_and_the_start_after_a_crash_does_so_late() {
    let (mut stage, postgres) = serving_as(given_token()).await;
    let (one, other) = (
        Account::ask(&stage, "app").await,
        Account::ask(&stage, "app").await,
    );
    stage
        .ask(ALICE, &format!("/keep_lease {} 90m", one.code))
        .await;
    assert_eq!(leases(&stage), 2);
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    assert_eq!(broker.exit().await.code(), Some(0), "{}", stage.log());
    assert!(!one.works(&postgres) && !other.works(&postgres));
    assert_eq!(leases(&stage), 0);

    stage.start().await;
    assert!(!stage.log().contains("leases_left_behind"));
    let third = Account::ask(&stage, "app").await;
    stage.broker.take().unwrap().kill();
    assert!(third.works(&postgres), "nobody was left to revoke it");
    stage.start().await;
    stage
        .wait("it is revoked", || !third.works(&postgres))
        .await;
    stage
        .wait("and on record", || audited(&stage).len() >= 6)
        .await;
    assert_eq!(leases(&stage), 0);
    let said = stage.ask(ALICE, "/leases").await;
    assert_eq!(said, "There are no leases.");
    let revoked = audited(&stage)
        .iter()
        .filter(|(event, _)| event == "lease_revoked")
        .count();
    assert_eq!(revoked, 3);
}
