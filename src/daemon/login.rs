//! `vaultgram login`: asks for what Telegram needs, and stores the session.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::cli::LoginArgs;
use crate::cli::exit::{Exit, Failure};
use crate::config::TelegramConfig;
use crate::daemon::serve::forbid_inspection;
use crate::daemon::{load, settings};
use crate::telegram::FileSession;
use crate::telegram::login::{Account, Application, LoginError, Prompt, login as sign_in};

/// Longest answer read, in bytes.
const MAX_ANSWER: u64 = 1024;

/// Signs the configured account in.
///
/// # Errors
/// When the session is in use, Telegram refuses, or nothing more can be read.
pub async fn login(arguments: &LoginArgs, out: &mut dyn Write) -> Result<(), Failure> {
    forbid_inspection()?;
    let file = &arguments.config.config;
    let Some(config) = load(file)?.telegram else {
        let what = format!("{}: there is no [telegram] section", file.display());
        return Err(Failure::new(Exit::Config, what));
    };
    let session = open(&config.session)?;
    let application = application(&config);
    let mut terminal = Terminal;
    let account = if arguments.bot {
        Account::Bot(terminal.ask("bot token", true).await)
    } else {
        Account::User(Box::new(terminal))
    };
    let id = sign_in(
        Arc::new(session),
        &application,
        account,
        config.request_timeout,
    )
    .await
    .map_err(failure)?;
    writeln!(
        out,
        "signed in as user {id}; the session is in {}",
        config.session.display()
    )
    .map_err(|error| Failure::new(Exit::CannotCreate, error))
}

fn open(path: &Path) -> Result<FileSession, Failure> {
    let session = if path.exists() {
        FileSession::open(path)
    } else {
        FileSession::create_empty(path)
    };
    session.map_err(|error| Failure::new(Exit::CannotCreate, error))
}

fn application(config: &TelegramConfig) -> Application {
    #[expect(
        clippy::disallowed_methods,
        reason = "Telegram wants to see the application's hash"
    )]
    let hash = String::from_utf8_lossy(config.api_hash.expose_secret()).into_owned();
    Application {
        id: config.api_id,
        hash: Zeroizing::new(hash),
        proxy: settings::proxy(config),
    }
}

fn failure(error: LoginError) -> Failure {
    let exit = match &error {
        LoginError::AlreadySignedIn | LoginError::Session(_) => Exit::CannotCreate,
        LoginError::NotSignedIn
        | LoginError::WrongCode
        | LoginError::WrongPassword
        | LoginError::NoAccount
        | LoginError::Refused(_) => Exit::Denied,
        LoginError::Wait(_) => Exit::TryAgain,
        LoginError::Unreachable | LoginError::Proxy(_) => Exit::Unavailable,
    };
    Failure::new(exit, error)
}

/// Questions on standard error, answers from standard input.
struct Terminal;

impl Terminal {
    /// Asks; on a terminal a `hidden` answer is not shown. No answer is an empty one, which
    /// Telegram refuses.
    async fn ask(&mut self, question: &str, hidden: bool) -> Zeroizing<String> {
        let question = format!("{question}: ");
        let reading = tokio::task::spawn_blocking(move || {
            let mut stderr = std::io::stderr();
            // Without a place to show the question, the answer can still be read.
            drop(
                stderr
                    .write_all(question.as_bytes())
                    .and_then(|()| stderr.flush()),
            );
            if hidden && std::io::stdin().is_terminal() {
                return rpassword::read_password().map(Zeroizing::new);
            }
            let mut line = Zeroizing::new(String::new());
            // Locked for one line only, so that the next answer is still there for the next.
            let mut input = std::io::stdin().lock();
            (&mut input as &mut dyn BufRead)
                .take(MAX_ANSWER)
                .read_line(&mut line)?;
            Ok::<_, std::io::Error>(Zeroizing::new(line.trim().to_owned()))
        });
        reading.await.ok().and_then(Result::ok).unwrap_or_default()
    }
}

#[async_trait]
impl Prompt for Terminal {
    async fn phone(&mut self) -> Zeroizing<String> {
        self.ask("phone number, with its country's code", false)
            .await
    }

    async fn code(&mut self) -> Zeroizing<String> {
        self.ask("code that Telegram sent", false).await
    }

    async fn password(&mut self, hint: Option<&str>) -> Zeroizing<String> {
        match hint {
            Some(hint) => {
                self.ask(&format!("two-step password (hint: {hint})"), true)
                    .await
            }
            None => self.ask("two-step password", true).await,
        }
    }
}
