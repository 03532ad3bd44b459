//! The command line, one file per command.

pub mod address;
pub mod audit;
pub mod client;
pub mod collect;
pub mod common;
pub mod exec;
pub mod exit;
mod fetch;
pub mod get;
pub mod github;
pub mod init;
pub mod invoke;
pub mod keygen;
pub mod leases;
pub mod open;
pub mod parameter;
mod progress;
pub mod render;
mod secret;
mod show;
mod table;
pub mod unlock;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cli::common::Common;
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
    /// Work with the audit
    #[command(subcommand)]
    Audit(audit::Audit),
    /// What asks a running vaultgram, or nobody.
    #[command(flatten)]
    Client(Client),
}

/// The commands that need no configuration: most ask a running vaultgram on its socket.
#[derive(Subcommand)]
pub enum Client {
    /// Get a secret, or one of its fields, from a running vaultgram
    Get(get::GetArgs),
    /// Ask a secrets engine behind a running vaultgram to do something, and print its answer
    Invoke(invoke::InvokeArgs),
    /// List the leases of dynamic secrets you got, keep them for longer, or end them
    Leases(leases::LeasesArgs),
    /// Collect what you asked for in chat with `socket`, as your own user, once
    Collect(collect::CollectArgs),
    /// Run a command with secrets in its environment or in files
    Exec(exec::ExecArgs),
    /// Write a file from a template with secrets in it
    Render(render::RenderArgs),
    /// Hand secrets to the later steps of a GitHub job, masked in its log
    Github(github::GithubArgs),
    /// Decrypt a sealed answer from the chat
    Open(open::OpenArgs),
    /// Make a key for sealed answers
    Keygen(keygen::KeygenArgs),
    /// Let a running vaultgram answer in chat again, after a new device made it stop
    Unlock(unlock::UnlockArgs),
}

impl Client {
    /// How to ask; `None` for what asks nobody.
    fn common(&self) -> Option<&Common> {
        match self {
            Self::Get(arguments) => Some(&arguments.common),
            Self::Invoke(arguments) => Some(&arguments.common),
            Self::Leases(arguments) => Some(&arguments.common),
            Self::Collect(arguments) => Some(&arguments.common),
            Self::Exec(arguments) => Some(&arguments.common),
            Self::Render(arguments) => Some(&arguments.common),
            Self::Github(arguments) => Some(&arguments.common),
            Self::Unlock(arguments) => Some(&arguments.common),
            Self::Open(_) | Self::Keygen(_) => None,
        }
    }
}

/// Runs a command of a client. `terminal`: whether `out` is one. The code to end with is 0, or that
/// of the program `exec` ran.
///
/// # Errors
/// With the exit codes that the command's help lists.
pub async fn run(
    client: &Client,
    out: &mut dyn Write,
    terminal: bool,
) -> Result<ExitCode, Failure> {
    let common = client.common();
    let color = common.is_some_and(Common::choose_colors);
    let result = dispatch(client, out, terminal, color).await;
    if let (Some(Common { json: true, .. }), Err(failure)) = (common, &result) {
        drop(writeln!(io::stderr(), "{}", failure.json()));
        return Ok(failure.exit.into());
    }
    result
}

async fn dispatch(
    client: &Client,
    out: &mut dyn Write,
    terminal: bool,
    color: bool,
) -> Result<ExitCode, Failure> {
    match client {
        Client::Get(arguments) => get::run(arguments, out, terminal).await,
        Client::Invoke(arguments) => invoke::run(arguments, out, terminal).await,
        Client::Leases(arguments) => leases::run(arguments, out, color).await,
        Client::Collect(arguments) => collect::run(arguments, out, terminal).await,
        Client::Exec(arguments) => return exec::run(arguments).await,
        Client::Render(arguments) => render::run(arguments, out).await,
        Client::Github(arguments) => github::run(arguments, out).await,
        Client::Open(arguments) => open::run(arguments, out, terminal),
        Client::Keygen(arguments) => keygen::run(arguments, out),
        Client::Unlock(arguments) => unlock::run(arguments, out).await,
    }
    .map(|()| ExitCode::SUCCESS)
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
pub fn finish(result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| {
        drop(writeln!(anstream::stderr(), "{}", failure.styled()));
        failure.exit.into()
    })
}
