//! `vaultgram login`: asks for what Telegram needs, and stores the session.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::cli::LoginArgs;
use crate::cli::exit::{Exit, Failure};
use crate::config::{self, Environment, TelegramConfig};
use crate::daemon::registering::register;
use crate::daemon::serve::forbid_inspection;
use crate::daemon::signals::unless_stopped;
use crate::daemon::terminal::{self, Echo};
use crate::daemon::{application, load_telegram, session_key, settings};
use crate::domain::signs::one_line;
use crate::telegram::login::{Account, LoginError, NoAnswer, Prompt, login as sign_in};
use crate::telegram::{self, FileSession, Reach};

/// How long the file with the code is waited for. Telegram's codes do not live longer.
const CODE_LIMIT: Duration = Duration::from_mins(5);
/// How often it is looked for.
const CODE_POLL: Duration = Duration::from_millis(200);

/// Signs the configured account in.
///
/// # Errors
/// When the session is in use, Telegram refuses, or nothing more can be read.
pub async fn login(arguments: &LoginArgs, out: &mut dyn Write) -> Result<(), Failure> {
    forbid_inspection()?;
    let (config, environment) = load_telegram(&arguments.config.config)?;
    let signed_in = unless_stopped(run(arguments, &config, &environment)).await?;
    let (id, api_id) = (signed_in.id, signed_in.api_id);
    let (session, reach) = (Arc::clone(&signed_in.session), signed_in.reach.clone());
    // Not ended by a signal: half done, it would leave the account signed in on a session that
    // nobody has. It is a write to the disk, and at worst a call or two.
    signed_in.keep().await.map_err(failure)?;
    let told = writeln!(
        out,
        "signed in as user {id}; the session is in {}",
        config.session.display()
    );
    register(&arguments.config.config, &session, api_id, &reach).await;
    told.map_err(|error| Failure::new(Exit::CannotCreate, error))
}

async fn run(
    arguments: &LoginArgs,
    config: &TelegramConfig,
    environment: &Environment,
) -> Result<SignedIn, Failure> {
    let application = application::resolve(&config.application, &arguments.config.config).await?;
    let api_id = application.id;
    let mut answers = Answers::new(arguments, environment)?;
    let account = if arguments.bot {
        Account::Bot(answers.token().await.map_err(no_answer)?)
    } else {
        Account::User(Box::new(answers))
    };
    let (session, made) = open(arguments, config).await?;
    let session = Arc::new(session);
    let reach = settings::reach(config);
    let id = sign_in(&session, application, account, &reach).await;
    Ok(SignedIn {
        id: id.map_err(failure)?,
        session,
        made,
        api_id,
        reach,
    })
}

/// An account that is signed in, on a session that is not written yet.
struct SignedIn {
    id: i64,
    session: Arc<FileSession>,
    made: NewFile,
    api_id: i32,
    reach: Reach,
}

impl SignedIn {
    /// Keeps the key, and only then writes the session: without it, nobody can open that.
    async fn keep(self) -> Result<(), LoginError> {
        self.made.keep();
        telegram::login::keep(&self.session, self.api_id, &self.reach).await
    }
}

/// The session and its key; a new one of each where there is none.
async fn open(
    arguments: &LoginArgs,
    config: &TelegramConfig,
) -> Result<(FileSession, NewFile), Failure> {
    let cannot = |error| Failure::new(Exit::CannotCreate, error);
    let path = &config.session;
    let keys = &config.session_key;
    let found = session_key::found(keys).await?;
    if path.exists() {
        let key = match found {
            Some(key) => key,
            None => session_key::required(keys).await?,
        };
        let session = FileSession::open(path, key).map_err(cannot)?;
        return Ok((session, NewFile(None)));
    }
    if let Some(key) = found {
        if arguments.passphrase {
            let what = format!("there is a session key already: {}", keys.source);
            return Err(Failure::new(Exit::Usage, what)
                .hint("session/README.md says how to lock it with a passphrase"));
        }
        let session = FileSession::create_empty(path, key).map_err(cannot)?;
        return Ok((session, NewFile(None)));
    }
    let key = session_key::make(keys, arguments.passphrase).await?;
    let made = NewFile(Some(keys.file.clone()));
    let session = FileSession::create_empty(path, key).map_err(cannot)?;
    Ok((session, made))
}

/// The file of a new session key, which goes away again unless it is kept.
struct NewFile(Option<PathBuf>);

impl NewFile {
    fn keep(mut self) {
        if let Some(path) = self.0.take() {
            terminal::say(&format!(
                "made a session key: {}\nwithout it the session cannot be opened\n",
                path.display()
            ));
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Left behind it does no harm: the next login takes it.
            drop(std::fs::remove_file(path));
        }
    }
}

pub(super) fn failure(error: LoginError) -> Failure {
    let exit = match &error {
        LoginError::AlreadySignedIn | LoginError::Session(_) | LoginError::NotKept { .. } => {
            Exit::CannotCreate
        }
        LoginError::NotSignedIn
        | LoginError::WrongCode
        | LoginError::WrongPassword
        | LoginError::Banned
        | LoginError::BadToken
        | LoginError::PaymentRequired
        | LoginError::EmailRequired
        | LoginError::OwnAppRequired
        | LoginError::PasswordNeeded
        | LoginError::Outdated
        | LoginError::Refused(_) => Exit::Denied,
        LoginError::BadApplication | LoginError::PublishedApplication => Exit::Config,
        LoginError::InvalidNumber => Exit::Data,
        LoginError::Wait(_)
        | LoginError::TooManyTries
        | LoginError::Trouble(_)
        | LoginError::CodeExpired
        | LoginError::Restart => Exit::TryAgain,
        LoginError::Unreachable
        | LoginError::NotTelegram(_)
        | LoginError::Proxy(_)
        | LoginError::Unexpected => Exit::Unavailable,
        LoginError::NoAnswer(NoAnswer::Cancelled) => Exit::Cancelled,
        LoginError::NoAnswer(NoAnswer::NotGiven(_)) => Exit::Usage,
        LoginError::NoAccount | LoginError::NoAnswer(NoAnswer::Failed(_)) => Exit::NotFound,
    };
    Failure::new(exit, error)
}

/// As [`failure`], of a question that is asked elsewhere.
pub(super) fn no_answer(none: NoAnswer) -> Failure {
    failure(none.into())
}

/// Answers from the environment first, then from the person.
struct Answers {
    phone: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
    code_file: Option<PathBuf>,
    /// The last code that the file held.
    tried: Zeroizing<String>,
}

impl Answers {
    fn new(arguments: &LoginArgs, environment: &Environment) -> Result<Self, Failure> {
        let code_file = arguments.code_file.clone();
        if let Some(path) = code_file.as_ref().filter(|path| path.exists()) {
            let what = format!(
                "{} is there already, and can only hold an older code; remove it",
                path.display()
            );
            return Err(Failure::new(Exit::Usage, what));
        }
        let get = |name: &str| {
            let text = environment.secret_text(name);
            text.map_err(|problem| Failure::new(Exit::Config, problem))
        };
        Ok(Self {
            phone: get("TELEGRAM_PHONE")?,
            password: get("TELEGRAM_PASSWORD")?,
            token: get("TELEGRAM_BOT_TOKEN")?,
            code_file,
            tried: Zeroizing::default(),
        })
    }

    async fn token(&mut self) -> Result<Zeroizing<String>, NoAnswer> {
        let given = self.token.take();
        let token = or_ask(given, "bot token", Echo::Hidden, "TELEGRAM_BOT_TOKEN").await?;
        Ok(Zeroizing::new(token.trim().to_owned()))
    }
}

/// What was given, else what is typed; `setting` is how to give it.
async fn or_ask(
    given: Option<Zeroizing<String>>,
    question: &str,
    echo: Echo,
    setting: &'static str,
) -> Result<Zeroizing<String>, NoAnswer> {
    if let Some(given) = given {
        return Ok(given);
    }
    match terminal::ask(question, echo).await {
        Err(NoAnswer::Cancelled) if !terminal::is_there() => Err(NoAnswer::NotGiven(setting)),
        answer => answer,
    }
}

/// Waits until the file holds another code than `tried`.
async fn code_in(path: &Path, tried: &str) -> Result<Zeroizing<String>, NoAnswer> {
    let end = Instant::now() + CODE_LIMIT;
    while Instant::now() < end {
        if let Some(text) = config::one_time_code(path).map_err(NoAnswer::Failed)? {
            let code = text.trim();
            // The newline says that it was written to its end.
            if text.ends_with('\n') && !code.is_empty() && code != tried {
                return Ok(Zeroizing::new(code.to_owned()));
            }
        }
        sleep(CODE_POLL).await;
    }
    Err(NoAnswer::Failed(format!(
        "{}: no code came within {} minutes",
        path.display(),
        CODE_LIMIT.as_secs() / 60
    )))
}

#[async_trait]
impl Prompt for Answers {
    async fn phone(&mut self) -> Result<Zeroizing<String>, NoAnswer> {
        let given = self.phone.take();
        let question = "phone number, with its country's code";
        or_ask(given, question, Echo::Shown, "TELEGRAM_PHONE").await
    }

    async fn code(&mut self) -> Result<Zeroizing<String>, NoAnswer> {
        let Some(path) = &self.code_file else {
            let question = "code that Telegram sent";
            let code = or_ask(None, question, Echo::Hidden, "--code-file").await?;
            return Ok(Zeroizing::new(code.trim().to_owned()));
        };
        terminal::say(&format!("waiting for the code in {}\n", path.display()));
        let code = code_in(path, &self.tried).await?;
        self.tried.clone_from(&code);
        Ok(code)
    }

    async fn password(&mut self, hint: Option<&str>) -> Result<Zeroizing<String>, NoAnswer> {
        let given = self.password.take();
        let question = match hint {
            Some(hint) => format!("two-step password (hint: {})", one_line(hint)),
            None => "two-step password".to_owned(),
        };
        or_ask(given, &question, Echo::Hidden, "TELEGRAM_PASSWORD").await
    }

    fn note(&mut self, text: &str) {
        terminal::say(&format!("{}\n", one_line(text)));
    }
}

#[cfg(test)]
mod tests {
    use grammers_session::Session;

    use super::*;
    use crate::age::SessionKey;
    use crate::telegram::Login;

    #[tokio::test]
    async fn a_session_that_cannot_be_written_costs_no_key_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("session.key");
        std::fs::write(&key_file, "a key").unwrap();
        // Nobody listens there.
        let login = Login {
            dc: 2,
            address: "127.0.0.1:1".parse().unwrap(),
            auth_key: [7; 256],
            user: Some(1000),
        };
        let path = folder.path().join("telegram.session");
        let session = FileSession::create(&path, SessionKey::generate(), &login).unwrap();
        std::fs::create_dir(folder.path().join("telegram.session.new")).unwrap();
        session.set_home_dc_id(2).await.unwrap();
        let signed_in = SignedIn {
            id: 1000,
            session: Arc::new(session),
            made: NewFile(Some(key_file.clone())),
            api_id: 1,
            reach: Reach {
                proxy: None,
                limit: Duration::from_secs(10),
            },
        };
        let error = signed_in.keep().await.unwrap_err();
        assert!(key_file.exists());
        let ended = matches!(error, LoginError::NotKept { ended: true, .. });
        assert!(!ended, "nobody heard it");
        assert!(error.to_string().contains("Settings, Devices"), "{error}");
    }
}
