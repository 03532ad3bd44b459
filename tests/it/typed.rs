//! `vaultgram login` and `logout`, typed by a person at a terminal.

use std::process::Command;

use telegram_dc::User;

use crate::login::{PHONE, signed_out};
use crate::terminal::Terminal;

const CODE: &str = "code that Telegram sent: ";
const PASSWORD: &str = "two-step password: ";
const NUMBER: &str = "phone number, with its country's code: ";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_types_a_wrong_code_then_the_right_one_and_a_password() {
    let stage = signed_out().await;
    tokio::task::block_in_place(|| {
        let mut typed = Terminal::start(&stage.vaultgram(&["login"]));
        assert!(typed.answer(NUMBER, 1, &format!("{PHONE}\n")), "shown");
        assert!(!typed.answer(CODE, 1, "54321\n"), "hidden");
        typed.wait_for("this code is wrong", 1);
        assert!(!typed.answer(CODE, 2, "12345\n"), "hidden");
        assert!(!typed.answer(PASSWORD, 1, "s3cret\n"), "hidden");
        typed.wait_for("signed in as user 5002", 1);
        assert_eq!(typed.exit(), 0);
        assert!(typed.echoes(), "as it was");
        let screen = typed.screen();
        assert!(screen.contains(PHONE), "{screen}");
        for secret in ["12345", "54321", "s3cret"] {
            assert!(!screen.contains(secret), "{screen}");
        }

        let mut typed = Terminal::start(&stage.vaultgram(&["logout"]));
        typed.answer("(yes/no): ", 1, "no\n");
        assert_eq!(typed.exit(), 130);
        assert!(stage.path("telegram.session").exists());
        let mut typed = Terminal::start(&stage.vaultgram(&["logout"]));
        typed.answer("(yes/no): ", 1, "yes\n");
        assert_eq!(typed.exit(), 0, "{}", typed.screen());
        assert!(!stage.path("telegram.session").exists());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_changes_nothing_and_leaves_the_terminal_as_it_was() {
    let stage = signed_out().await;
    let session = std::fs::read(stage.path("telegram.session")).unwrap();
    tokio::task::block_in_place(|| {
        // Ctrl-C, Ctrl-D, Ctrl-\.
        for give_up in ["\x03", "\x04", "\x1c"] {
            let mut typed = Terminal::start(&stage.vaultgram(&["login"]));
            typed.answer(NUMBER, 1, &format!("{PHONE}\n"));
            assert!(!typed.answer(CODE, 1, give_up), "hidden");
            typed.wait_for("cancelled", 1);
            assert_eq!(typed.exit(), 130, "{}", typed.screen());
            assert!(typed.echoes(), "as it was");
        }
        let after = std::fs::read(stage.path("telegram.session")).unwrap();
        assert_eq!(after, session);

        // Where there was nothing, there is nothing afterwards.
        std::fs::remove_file(stage.path("telegram.session")).unwrap();
        std::fs::remove_file(stage.path("session.key")).unwrap();
        let mut typed = Terminal::start(&stage.vaultgram(&["login", "--passphrase"]));
        let question = "new passphrase for the session key: ";
        assert!(!typed.answer(question, 1, "horse\n"), "hidden");
        assert!(!typed.answer("once more: ", 1, "horse\n"), "hidden");
        typed.wait_for(NUMBER, 1);
        let key = std::fs::read_to_string(stage.path("session.key")).unwrap();
        assert!(key.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
        typed.answer(NUMBER, 1, "\x03");
        assert_eq!(typed.exit(), 130, "{}", typed.screen());
    });
    assert!(!stage.path("telegram.session").exists());
    assert!(!stage.path("session.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_at_the_terminal_wherever_output_goes_and_again_if_nothing_is_typed() {
    let stage = signed_out().await;
    let login = stage.vaultgram(&["login"]);
    let mut elsewhere = Command::new("sh");
    let script = format!(
        "exec \"$0\" \"$@\" >{} 2>&1",
        stage.path("printed").display()
    );
    elsewhere.args(["-c", &script]).arg(login.get_program());
    elsewhere.args(login.get_args());
    let set = login.get_envs();
    elsewhere.envs(set.filter_map(|(name, value)| Some((name, value?))));
    tokio::task::block_in_place(|| {
        let mut typed = Terminal::start(&elsewhere);
        typed.answer(NUMBER, 1, "\n");
        typed.answer(NUMBER, 2, &format!("{PHONE}\n"));
        assert!(!typed.answer(CODE, 1, "\n"), "hidden");
        assert!(!typed.answer(CODE, 2, "12345\n"), "hidden");
        assert!(!typed.answer(PASSWORD, 1, "\n"), "hidden");
        assert!(!typed.answer(PASSWORD, 2, "s3cret\n"), "hidden");
        assert_eq!(typed.exit(), 0, "{}", typed.screen());
        assert!(typed.echoes(), "as it was");
    });
    let tries = stage.dc.count("auth.signIn");
    assert_eq!(tries, 1, "no try is spent on nothing");
    let printed = std::fs::read_to_string(stage.path("printed")).unwrap();
    assert!(printed.starts_with("signed in as user 5002"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_key_is_unlocked_by_its_passphrase_typed_or_given() {
    let stage = signed_out().await;
    stage.dc.add_user(User::new(5004, "Bot").bot("5004:token"));
    let locked = stage.key().to_locked_file("correct horse").unwrap();
    std::fs::write(stage.path("session.key"), locked).unwrap();
    let leave = tokio::task::block_in_place(|| {
        let mut typed = Terminal::start(&stage.vaultgram(&["doctor"]));
        assert!(!typed.answer("session.key: ", 1, "\x03"), "hidden");
        (typed.exit(), typed.echoes())
    });
    assert_eq!(leave, (130, true), "the terminal is as it was");
    let ran = tokio::task::block_in_place(|| {
        let question = format!("passphrase of {}: ", stage.path("session.key").display());
        let mut typed = Terminal::start(&stage.vaultgram(&["login", "--bot"]));
        assert!(!typed.answer("bot token: ", 1, "5004:token\n"), "hidden");
        assert!(!typed.answer(&question, 1, "wrong\n"), "hidden");
        assert!(!typed.answer(&question, 2, "correct horse\n"), "hidden");
        assert_eq!(typed.exit(), 0, "{}", typed.screen());
        assert!(!typed.screen().contains("horse"));

        let serve = stage.vaultgram(&["serve"]).output().unwrap();
        let mut given = stage.vaultgram(&["session", "show"]);
        given.env("TELEGRAM_SESSION_PASSPHRASE", "correct horse");
        (serve, given.output().unwrap())
    });
    let (serve, given) = ran;
    let err = String::from_utf8(serve.stderr).unwrap();
    assert_eq!(serve.status.code(), Some(78), "{err}");
    assert!(
        err.contains("give it as TELEGRAM_SESSION_PASSPHRASE"),
        "{err}"
    );
    let out = String::from_utf8(given.stdout).unwrap();
    assert!(out.contains("account    bot 5004"), "{out}");
}
