//! The key of the session at rest: found, unlocked, or made.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::age::{KeyError, LockedKey, SessionKey, StoredKey};
use crate::cli::exit::{Exit, Failure};
use crate::config::SessionKeyConfig;
use crate::daemon::login::no_answer;
use crate::daemon::terminal::{self, Echo};

/// Tries at a passphrase that is typed.
const TRIES: u32 = 3;

/// The key, for a session that is there.
///
/// # Errors
/// When there is none, or it stays locked.
pub(super) async fn required(config: &SessionKeyConfig) -> Result<SessionKey, Failure> {
    found(config).await?.ok_or_else(|| {
        Failure::new(
            Exit::Config,
            format!(
                "there is no session key: neither is TELEGRAM_SESSION_KEY set, nor is there a file \
                 {}; `vaultgram login` makes one",
                config.file.display()
            ),
        )
    })
}

/// The key, if there is one; a person is asked for its passphrase where it has one.
///
/// # Errors
/// When it is no key, or stays locked.
pub(super) async fn found(config: &SessionKeyConfig) -> Result<Option<SessionKey>, Failure> {
    let Some(found) = &config.found else {
        return Ok(None);
    };
    #[expect(clippy::disallowed_methods, reason = "the key is put to use")]
    let stored = StoredKey::read(found.expose_secret());
    match stored.map_err(|error| unusable(config, error))? {
        StoredKey::Open(key) => Ok(Some(key)),
        StoredKey::Locked(locked) => unlock(config, locked).await.map(Some),
    }
}

async fn unlock(config: &SessionKeyConfig, locked: LockedKey) -> Result<SessionKey, Failure> {
    let mut locked = locked;
    if let Some(passphrase) = configured_passphrase(config)? {
        let (_, result) = unlock_with(locked, passphrase).await?;
        return result.map_err(|error| unusable(config, error));
    }
    if !terminal::is_there() {
        let what = format!(
            "{} is locked with a passphrase; give it as TELEGRAM_SESSION_PASSPHRASE (a systemd \
             credential, a file, or a variable), or start on a terminal",
            config.source
        );
        return Err(Failure::new(Exit::Config, what));
    }
    let question = format!("passphrase of {}", config.source);
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let passphrase = terminal::ask(&question, Echo::Hidden).await;
        let passphrase = passphrase.map_err(no_answer)?;
        let (back, result) = unlock_with(locked, passphrase).await?;
        locked = back;
        match result {
            Err(KeyError::WrongPassphrase) if tries > 0 => terminal::say("it is another one\n"),
            result => return result.map_err(|error| unusable(config, error)),
        }
    }
}

/// Tries a passphrase off the runtime's threads: it takes a second of work.
async fn unlock_with(
    locked: LockedKey,
    passphrase: Zeroizing<String>,
) -> Result<(LockedKey, Result<SessionKey, KeyError>), Failure> {
    let work = tokio::task::spawn_blocking(move || {
        let result = locked.unlock(&passphrase);
        (locked, result)
    });
    work.await
        .map_err(|error| Failure::new(Exit::Unavailable, error))
}

fn configured_passphrase(config: &SessionKeyConfig) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(passphrase) = &config.passphrase else {
        return Ok(None);
    };
    #[expect(clippy::disallowed_methods, reason = "the passphrase is put to use")]
    let text = std::str::from_utf8(passphrase.expose_secret());
    text.map(|text| Some(Zeroizing::new(text.to_owned())))
        .map_err(|_| {
            Failure::new(
                Exit::Config,
                "TELEGRAM_SESSION_PASSPHRASE is not UTF-8 text",
            )
        })
}

fn unusable(config: &SessionKeyConfig, error: KeyError) -> Failure {
    Failure::new(Exit::Config, format!("{} {error}", config.source))
}

/// Makes a key and its file; locked with a passphrase where `lock`.
///
/// # Errors
/// When the file exists or cannot be written, or there is no passphrase.
pub(super) async fn make(config: &SessionKeyConfig, lock: bool) -> Result<SessionKey, Failure> {
    let key = SessionKey::generate();
    let text = if lock {
        let passphrase = match configured_passphrase(config)? {
            Some(passphrase) => passphrase,
            None => terminal::new_passphrase("new passphrase for the session key").await?,
        };
        let locked = key.to_locked_file(&passphrase);
        locked.map_err(|error| Failure::new(Exit::Unavailable, error))?
    } else {
        key.to_file()
    };
    write(&config.file, &text).map_err(|error| {
        let what = format!("{}: cannot be written: {error}", config.file.display());
        let failure = Failure::new(Exit::CannotCreate, what);
        if error.kind() == std::io::ErrorKind::NotFound {
            let folder = config.file.parent().unwrap_or(Path::new("."));
            failure.hint(format!(
                "make its folder: mkdir -m 700 {}",
                folder.display()
            ))
        } else {
            failure
        }
    })?;
    Ok(key)
}

/// Writes a new file, which is there after a power cut too: the session is nothing without it.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
