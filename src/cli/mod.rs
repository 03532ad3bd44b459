//! The command line, one file per command.

pub mod audit;
pub mod client;
pub mod collect;
pub mod exit;
pub mod get;
pub mod init;
pub mod invoke;
pub mod keygen;
pub mod leases;
pub mod open;
mod secret;
mod show;
pub mod unlock;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cli::exit::{Exit, Failure};

/// Secrets from Vault to people on Telegram and to programs on a Unix socket.
#[derive(Parser)]
#[command(name = "vaultgram", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `login --help` says: an answer need not be typed.
const LOGIN: &str = "\
Sign the Telegram account in, and store the session

Asks for what it needs. Without a terminal it takes TELEGRAM_PHONE, TELEGRAM_PASSWORD and
TELEGRAM_BOT_TOKEN from where all secrets come from (a systemd credential, a Docker secret, a file
that NAME_FILE names, a variable, .env), and the code from --code-file.";

/// Every command there is.
#[derive(Subcommand)]
pub enum Command {
    /// Write a commented starter configuration and policy
    Init(init::InitArgs),
    /// Check configuration and policy, without connecting to anything
    Check(ConfigArgs),
    /// Try each thing vaultgram depends on, and say what to do about what fails
    Doctor(DoctorArgs),
    /// Sign the Telegram account in, and store the session
    #[command(long_about = LOGIN)]
    Login(LoginArgs),
    /// Sign the Telegram account out, and remove the session
    Logout(LogoutArgs),
    /// Look at the Telegram session
    #[command(subcommand)]
    Session(Session),
    /// Run the broker
    Serve(ConfigArgs),
    /// Get a secret, or one of its fields, from a running vaultgram
    Get(get::GetArgs),
    /// Ask a secrets engine behind a running vaultgram to do something, and print its answer
    Invoke(invoke::InvokeArgs),
    /// List the leases of dynamic secrets you got, keep them for longer, or end them
    Leases(leases::LeasesArgs),
    /// Collect what you asked for in chat with `socket`, as your own user, once
    Collect(collect::CollectArgs),
    /// Decrypt a sealed answer from the chat
    Open(open::OpenArgs),
    /// Make a key for sealed answers
    Keygen(keygen::KeygenArgs),
    /// Let a running vaultgram answer in chat again, after a new device made it stop
    Unlock(unlock::UnlockArgs),
    /// Work with the audit
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// Where the daemon's configuration is.
#[derive(Args)]
pub struct ConfigArgs {
    /// The configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "VAULTGRAM_CONFIG",
        default_value = "vaultgram.toml"
    )]
    pub config: PathBuf,
}

/// Arguments of `login`.
#[derive(Args)]
pub struct LoginArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Sign in as a bot, by its token
    #[arg(long, conflicts_with = "code_file")]
    pub bot: bool,
    /// Lock the new session key with a passphrase
    #[arg(long)]
    pub passphrase: bool,
    /// Wait for the code in this file, five minutes at most, instead of asking for it; the file
    /// must not exist before
    #[arg(long, value_name = "PATH")]
    pub code_file: Option<PathBuf>,
}

/// Arguments of `logout`.
#[derive(Args)]
pub struct LogoutArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Only remove the session's file, and do not tell Telegram
    #[arg(long)]
    pub local: bool,
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
}

/// What can be done with the session.
#[derive(Subcommand)]
pub enum Session {
    /// Show the account, its datacenters and devices; never a key
    Show(SessionShowArgs),
}

/// Arguments of `session show`.
#[derive(Args)]
pub struct SessionShowArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Parses the command line. `Err` holds the code to end with, after help or a usage error
/// was printed.
///
/// # Errors
/// With 0 for `--help` and `--version`, else with [`Exit::Usage`].
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    Arguments::try_parse_from(arguments).map_err(|error| {
        // Nowhere is left to say that the terminal is gone.
        drop(error.print());
        if error.use_stderr() {
            Exit::Usage.into()
        } else {
            ExitCode::SUCCESS
        }
    })
}

/// Prints a failure, and gives the code to end with.
#[must_use]
pub fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(std::io::stderr(), "{failure}"));
            failure.exit.into()
        }
    }
}
