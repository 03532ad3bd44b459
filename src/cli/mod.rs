//! The command line, one file per command.

pub mod address;
pub mod approvals;
pub mod audit;
mod change;
pub mod client;
mod cluster;
pub mod collect;
pub mod common;
pub mod delete;
pub mod exec;
pub mod exit;
mod fetch;
pub mod files;
pub mod format;
pub mod generate;
pub mod get;
pub mod github;
pub mod init;
pub mod invoke;
pub mod keygen;
pub mod leases;
pub mod list;
pub mod manual;
pub mod open;
pub mod parameter;
pub mod policy;
mod progress;
pub mod put;
pub mod render;
pub mod rotate;
mod secret;
mod show;
pub mod sign;
mod signals;
pub mod state;
pub mod status;
pub(crate) mod table;
pub mod unlock;
pub mod versions;
mod watch;
pub mod wrap;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::cli::approvals::{decide, request, requests};
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

const LOGIN_EXAMPLES: &str = "\
Examples:
  vaultgram login --config /etc/vaultgram/vaultgram.toml
  TELEGRAM_BOT_TOKEN_FILE=token vaultgram login --bot";

const CHECK: &str = "\
Examples:
  vaultgram check --config /etc/vaultgram/vaultgram.toml";

const DOCTOR: &str = "\
Examples:
  vaultgram doctor --config /etc/vaultgram/vaultgram.toml
  vaultgram doctor --json | jq .";

const LOGOUT: &str = "\
Examples:
  vaultgram logout
  vaultgram logout --local --yes";

const SERVE: &str = "\
Examples:
  vaultgram serve --config /etc/vaultgram/vaultgram.toml";

const SESSION: &str = "\
Examples:
  vaultgram session show
  vaultgram session show --json | jq .";

/// Every command there is.
#[derive(Subcommand)]
pub enum Command {
    /// Write a commented starter configuration and policy
    Init(init::InitArgs),
    /// Check configuration and policy, without connecting to anything
    #[command(after_help = CHECK)]
    Check(ConfigArgs),
    /// Try each thing vaultgram depends on, and say what to do about what fails
    #[command(after_help = DOCTOR)]
    Doctor(DoctorArgs),
    /// Sign the Telegram account in, and store the session
    #[command(long_about = LOGIN, after_help = LOGIN_EXAMPLES)]
    Login(LoginArgs),
    /// Sign the Telegram account out, and remove the session
    #[command(after_help = LOGOUT)]
    Logout(LogoutArgs),
    /// Look at the Telegram session
    #[command(subcommand)]
    Session(Session),
    /// Run the broker
    #[command(after_help = SERVE)]
    Serve(ConfigArgs),
    /// Look at policies, ask them, and test them
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Work with the audit
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Work with what must outlive a restart
    #[command(subcommand)]
    State(state::StateCommand),
    /// What asks a running vaultgram, or nobody.
    #[command(flatten)]
    Client(Client),
}

/// The commands that need no configuration: most ask a running vaultgram on its socket.
#[derive(Subcommand)]
pub enum Client {
    /// Get a secret, or one of its fields, from a running vaultgram
    Get(get::GetArgs),
    /// Write a new version of a secret, which holds these fields alone
    Put(put::PutArgs),
    /// Write a new version of a secret, in which these fields are changed
    Patch(put::PatchArgs),
    /// List the names in a folder
    List(list::ListArgs),
    /// Delete a version of a secret, so that it can be undeleted
    Delete(delete::DeleteArgs),
    /// Bring a deleted version back
    Undelete(delete::UndeleteArgs),
    /// Remove a version for good
    Destroy(delete::DestroyArgs),
    /// List the versions of a secret: when they were written, and what became of them
    Versions(versions::VersionsArgs),
    /// Put a random value into one field, which nobody is shown
    Rotate(rotate::RotateArgs),
    /// Ask a secrets engine behind a running vaultgram to do something, and print its answer
    Invoke(invoke::InvokeArgs),
    /// Put a secret behind a token of Vault's that works once
    Wrap(wrap::WrapArgs),
    /// Get what is behind such a token
    Unwrap(wrap::UnwrapArgs),
    /// List the leases of dynamic secrets you got, keep them for longer, or end them
    Leases(leases::LeasesArgs),
    /// Collect what you asked for in chat with `socket`, as your own user, once
    Collect(collect::CollectArgs),
    /// Run a command with secrets in its environment or in files
    Exec(exec::ExecArgs),
    /// Write a file from a template with secrets in it
    Render(render::RenderArgs),
    /// Write secrets into files, one each, as programs expect them in /run/secrets
    Files(files::FilesArgs),
    /// Print what a container, a pod or a unit needs to have its secrets in files
    #[command(subcommand)]
    Generate(generate::Generate),
    /// Hand secrets to the later steps of a GitHub job, masked in its log
    Github(github::GithubArgs),
    /// Sign a command that a job's bot sends to vaultgram in chat
    Sign(sign::SignArgs),
    /// Decrypt a sealed answer from the chat
    Open(open::OpenArgs),
    /// Make a key for sealed answers
    Keygen(keygen::KeygenArgs),
    /// Ask others to approve what you may not have without them
    Request(request::RequestArgs),
    /// List requests for approval and what became of them, or show one
    Requests(requests::RequestsArgs),
    /// Approve a request
    Approve(decide::ApproveArgs),
    /// Deny a request
    Deny(decide::DenyArgs),
    /// Take a request of yours back
    Cancel(decide::CancelArgs),
    /// Ask that what a request was granted last longer
    Extend(request::ExtendArgs),
    /// Take back what a request was granted
    Revoke(decide::RevokeArgs),
    /// Take at once what others should approve, where policy allows it, and answer for it afterwards
    BreakGlass(request::BreakGlassArgs),
    /// Say what you found about broken glass
    Reviewed(decide::ReviewedArgs),
    /// Let a running vaultgram answer in chat again, after a new device made it stop
    Unlock(unlock::UnlockArgs),
    /// Say whether a running vaultgram can serve, and whom it takes you for
    Status(status::StatusArgs),
    /// Print what lets a shell complete vaultgram's commands
    Completions(manual::CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(manual::ManArgs),
}

impl Client {
    /// How to ask; `None` for what asks nobody.
    fn common(&self) -> Option<&Common> {
        match self {
            Self::Get(arguments) => Some(&arguments.common),
            Self::Put(arguments) => Some(&arguments.common),
            Self::Patch(arguments) => Some(&arguments.common),
            Self::List(arguments) => Some(&arguments.common),
            Self::Delete(arguments) => Some(&arguments.common),
            Self::Undelete(arguments) => Some(&arguments.common),
            Self::Destroy(arguments) => Some(&arguments.common),
            Self::Versions(arguments) => Some(&arguments.common),
            Self::Rotate(arguments) => Some(&arguments.common),
            Self::Wrap(arguments) => Some(&arguments.common),
            Self::Unwrap(arguments) => Some(&arguments.common),
            Self::Status(arguments) => Some(&arguments.common),
            Self::Invoke(arguments) => Some(&arguments.common),
            Self::Leases(arguments) => Some(&arguments.common),
            Self::Collect(arguments) => Some(&arguments.common),
            Self::Exec(arguments) => Some(&arguments.common),
            Self::Render(arguments) => Some(&arguments.common),
            Self::Files(arguments) => Some(&arguments.common),
            Self::Github(arguments) => Some(&arguments.common),
            Self::Unlock(arguments) => Some(&arguments.common),
            Self::Request(arguments) => Some(&arguments.common),
            Self::Requests(arguments) => Some(&arguments.common),
            Self::Approve(arguments) => Some(&arguments.common),
            Self::Deny(arguments) => Some(&arguments.common),
            Self::Cancel(arguments) => Some(&arguments.common),
            Self::Extend(arguments) => Some(&arguments.common),
            Self::Revoke(arguments) => Some(&arguments.common),
            Self::BreakGlass(arguments) => Some(&arguments.common),
            Self::Reviewed(arguments) => Some(&arguments.common),
            Self::Sign(_)
            | Self::Open(_)
            | Self::Keygen(_)
            | Self::Generate(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
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
    let done = carry_out(client, out, terminal).await;
    if let Some(common) = client.common() {
        common.leave().await;
    }
    done
}

async fn carry_out(
    client: &Client,
    out: &mut dyn Write,
    terminal: bool,
) -> Result<ExitCode, Failure> {
    let color = client.common().is_some_and(Common::choose_colors);
    match client {
        Client::Get(arguments) => get::run(arguments, out, terminal).await,
        Client::Put(arguments) => put::put(arguments, out).await,
        Client::Patch(arguments) => put::patch(arguments, out).await,
        Client::List(arguments) => list::run(arguments, out, color).await,
        Client::Delete(arguments) => delete::delete(arguments, out).await,
        Client::Undelete(arguments) => delete::undelete(arguments, out).await,
        Client::Destroy(arguments) => delete::destroy(arguments, out).await,
        Client::Versions(arguments) => versions::run(arguments, out, color).await,
        Client::Rotate(arguments) => rotate::run(arguments, out).await,
        Client::Wrap(arguments) => wrap::wrap(arguments, out).await,
        Client::Unwrap(arguments) => wrap::unwrap(arguments, out, terminal).await,
        Client::Status(arguments) => status::run(arguments, out, color).await,
        Client::Completions(arguments) => manual::completions(arguments, out),
        Client::Man(arguments) => manual::man(arguments, out),
        Client::Invoke(arguments) => invoke::run(arguments, out, terminal).await,
        Client::Leases(arguments) => leases::run(arguments, out, color).await,
        Client::Collect(arguments) => collect::run(arguments, out, terminal).await,
        Client::Exec(arguments) => return exec::run(arguments).await,
        Client::Render(arguments) => render::run(arguments, out).await,
        Client::Files(arguments) => files::run(arguments, out).await,
        Client::Generate(arguments) => generate::run(arguments, out),
        Client::Github(arguments) => github::run(arguments, out).await,
        Client::Sign(arguments) => sign::run(arguments, out),
        Client::Open(arguments) => open::run(arguments, out, terminal),
        Client::Keygen(arguments) => keygen::run(arguments, out),
        Client::Unlock(arguments) => unlock::run(arguments, out).await,
        Client::Request(arguments) => request::request(arguments, out).await,
        Client::Requests(arguments) => requests::run(arguments, out, color).await,
        Client::Approve(arguments) => decide::approve(arguments, out).await,
        Client::Deny(arguments) => decide::deny(arguments, out).await,
        Client::Cancel(arguments) => decide::cancel(arguments, out).await,
        Client::Extend(arguments) => request::extend(arguments, out).await,
        Client::Revoke(arguments) => decide::revoke(arguments, out).await,
        Client::BreakGlass(arguments) => request::break_glass(arguments, out).await,
        Client::Reviewed(arguments) => decide::reviewed(arguments, out).await,
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
    #[command(after_help = SESSION)]
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

/// How a command is to end when it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    /// In lines for people.
    Lines,
    /// As one JSON object, for `--json`.
    Json,
}

impl Errors {
    /// What `arguments` ask for, whether or not they are right; those of a program that is run say
    /// nothing of ours.
    fn asked(arguments: &[OsString]) -> Self {
        let mut ours = arguments.iter().take_while(|argument| *argument != "--");
        if ours.any(|argument| argument == "--json") {
            Self::Json
        } else {
            Self::Lines
        }
    }
}

/// Parses the command line. `Err` holds the code to end with, after help or a usage error
/// was printed.
///
/// # Errors
/// With 0 for `--help` and `--version`, else with [`Exit::Usage`].
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<(Arguments, Errors), ExitCode> {
    let arguments: Vec<OsString> = arguments.collect();
    let errors = Errors::asked(&arguments);
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => Ok((arguments, errors)),
        Err(error) if !error.use_stderr() => {
            // Nowhere is left to say that the terminal is gone.
            drop(error.print());
            Err(ExitCode::SUCCESS)
        }
        Err(error) if errors == Errors::Json => Err(finish(Err(typed_wrong(&error)), errors)),
        Err(error) => {
            drop(error.print());
            Err(Exit::Usage.into())
        }
    }
}

/// What clap says in paragraphs, as a failure.
fn typed_wrong(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(Exit::Usage, "there is no command")
            .hint("`vaultgram --help` lists them");
    }
    let text = error.render().to_string();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (what, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let failure = Failure::new(Exit::Usage, words(what.trim_start_matches("error: ")));
    let rest: Vec<String> = rest.split("\n\n").map(words).collect();
    failure.hint(rest.join("; "))
}

/// Prints a failure, and gives the code to end with.
#[must_use]
pub fn finish(result: Result<ExitCode, Failure>, errors: Errors) -> ExitCode {
    result.unwrap_or_else(|failure| {
        let text = match errors {
            Errors::Lines => failure.styled(),
            Errors::Json => failure.json(),
        };
        drop(writeln!(anstream::stderr(), "{text}"));
        failure.exit.into()
    })
}
