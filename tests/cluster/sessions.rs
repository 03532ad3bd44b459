//! Logins: each is one process's, and known to the others.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Instant;

use etcd_client::GetOptions;
use telegram_dc::User;
use vaultgram::telegram::{FileSession, Login};

use crate::company::Company;
use crate::stage::{BROKER, PATIENCE, Setting};
use crate::{grants, people};

/// Files that a replica makes as it runs.
const OF_ITS_OWN: [&str; 4] = ["audit.jsonl", "audit.jsonl.head", "log", "vaultgram.sock"];

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_session_is_refused_and_the_first_goes_on() {
    let people = people(1);
    let mut company = Company::build(
        Setting {
            program: env!("CARGO_BIN_EXE_vaultgram").into(),
            telegram: "delete_after = \"5s\"",
            audit: "",
            crowd: people.clone(),
            log: "vaultgram=info",
            plain_token: false,
        },
        1,
    )
    .await;
    company.start().await;
    let devices = company.stage.dc.authorizations(BROKER).len();

    // As when a machine is copied with everything on it.
    let copy = company.stage.path("copy");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(company.replicas[0].path("")).unwrap() {
        let file = file.unwrap();
        let name = file.file_name();
        if file.file_type().unwrap().is_file() && !OF_ITS_OWN.iter().any(|own| name == *own) {
            fs::copy(file.path(), copy.join(name)).unwrap();
        }
    }
    let mut second = company.vaultgram_in(&copy, &["serve"]);
    second.stdin(Stdio::null()).stdout(Stdio::null());
    second.stderr(Stdio::piped());
    let second = second.spawn().unwrap();
    let ended = tokio::task::spawn_blocking(move || second.wait_with_output().unwrap());
    let (began, mut answers) = (Instant::now(), 0);
    while !ended.is_finished() {
        assert!(began.elapsed() < PATIENCE, "it does not end by itself");
        let answer = company.stage.ask(people[0], "/get_secret django/database");
        assert!(answer.await.starts_with('🔑'));
        answers += 1;
    }
    let ended = ended.await.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(75), "{said}");
    let error = said
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap();
    for part in [
        "another vaultgram (",
        "uses the same Telegram session",
        "each replica needs a login of its own: vaultgram login",
    ] {
        assert!(error.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("telegram.connected"), "{said}");

    assert!(answers > 0, "the first answers meanwhile");
    let answer = company.stage.ask(people[0], "/status").await;
    assert!(answer.contains("Vault:"), "{answer}");
    assert_eq!(company.stage.dc.authorizations(BROKER).len(), devices);
    company.replicas[0].stop().await;
}

impl Company {
    /// `vaultgram login` as somebody else than the account of the others; what it said.
    fn login(&self, phone: &str) -> String {
        let session = self.replicas[0].path("telegram.session");
        fs::remove_file(&session).unwrap();
        let SocketAddr::V4(address) = self.stage.dc.address() else {
            panic!("IPv4")
        };
        let login = Login {
            dc: self.stage.dc.id(),
            address,
            auth_key: self.stage.dc.provision_signed_out_key(),
            user: None,
        };
        drop(FileSession::create(&session, self.stage.key(), &login).unwrap());
        let mut command = self.vaultgram(0, &["login"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let ran = tokio::task::block_in_place(|| {
            let mut child = command.spawn().unwrap();
            let answers = format!("{phone}\n12345\ns3cret\n");
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(answers.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        });
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stderr).unwrap()
    }

    /// How many logins replicas know for theirs.
    async fn registered(&self) -> i64 {
        let mut client = grants::client(&self.etcd, "vaultgram").await;
        let below = GetOptions::new().with_prefix().with_count_only();
        let found = client.get("/vaultgram/state/watchdog/own/", Some(below));
        found.await.unwrap().count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_known_to_the_others_before_its_service_starts() {
    let mut company = Company::build(
        Setting {
            program: env!("CARGO_BIN_EXE_vaultgram").into(),
            telegram: "",
            audit: "",
            crowd: vec![],
            log: "vaultgram=info",
            plain_token: false,
        },
        1,
    )
    .await;
    for (id, phone) in [(5002, "+9996625002"), (5003, "+9996625003")] {
        let person = User::new(id, "Ops").phone(phone).login_code("12345");
        company.stage.dc.add_user(person.password("s3cret"));
    }
    let trust = company.replicas[0].path("etcd-ca.pem");
    let aside = trust.with_extension("aside");
    fs::rename(&trust, &aside).unwrap();
    let said = company.login("+9996625002");
    for part in [
        "the other replicas do not know this login yet (",
        "etcd-ca.pem",
        "start vaultgram within a minute",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(company.registered().await, 0);

    fs::rename(&aside, &trust).unwrap();
    let said = company.login("+9996625003");
    assert!(
        said.contains("the other replicas know this login"),
        "{said}"
    );
    assert_eq!(company.registered().await, 1);
    // The service finds what it would have registered.
    company.start_one(0).await;
    let watches = || {
        company.replicas[0]
            .log()
            .contains("telegram.watchdog.began")
    };
    company.stage.wait("it watches", watches).await;
    assert_eq!(company.registered().await, 1);
}
