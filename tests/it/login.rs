//! `vaultgram login`, answered by a script.

use std::io::Write;
use std::net::{SocketAddr, SocketAddrV6};
use std::process::{Command, Output, Stdio};

use grammers_session::Session;
use grammers_session::types::DcOption;
use telegram_dc::{Fault, Options, User};
use vaultgram::telegram::{FileSession, Login};

use crate::setting;
use crate::stage::Stage;

pub(crate) const PHONE: &str = "+9996625002";
/// The bot's account, and the token that `@BotFather` gave it.
pub(crate) const BOT: i64 = 5003;
pub(crate) const TOKEN: &str = "5003:token";

/// A stage whose configuration names a session that is not signed in.
pub(crate) async fn signed_out() -> Stage {
    let stage = Stage::build(setting()).await;
    let person = User::new(5002, "Ops")
        .phone(PHONE)
        .login_code("12345")
        .password("s3cret");
    stage.dc.add_user(person);
    stage.dc.add_user(User::new(BOT, "Bot").bot(TOKEN));
    std::fs::remove_file(stage.path("telegram.session")).unwrap();
    let SocketAddr::V4(address) = stage.dc.address() else {
        panic!("IPv4")
    };
    let auth_key = stage.dc.provision_signed_out_key();
    let login = Login {
        dc: stage.dc.id(),
        address,
        auth_key,
        user: None,
    };
    drop(FileSession::create(&stage.path("telegram.session"), stage.key(), &login).unwrap());
    stage
}

pub(crate) fn login(stage: &Stage, arguments: &[&str], answers: &str) -> (i32, String, String) {
    run(stage.vaultgram(arguments), answers)
}

fn run(mut command: Command, answers: &str) -> (i32, String, String) {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ran: Output = tokio::task::block_in_place(|| {
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answers.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    });
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        ran.status.code().unwrap(),
        text(ran.stdout),
        text(ran.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_doctor_sees_it() {
    let stage = signed_out().await;
    let before = tokio::task::block_in_place(|| stage.vaultgram(&["doctor"]).output().unwrap());
    let before = String::from_utf8(before.stdout).unwrap();
    assert!(
        before.contains("FAIL  telegram       the session is not signed in"),
        "{before}"
    );

    let wrong = format!("{PHONE}\n12345\nwrong\nwrong\nwrong\n");
    let (code, out, err) = login(&stage, &["login"], &wrong);
    assert_eq!((code, out.as_str()), (77, ""), "{err}");
    assert!(
        err.contains("error: the two-step password is wrong"),
        "{err}"
    );

    let right = format!("{PHONE}\n54321\n12345\ns3cret\n");
    let (code, out, err) = login(&stage, &["login"], &right);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("signed in as user 5002"), "{out}");
    assert!(!err.contains("s3cret"), "{err}");
    let after = tokio::task::block_in_place(|| stage.vaultgram(&["doctor"]).output().unwrap());
    let after = String::from_utf8(after.stdout).unwrap();
    assert!(
        after.contains("ok    telegram       signed in as user 5002"),
        "{after}"
    );

    let (code, _, err) = login(&stage, &["login"], &right);
    assert!(code == 73 && err.contains("signed in already"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_signs_in_by_its_token_and_nobody_without_an_answer() {
    let stage = signed_out().await;
    let (code, _, err) = login(&stage, &["login"], "");
    assert!(
        code == 64 && err.contains("TELEGRAM_PHONE is not set"),
        "{err}"
    );
    let (code, out, err) = login(&stage, &["login", "--bot"], &format!("{TOKEN}\n"));
    assert!(code == 0 && out.contains("user 5003"), "{out} {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_needs_no_vault_token_but_a_correct_configuration() {
    let stage = signed_out().await;
    std::fs::remove_file(stage.path("secret_id")).unwrap();
    let (code, out, err) = login(&stage, &["login", "--bot"], &format!("{TOKEN}\n"));
    assert_eq!(code, 0, "{out}{err}");
    let mut config = std::fs::read_to_string(stage.path("vaultgram.toml")).unwrap();
    config.push_str("[vualt]\n");
    std::fs::write(stage.path("vaultgram.toml"), config).unwrap();
    let (code, _, err) = login(&stage, &["login"], "");
    assert!(code == 78 && err.contains("unknown field `vualt`"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn automation_gives_everything_in_files() {
    let stage = signed_out().await;
    let file = stage.path("code");
    let mut command = stage.vaultgram(&["login", "--code-file"]);
    std::fs::write(stage.path("password"), "s3cret\n").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(stage.path("password"), private).unwrap();
    command
        .arg(&file)
        .env("TELEGRAM_PHONE", PHONE)
        .env("TELEGRAM_PASSWORD_FILE", stage.path("password"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    stage
        .wait("a code is sent", || stage.dc.count("auth.sendCode") == 1)
        .await;
    let write = |code: &str| {
        let mut options = std::fs::OpenOptions::new();
        let mode = std::os::unix::fs::OpenOptionsExt::mode(
            options.write(true).create(true).truncate(true),
            0o600,
        );
        mode.open(&file)
            .unwrap()
            .write_all(code.as_bytes())
            .unwrap();
    };
    write("54321\n");
    stage
        .wait("it is tried", || stage.dc.count("auth.signIn") == 1)
        .await;
    write("12345\n");
    let ran = tokio::task::block_in_place(|| child.wait_with_output().unwrap());
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{err}");
    assert!(!err.contains("12345") && !err.contains("s3cret"), "{err}");

    let mut again = stage.vaultgram(&["login", "--code-file"]);
    let again = tokio::task::block_in_place(|| again.arg(&file).output().unwrap());
    let err = String::from_utf8(again.stderr).unwrap();
    assert!(err.contains("is there already"), "{err}");
}

/// A method, what Telegram says to it and how often, our exit code, and some of our words.
type Case = (&'static str, (i32, &'static str), usize, i32, &'static str);

const REFUSALS: &[Case] = &[
    (
        "auth.sendCode",
        (420, "FLOOD_WAIT_77"),
        1,
        75,
        "wants 1m 17s of patience",
    ),
    (
        "auth.sendCode",
        (400, "PHONE_NUMBER_BANNED"),
        1,
        77,
        "banned this account",
    ),
    (
        "auth.sendCode",
        (400, "PHONE_NUMBER_INVALID"),
        1,
        65,
        "is no phone number",
    ),
    (
        "auth.sendCode",
        (400, "API_ID_INVALID"),
        1,
        78,
        "check api_id and api_hash",
    ),
    (
        "auth.sendCode",
        (400, "API_ID_PUBLISHED_FLOOD"),
        1,
        78,
        "an application of your own",
    ),
    (
        "auth.checkPassword",
        (406, "PHONE_PASSWORD_FLOOD"),
        1,
        75,
        "wait a day and run the command again",
    ),
    (
        "auth.sendCode",
        (500, "SIGN_IN_FAILED"),
        1,
        75,
        "(SIGN_IN_FAILED); run the command again in some minutes",
    ),
    (
        "auth.sendCode",
        (400, "SOMETHING_NEW"),
        1,
        77,
        "SOMETHING_NEW; what it means is on core.telegram.org/api/errors",
    ),
    (
        "auth.signIn",
        (400, "PHONE_CODE_EXPIRED"),
        2,
        75,
        "and so did a new one",
    ),
    (
        "auth.signIn",
        (400, "PHONE_NUMBER_UNOCCUPIED"),
        1,
        66,
        "no account has this number",
    ),
    (
        "auth.sendCode",
        (406, "UPDATE_APP_TO_LOGIN"),
        1,
        77,
        "wants a newer version",
    ),
    (
        "auth.signIn",
        (500, "AUTH_RESTART"),
        1,
        75,
        "run the command again",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_own_words_and_code() {
    let stage = signed_out().await;
    let before = std::fs::read(stage.path("telegram.session")).unwrap();
    let answers = format!("{PHONE}\n12345\n12345\ns3cret\n");
    for (method, error, times, code, words) in REFUSALS {
        stage
            .dc
            .fault(method, Fault::error(error.0, error.1), *times);
        let (got, _, err) = login(&stage, &["login"], &answers);
        assert_eq!(got, *code, "{error:?}: {err}");
        assert!(err.contains(words), "{error:?}: {err}");
    }
    let (code, _, err) = login(&stage, &["login", "--bot"], "5003:wrong\n");
    assert!(code == 77 && err.contains("@BotFather"), "{err}");
    assert!(!err.contains("5003:wrong"), "{err}");
    let after = std::fs::read(stage.path("telegram.session")).unwrap();
    assert_eq!(after, before, "nothing was written");

    // An expired code is no failure: a new one comes.
    let expired = Fault::error(400, "PHONE_CODE_EXPIRED");
    stage.dc.fault("auth.signIn", expired, 1);
    let (code, _, err) = login(&stage, &["login"], &answers);
    assert!(code == 0 && err.contains("sends a new one"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_login_makes_its_own_key() {
    let stage = signed_out().await;
    let session = FileSession::open(&stage.path("telegram.session"), stage.key()).unwrap();
    let mut dc = session.dc_option(stage.dc.id()).unwrap().unwrap();
    let given = dc.auth_key.take();
    session.set_dc_option(&dc).await.unwrap();
    session.save().unwrap();
    drop(session);
    let (library, random) = (stage.path("overhear.so"), stage.path("random"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/telegram-dc/overhear.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    assert!(compiler.arg(source).status().unwrap().success());
    stage.dc.overhear(&random);

    let mut command = stage.vaultgram(&["login"]);
    command.env("LD_PRELOAD", &library).env("OVERHEAR", &random);
    let (code, out, err) = run(command, &format!("{PHONE}\n12345\ns3cret\n"));
    assert!(code == 0 && out.contains("user 5002"), "{out}{err}");
    let session = FileSession::open(&stage.path("telegram.session"), stage.key()).unwrap();
    let made = session.dc_option(stage.dc.id()).unwrap().unwrap();
    assert!(made.auth_key.is_some() && made.auth_key != given);
    drop(session);
    let doctor = tokio::task::block_in_place(|| stage.vaultgram(&["doctor"]).output().unwrap());
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("signed in as user 5002"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_the_account_to_its_datacenter() {
    let stage = signed_out().await;
    let fourth = Options { dc_id: 4, port: 0 };
    let fourth = stage.dc.open_another(fourth).await.unwrap();
    let mover = User::new(5005, "Mover").phone("+9996625005").home(4);
    stage.dc.add_user(mover.login_code("12345"));
    let SocketAddr::V4(address) = fourth.address() else {
        panic!("IPv4")
    };
    let session = FileSession::open(&stage.path("telegram.session"), stage.key()).unwrap();
    let dc = DcOption {
        id: 4,
        ipv4: address,
        ipv6: SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0),
        auth_key: Some(fourth.provision_signed_out_key()),
    };
    session.set_dc_option(&dc).await.unwrap();
    session.save().unwrap();
    drop(session);

    let (code, _, err) = login(&stage, &["login"], "+9996625005\n12345\n");
    assert_eq!(code, 0, "{err}");
    let mut show = stage.vaultgram(&["session", "show"]);
    let shown = tokio::task::block_in_place(|| show.output().unwrap());
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("user 5005, +99******05"), "{shown}");
    let home = format!("dc 4       {address}, home, has a key");
    assert!(shown.contains(&home), "{shown}");
}
