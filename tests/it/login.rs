//! `vaultgram login`, answered by a script.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Output, Stdio};

use telegram_dc::User;
use vaultgram::telegram::{FileSession, Login};

use crate::setting;
use crate::stage::Stage;

const PHONE: &str = "+9996625002";
const TOKEN: &str = "5003:token";

/// A stage whose configuration names a session that is not signed in.
async fn signed_out() -> Stage {
    let stage = Stage::build(setting()).await;
    let person = User::new(5002, "Ops")
        .phone(PHONE)
        .login_code("12345")
        .password("s3cret");
    stage.dc.add_user(person);
    stage.dc.add_user(User::new(5003, "Bot").bot(TOKEN));
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

fn login(stage: &Stage, arguments: &[&str], answers: &str) -> (i32, String, String) {
    let mut command = stage.vaultgram(arguments);
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
