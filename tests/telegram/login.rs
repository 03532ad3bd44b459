//! Signing in.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use grammers_session::Session;
use grammers_session::types::PeerId;
use telegram_dc::{Datacenter, Fault, Options, User};
use vaultgram::telegram::login::{Account, Application, LoginError, NoAnswer, Prompt, keep, login};
use vaultgram::telegram::{FileSession, Reach};
use zeroize::Zeroizing;

use super::support::{SOON, key as session_key, login_with, open_when_free};

const PHONE: &str = "+9996621001";
const PASSWORD: &str = "correct horse";

/// A person who types what is prepared, and remembers what they were asked.
#[derive(Clone, Default)]
struct Typist {
    answers: Arc<Mutex<VecDeque<String>>>,
    asked: Arc<Mutex<Vec<&'static str>>>,
}

impl Typist {
    fn typing(answers: &[&str]) -> Self {
        let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
        Self {
            answers: Arc::new(Mutex::new(answers)),
            asked: Arc::default(),
        }
    }

    fn answer(&self, question: &'static str) -> Result<Zeroizing<String>, NoAnswer> {
        self.asked.lock().unwrap().push(question);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.map(Zeroizing::new).ok_or(NoAnswer::Cancelled)
    }

    fn asked(&self) -> Vec<&'static str> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Prompt for Typist {
    async fn phone(&mut self) -> Result<Zeroizing<String>, NoAnswer> {
        self.answer("phone")
    }

    async fn code(&mut self) -> Result<Zeroizing<String>, NoAnswer> {
        self.answer("code")
    }

    async fn password(&mut self, _: Option<&str>) -> Result<Zeroizing<String>, NoAnswer> {
        self.answer("password")
    }

    fn note(&mut self, _: &str) {
        self.asked.lock().unwrap().push("note");
    }
}

struct Desk {
    dc: Datacenter,
    directory: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let dc = Datacenter::start(Options::default()).await.unwrap();
        dc.add_user(
            User::new(1, "Plain")
                .phone("+9996620001")
                .login_code("11111"),
        );
        let careful = User::new(2, "Careful").phone(PHONE).password(PASSWORD);
        dc.add_user(careful.login_code("22222"));
        dc.add_user(User::new(3, "Robot").bot("3:token"));
        Self {
            dc,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    async fn login(&self, account: Account) -> Result<i64, LoginError> {
        let path = self.directory.path().join("new.session");
        let session = if path.exists() {
            open_when_free(&path).await
        } else {
            let key = self.dc.provision_signed_out_key();
            FileSession::create(&path, session_key(), &login_with(&self.dc, key)).unwrap()
        };
        let application = Application {
            id: 1,
            hash: Zeroizing::new("hash".to_owned()),
        };
        let reach = Reach {
            proxy: None,
            limit: SOON * 3,
        };
        let session = Arc::new(session);
        let id = login(&session, application, account, &reach).await?;
        keep(&session, 1, &reach).await?;
        Ok(id)
    }

    /// Who the file says is signed in.
    async fn signed_in(&self) -> Option<i64> {
        let path = self.directory.path().join("new.session");
        let session = open_when_free(&path).await;
        let me = session.peer(PeerId::self_user()).await.unwrap();
        assert_eq!(me.is_some(), session.user().is_some());
        session.user()
    }
}

fn user(typist: &Typist) -> Account {
    Account::User(Box::new(typist.clone()))
}

#[tokio::test]
async fn a_code_signs_in_and_is_kept() {
    let desk = Desk::new().await;
    let typist = Typist::typing(&["+9996620001", "99999", "11111"]);
    assert_eq!(desk.login(user(&typist)).await.unwrap(), 1);
    assert_eq!(typist.asked(), ["phone", "note", "code", "note", "code"]);
    assert_eq!(desk.signed_in().await, Some(1));
    let again = desk.login(user(&typist)).await.unwrap_err();
    assert!(matches!(again, LoginError::AlreadySignedIn));
}

#[tokio::test]
async fn a_password_is_asked_for_and_may_be_wrong_at_first() {
    let desk = Desk::new().await;
    let typist = Typist::typing(&[PHONE, "22222", "wrong", PASSWORD]);
    assert_eq!(desk.login(user(&typist)).await.unwrap(), 2);
    assert_eq!(desk.signed_in().await, Some(2));
}

#[tokio::test]
async fn what_the_password_is_proven_against_may_go_stale() {
    let desk = Desk::new().await;
    let stale = || Fault::error(400, "SRP_ID_INVALID");
    desk.dc.fault("auth.checkPassword", stale(), 2);
    let typist = Typist::typing(&[PHONE, "22222", PASSWORD]);
    let error = desk.login(user(&typist)).await.unwrap_err();
    assert!(
        matches!(error, LoginError::Refused(_)),
        "once only: {error}"
    );
    desk.dc.fault("auth.checkPassword", stale(), 1);
    let typist = Typist::typing(&[PHONE, "22222", PASSWORD]);
    assert_eq!(desk.login(user(&typist)).await.unwrap(), 2);
    assert_eq!(typist.asked(), ["phone", "note", "code", "password"]);
}

#[tokio::test]
async fn a_person_may_type_for_longer_than_a_challenge_lives() {
    let desk = Desk::new().await;
    let typist = Typist::typing(&[PHONE, "22222", PASSWORD]);
    assert_eq!(desk.login(user(&typist)).await.unwrap(), 2);
    // One for the hint, before the question; one for the proof, after the answer.
    assert_eq!(desk.dc.count("account.getPassword"), 2);
}

#[tokio::test]
async fn a_session_that_cannot_be_written_is_ended_at_telegram() {
    let desk = Desk::new().await;
    let in_the_way = desk.directory.path().join("new.session.new");
    let key = desk.dc.provision_signed_out_key();
    let path = desk.directory.path().join("new.session");
    drop(FileSession::create(&path, session_key(), &login_with(&desk.dc, key)).unwrap());
    std::fs::create_dir(&in_the_way).unwrap();
    let typist = Typist::typing(&["+9996620001", "11111"]);
    let error = desk.login(user(&typist)).await.unwrap_err();
    let ended = matches!(error, LoginError::NotKept { ended: true, .. });
    assert!(ended, "{error}");
    assert_eq!(desk.dc.count("auth.logOut"), 1);
    assert_eq!(desk.signed_in().await, None);
}

#[tokio::test]
async fn a_key_is_agreed_on_with_telegram_only() {
    let desk = Desk::new().await;
    let path = desk.directory.path().join("new.session");
    let key = desk.dc.provision_signed_out_key();
    let session = FileSession::create(&path, session_key(), &login_with(&desk.dc, key)).unwrap();
    let mut dc = session.dc_option(desk.dc.id()).unwrap().unwrap();
    dc.auth_key = None;
    session.set_dc_option(&dc).await.unwrap();
    session.save().unwrap();
    drop(session);
    // The simulator has an RSA key of its own, as would anybody in between.
    let typist = Typist::typing(&["+9996620001", "11111"]);
    let error = desk.login(user(&typist)).await.unwrap_err();
    assert!(matches!(error, LoginError::NotTelegram(_)), "{error}");
    assert!(error.to_string().contains("fingerprints"), "{error}");
    assert_eq!(desk.dc.count("auth.sendCode"), 0);
    let session = open_when_free(&path).await;
    assert_eq!(session.dc_option(desk.dc.id()).unwrap(), Some(dc));
}

#[tokio::test]
async fn guessing_ends_and_says_what_to_do() {
    let desk = Desk::new().await;
    let typist = Typist::typing(&["+9996620001", "1", "2", "3"]);
    let error = desk.login(user(&typist)).await.unwrap_err();
    assert!(matches!(error, LoginError::WrongCode), "{error}");
    let typist = Typist::typing(&[PHONE, "22222", "1", "2", "3"]);
    let error = desk.login(user(&typist)).await.unwrap_err();
    assert!(matches!(error, LoginError::WrongPassword), "{error}");
    assert_eq!(desk.signed_in().await, None);
}

#[tokio::test]
async fn a_bot_signs_in_by_its_token() {
    let desk = Desk::new().await;
    let wrong = Account::Bot(Zeroizing::new("3:other".to_owned()));
    let error = desk.login(wrong).await.unwrap_err();
    assert!(matches!(error, LoginError::BadToken), "{error}");
    assert!(!error.to_string().contains("3:other"));
    let right = Account::Bot(Zeroizing::new("3:token".to_owned()));
    assert_eq!(desk.login(right).await.unwrap(), 3);
    assert_eq!(desk.signed_in().await, Some(3));
}

#[tokio::test]
async fn what_telegram_says_is_passed_on() {
    let desk = Desk::new().await;
    let flood = Fault::error(420, "FLOOD_WAIT_77");
    desk.dc.fault("auth.sendCode", flood, 1);
    let typist = Typist::typing(&[PHONE]);
    let error = desk.login(user(&typist)).await.unwrap_err();
    assert!(matches!(error, LoginError::Wait(wait) if wait == Duration::from_secs(77)));
    desk.dc.refuse(true);
    let typist = Typist::typing(&[PHONE]);
    let error = desk.login(user(&typist)).await.unwrap_err();
    assert!(matches!(error, LoginError::Unreachable), "{error}");
}
