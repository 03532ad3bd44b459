//! `vaultgram init`: a commented starter configuration and policy.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::exit::{Exit, Failure};
use crate::cli::show;

const CONFIG: &str = include_str!("templates/vaultgram.toml");
const POLICY: &str = include_str!("templates/policy.cedar");

/// Arguments of `init`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vaultgram init /etc/vaultgram --user 1001")]
pub struct InitArgs {
    /// The folder to write them into; made if it does not exist
    #[arg(default_value = ".", value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// A Telegram user id to listen to, and to put into the group "developers"; can be repeated
    #[arg(long = "user", value_name = "ID", value_parser = telegram_id)]
    pub users: Vec<i64>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

fn telegram_id(text: &str) -> Result<i64, &'static str> {
    let id = text.parse().ok().filter(|id| *id > 0);
    id.ok_or("a person's id in Telegram is a number, such as 1001, and no @name")
}

/// Writes `vaultgram.toml`, `policy.cedar` and the folder `session`; never over a file that is
/// there.
///
/// # Errors
/// When a file exists or cannot be written.
pub fn run(arguments: &InitArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let join = |each: fn(&i64) -> String| {
        arguments
            .users
            .iter()
            .map(each)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let config = CONFIG
        .replace("@USERS@", &join(ToString::to_string))
        .replace("@MEMBERS@", &join(|id| format!("\"telegram:{id}\"")));
    let policy = POLICY.replace("@UID@", &rustix::process::getuid().as_raw().to_string());

    let files = [("vaultgram.toml", config), ("policy.cedar", policy)];
    // Looked at first, so that nothing is left half done; `create_new` still has the last word.
    for (name, _) in &files {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(cannot_write(&path, &ErrorKind::AlreadyExists.into()));
        }
    }
    make_folder(directory, 0o755)?;
    make_folder(&directory.join("session"), 0o700)?;
    for (name, text) in files {
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o640).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| cannot_write(&path, &error))?;
    }
    if arguments.json {
        let path = |name| directory.join(name).display().to_string();
        let (config, policy) = (path("vaultgram.toml"), path("policy.cedar"));
        return show::json(
            &serde_json::json!({"config": config, "policy": policy}),
            out,
        );
    }
    let shown = directory.display();
    writeln!(
        out,
        "wrote {shown}/vaultgram.toml and {shown}/policy.cedar\n\
         next:\n  \
         1. read both, and set what differs\n  \
         2. vaultgram check --config {shown}/vaultgram.toml\n  \
         3. vaultgram doctor --config {shown}/vaultgram.toml"
    )
    .map_err(|error| cannot_write(Path::new("standard output"), &error))
}

fn make_folder(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::new(
        Exit::CannotCreate,
        format!("{}: cannot be written: {error}", path.display()),
    );
    if error.kind() == ErrorKind::AlreadyExists {
        failure.hint("init overwrites nothing; choose another folder or move the file away")
    } else {
        failure
    }
}
