//! `vaultgram logout`: ends the session at Telegram, and removes its file.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::cli::LogoutArgs;
use crate::cli::exit::{Exit, Failure};
use crate::config::TelegramConfig;
use crate::daemon::serve::forbid_inspection;
use crate::daemon::signals::unless_stopped;
use crate::daemon::terminal::{self, Echo};
use crate::daemon::{application, load_telegram, login, session_key, settings};
use crate::telegram::login::NoAnswer;
use crate::telegram::{self, FileSession};

/// Signs the configured account out.
///
/// # Errors
/// When the session is in use, or Telegram cannot be told; then the file stays.
pub async fn logout(arguments: &LogoutArgs, out: &mut dyn Write) -> Result<(), Failure> {
    forbid_inspection()?;
    let file = &arguments.config.config;
    let (config, _) = load_telegram(file)?;
    unless_stopped(run(arguments, &config, file)).await?;
    let where_from = if arguments.local {
        "; Telegram was not told: end the session in one of its apps, under Settings, Devices"
    } else {
        " at Telegram"
    };
    let done = if arguments.local {
        "removed"
    } else {
        "signed out"
    };
    let shown = config.session.display();
    let told = if arguments.local {
        writeln!(out, "{done} {shown}{where_from}")
    } else {
        writeln!(out, "{done}{where_from}, and removed {shown}")
    };
    told.map_err(|error| Failure::new(Exit::CannotCreate, error))
}

async fn run(arguments: &LogoutArgs, config: &TelegramConfig, file: &Path) -> Result<(), Failure> {
    let cannot = |error| Failure::new(Exit::CannotCreate, error);
    confirm(arguments, &config.session).await?;
    if arguments.local {
        // Works without the key too: who lost it must be able to start anew.
        return FileSession::remove(&config.session).map_err(cannot);
    }
    let key = session_key::required(&config.session_key).await?;
    let session = Arc::new(FileSession::open(&config.session, key).map_err(cannot)?);
    if session.user().is_some() {
        let application = application::resolve(&config.application, file).await?;
        let reach = settings::reach(config);
        let told = telegram::sign_out(&session, application.id, &reach).await;
        told.map_err(|error| {
            login::failure(error).hint(
                "the session's file is still there; to remove only that: vaultgram logout --local",
            )
        })?;
    }
    session.forget().map_err(cannot)
}

async fn confirm(arguments: &LogoutArgs, session: &Path) -> Result<(), Failure> {
    if arguments.yes {
        return Ok(());
    }
    if !terminal::is_there() {
        let what = "there is nobody to ask whether to sign out; say it with --yes";
        return Err(Failure::new(Exit::Usage, what));
    }
    let question = format!("sign out and remove {} (yes/no)", session.display());
    let answer = terminal::ask(&question, Echo::Shown).await;
    match answer {
        Ok(answer) if answer.eq_ignore_ascii_case("yes") => Ok(()),
        Ok(_) | Err(NoAnswer::Cancelled) => Err(Failure::new(
            Exit::Cancelled,
            "cancelled; nothing was changed",
        )),
        Err(none @ (NoAnswer::NotGiven(_) | NoAnswer::Failed(_))) => Err(login::no_answer(none)),
    }
}
