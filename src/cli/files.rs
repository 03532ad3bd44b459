//! `vaultgram files`: a file for each secret, as programs expect them in `/run/secrets`.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::cli::address::Address;
use crate::cli::client::Socket;
use crate::cli::common::Common;
use crate::cli::exec::environment::{Named, check_all};
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::{Fetched, fetch};
use crate::cli::render::write::Target;
use crate::cli::show;
use crate::cli::signals::until_told;
use crate::cli::watch::{self, Watch};
use crate::domain::span;

/// Longest name of a file, in bytes.
const LONGEST: usize = 255;
/// The pause before another try; it doubles, up to the second.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// Arguments of `files`.
#[derive(Debug, Args)]
#[command(after_help = "\
All are read before the first is written, those of one path in one read. A file is its owner's alone
(0600), replaced at once, and left as it is where it would not change. The folder must be there; one in
memory (tmpfs) keeps the values off the disk.

Examples:
  vaultgram files --dir /run/secrets db_password=django/database#password tls_key=web/tls#key
  vaultgram files --dir /run/secrets --watch --wait 2m db_password=django/database#password
  vaultgram files --dir /run/secrets --check db_password=django/database#password

`vaultgram generate` prints what a program in a container, a pod or a unit needs for this.

Exit codes: 0 done, 64 usage, 66 no such secret, or --check and not all are there, 69 not available, 73
cannot write, 75 try again, 77 denied, 130 ended by a signal before it was done; with --watch, a signal
is how it ends, with 0.")]
pub struct FilesArgs {
    /// The folder that they are in
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
    /// Stay, and write a file again when its secret changes: look every so often [default: 30s]
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true,
        default_missing_value = watch::INTERVAL, value_parser = watch::interval)]
    pub watch: Option<Duration>,
    /// Try again for so long while vaultgram or Vault is not available, or the token in its file was used
    /// before, in the beginning
    #[arg(long, value_name = "TIME", value_parser = wait)]
    pub wait: Option<Duration>,
    /// Ask nobody and write nothing: only say whether all the files are there
    #[arg(long, conflicts_with_all = ["watch", "wait"])]
    pub check: bool,
    /// A file's name, and the secret that it holds
    #[arg(required = true, value_name = "NAME=PATH#field[@version]")]
    pub files: Vec<Named>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

fn wait(text: &str) -> Result<Duration, &'static str> {
    let wait = span::read(text).filter(|wait| *wait <= Duration::from_hours(24));
    wait.ok_or("from 1s to 24h, such as 2m")
}

/// Writes the files, and says so on `out`, until it is done or told to end.
///
/// # Errors
/// With the exit codes that `vaultgram files --help` lists.
pub async fn run(arguments: &FilesArgs, out: &mut dyn Write) -> Result<(), Failure> {
    check_all(&arguments.files, is_file_name)?;
    if arguments.check {
        return check(arguments, out);
    }
    until_told(work(arguments, out), arguments.watch.is_some()).await
}

/// Whether a file in a folder of ours may be called so, and why not.
pub(super) fn is_file_name(name: &str) -> Result<(), &'static str> {
    let known = |sign: char| sign.is_ascii_alphanumeric() || "_-.".contains(sign);
    if name.starts_with('.') || !(1..=LONGEST).contains(&name.len()) || !name.chars().all(known) {
        return Err(
            "a file's name is made of letters, digits, '_', '-' and '.', and begins with no '.'",
        );
    }
    Ok(())
}

async fn work(arguments: &FilesArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let addresses = arguments.files.iter().map(|named| &named.address);
    let addresses: Vec<Address> = addresses.cloned().collect();
    let socket = arguments.common.socket()?;
    let mut fetched = patiently(&socket, &addresses, arguments.wait).await?;
    let socket = socket.watched(false);
    let mut first = true;
    loop {
        let written = write(&arguments.dir, &arguments.files, &fetched)?;
        if first || written > 0 {
            say(arguments, written, out)?;
        }
        let Some(interval) = arguments.watch else {
            return Ok(());
        };
        first = false;
        let mut watch = Watch::new(socket.clone(), interval, &addresses, &fetched);
        fetched = watch.next(async || fetch(&socket, &addresses).await).await;
    }
}

/// Reads all of them, again and again for as long as it may take.
async fn patiently(
    socket: &Socket,
    addresses: &[Address],
    wait: Option<Duration>,
) -> Result<Vec<Fetched>, Failure> {
    let end = Instant::now() + wait.unwrap_or_default();
    let [mut pause, longest] = PAUSES;
    loop {
        let failure = match fetch(socket, addresses).await {
            Ok(fetched) => return Ok(fetched),
            Err(failure) => failure,
        };
        let away = matches!(failure.exit, Exit::Unavailable | Exit::TryAgain);
        // Whoever writes a token's file writes another one there in time.
        let passing = away || socket.lacks_token().await;
        if !passing || Instant::now() + pause > end {
            return Err(failure);
        }
        sleep(pause.mul_f64(rand::random_range(0.8..1.2))).await;
        pause = longest.min(pause * 2);
    }
}

/// Writes what has changed; how many files that were.
fn write(folder: &Path, files: &[Named], fetched: &[Fetched]) -> Result<usize, Failure> {
    let values = fetched.iter().map(Fetched::text);
    let values: Vec<Zeroizing<String>> = values.collect::<Result<_, _>>()?;
    let mut changed = 0;
    for (named, value) in files.iter().zip(values) {
        let path = folder.join(&named.name);
        let written = Target::new(&path)
            .ok_or_else(|| std::io::Error::other("it is no file's name"))
            .and_then(|target| target.write(value.as_bytes()));
        changed += usize::from(written.map_err(|error| {
            let what = format!("{}: cannot write: {error}", path.display());
            Failure::new(Exit::CannotCreate, what)
        })?);
    }
    Ok(changed)
}

fn say(arguments: &FilesArgs, written: usize, out: &mut dyn Write) -> Result<(), Failure> {
    let folder = arguments.dir.display().to_string();
    let text = format!(
        "{folder}: {written} of {} files written",
        arguments.files.len()
    );
    let json = serde_json::json!({"dir": folder, "written": written});
    show::either(arguments.common.json, &json, &text, out)
}

/// Says whether all are there, each for its owner alone.
fn check(arguments: &FilesArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let folder = arguments.dir.display();
    for named in &arguments.files {
        let found = arguments.dir.join(&named.name).symlink_metadata();
        let there = found.is_ok_and(|found| {
            let open = found.permissions().mode() & 0o077 != 0;
            found.is_file() && !open
        });
        if !there {
            let what = format!(
                "{folder}/{}: is not there, or not its owner's alone",
                named.name
            );
            return Err(Failure::new(Exit::NotFound, what));
        }
    }
    let text = format!("{folder}: all {} files are there", arguments.files.len());
    let json = serde_json::json!({"dir": folder.to_string(), "files": arguments.files.len()});
    show::either(arguments.common.json, &json, &text, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_in_its_folder() {
        for name in ["db_password", "tls.key", "A-1"] {
            assert_eq!(is_file_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".env",
            "a/b",
            "../x",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(256),
        ] {
            assert!(is_file_name(name).is_err(), "{name:?}");
        }
    }
}
