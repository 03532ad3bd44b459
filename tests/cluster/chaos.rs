//! Many commands to three vaultgrams while these, their etcd and the lines between go wrong: each
//! is answered once or refused with a reason, and no secret stands at the end.
//!
//! A short form runs with the other tests; `make soak` asks more. `CHAOS_COMMANDS` and `CHAOS_SEED`
//! choose others, as `tests/soak` has it.

use rand::SeedableRng;
use rand::rngs::StdRng;
use telegram_dc::Chat;

use crate::company::Company;
use crate::crowd::Crowd;
use crate::stage::{BROKER, Setting};
use crate::trouble::Trouble;
use crate::{COMMAND_AGE, CROWD, DELETE_AFTER, from_environment, people, register_key};

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_answered_once_whichever_replica_dies() {
    let commands = from_environment("CHAOS_COMMANDS").unwrap_or(150);
    let seed = from_environment("CHAOS_SEED").unwrap_or_else(rand::random);
    println!("CHAOS_COMMANDS={commands} CHAOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let people = people(10);
    let telegram = format!(
        "command_age = \"{}s\"\ndelete_after = \"{}s\"\nrequest_timeout = \"2s\"",
        COMMAND_AGE.as_secs(),
        DELETE_AFTER.as_secs()
    );
    let mut company = Company::build(
        Setting {
            program: env!("CARGO_BIN_EXE_vaultgram").into(),
            telegram: &telegram,
            audit: "",
            crowd: people.clone(),
            log: "vaultgram=info",
            plain_token: false,
        },
        3,
    )
    .await;
    let other = serde_json::json!({"word": "unmistakable"});
    company.stage.bao.put("django/other", &other);
    company.stage.bao.put("django/named/only-this", &other);
    let members: Vec<i64> = people.iter().copied().chain([BROKER]).collect();
    company.stage.dc.add_group(CROWD, "Crowd", &members);
    let devices = company.stage.dc.authorizations(BROKER).len();
    company.start().await;
    for person in &people {
        register_key(&company.stage, *person).await;
    }

    let asking = StdRng::from_rng(&mut random);
    let mut crowd = Crowd::new(&company.stage.dc, company.logs(), people, asking);
    let mut trouble = Trouble::new(random);
    crowd
        .run(commands, async || trouble.step(&mut company))
        .await;
    trouble.end(&mut company);
    crowd.settle().await;
    println!("{}", crowd.report());
    println!("{}", trouble.report());
    crowd.verify();

    // A login that two processes used at once would have been ended by Telegram.
    assert_eq!(company.stage.dc.authorizations(BROKER).len(), devices);
    for number in 0..company.replicas.len() {
        if company.replicas[number].gave_up() {
            company.start_one(number).await;
        }
        company.replicas[number].stop().await;
        let audit = company.replicas[number].path("audit.jsonl");
        let verified = company
            .vaultgram(number, &["audit", "verify", audit.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_three_answers_alone_and_all_of_them_once() {
    let people = people(3);
    let mut company = Company::build(
        Setting {
            program: env!("CARGO_BIN_EXE_vaultgram").into(),
            telegram: "delete_after = \"5s\"",
            audit: "",
            crowd: people.clone(),
            log: "vaultgram=info",
            plain_token: false,
        },
        3,
    )
    .await;
    company.start().await;
    for person in &people {
        let answer = company
            .stage
            .ask(*person, "/get_secret django/database")
            .await;
        assert!(answer.starts_with('🔑'), "{answer}");
    }
    for alone in 0..3 {
        for other in (0..3).filter(|other| *other != alone) {
            company.replicas[other].kill();
        }
        let answer = company.stage.ask(people[0], "/status").await;
        assert!(answer.contains("Vault:"), "{answer}");
        for other in (0..3).filter(|other| *other != alone) {
            company.start_one(other).await;
        }
    }
    // The secrets that killed ones showed are deleted by those that live.
    let gone = || {
        let mut people = people.iter();
        people.all(|person| {
            let chat = company.stage.dc.history(*person, Chat::User(BROKER));
            !chat.iter().any(|message| message.text.starts_with('🔑'))
        })
    };
    company.stage.wait("every secret is deleted", gone).await;
    for person in &people {
        let chat = company.stage.dc.history(*person, Chat::User(BROKER));
        let asked = chat.iter().filter(|message| message.out).count();
        let answers = chat.iter().filter(|message| !message.out).count();
        // All but the secret.
        assert_eq!(asked, answers + 1, "{chat:?}");
    }
}
