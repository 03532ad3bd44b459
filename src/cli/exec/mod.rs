//! `vaultgram exec`: a command with secrets in its environment or in files.

mod child;
pub(super) mod environment;
mod memory_file;
mod supervise;
mod whole;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::process::Signal;

use crate::cli::common::Common;
use crate::cli::exec::child::Plan;
use crate::cli::exec::environment::Named;
use crate::cli::exec::whole::Whole;
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::fetch;
use crate::cli::watch;
use crate::domain::span;

/// Arguments of `exec`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram exec --env DB_PASSWORD=django/database#password -- ./manage.py migrate
  vaultgram exec --file TLS_KEY=web/tls#key -- sh -c 'nginx-check \"$TLS_KEY\"'
  vaultgram exec --clean-env --env-from DB_=django/database -- ./manage.py migrate
  vaultgram exec --watch --env TOKEN=bot/api#token -- ./bot
  vaultgram exec --watch=5m --on-change HUP --file KEY=web/tls#key -- ./server

With --env-from db-name of the secret becomes DB_NAME, behind the prefix if there is one; with
--clean-env the command gets only these of vaultgram's own variables: HOME, LANG, LANGUAGE, LC_*,
LOGNAME, PATH, SHELL, TERM, TMPDIR, TZ, USER.

All secrets are read first; where one cannot be, the command does not start. A file is in memory
alone: NAME holds its path, which is good for the command and for what inherits its open files.

Without --watch vaultgram becomes the command, which keeps its process, terminal and exit code. With
--watch it stays: signals are handed on, and a secret that changes restarts the command, or sends it
a signal after its files hold the new values. It asks for the versions of a secret (`versions` in
policies), or, where that is denied, for the secret itself.

Exit codes: the command's own, 128 and the signal's number where one ended it. Before it starts: 64
usage, 65 a value that does not fit, 66 no such secret, 69 not available, 75 try again, 77 denied,
126 the command cannot be run, 127 there is none.")]
pub struct ExecArgs {
    /// A variable of the command, and the secret it holds
    #[arg(long = "env", value_name = "NAME=PATH#field[@version]")]
    pub variables: Vec<Named>,
    /// A secret of which each field goes into a variable of its own
    #[arg(long = "env-from", value_name = "[PREFIX=]PATH[@version]")]
    pub wholes: Vec<Whole>,
    /// A variable of the command, and the secret that is in the file it names
    #[arg(long = "file", value_name = "NAME=PATH#field[@version]")]
    pub files: Vec<Named>,
    /// Give the command no variables but these secrets, and what every command needs
    #[arg(long)]
    pub clean_env: bool,
    /// Look every so often [default: 30s] whether a secret has changed
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true,
        default_missing_value = watch::INTERVAL, value_parser = watch::interval)]
    pub watch: Option<Duration>,
    /// What to do when one has: restart, or the name of a signal
    #[arg(long, value_name = "restart|SIGNAL", value_parser = on_change, default_value = "restart",
        requires = "watch")]
    pub on_change: OnChange,
    /// How long a command that is restarted has to end by itself
    #[arg(long, value_name = "TIME", value_parser = grace, default_value = "10s", requires = "watch")]
    pub grace: Duration,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What is done when a secret has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// The command is ended and started again.
    Restart,
    /// Its files get the new values, and it gets this signal.
    Signal(Signal),
}

fn on_change(text: &str) -> Result<OnChange, &'static str> {
    if text == "restart" {
        return Ok(OnChange::Restart);
    }
    let upper = text.to_ascii_uppercase();
    let signal = match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "TERM" => Signal::TERM,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "WINCH" => Signal::WINCH,
        _ => return Err("restart, or one of HUP INT QUIT TERM USR1 USR2 WINCH"),
    };
    Ok(OnChange::Signal(signal))
}

fn grace(text: &str) -> Result<Duration, &'static str> {
    let grace = span::read(text).filter(|grace| *grace <= Duration::from_hours(1));
    grace.ok_or("from 1s to 1h")
}

/// Runs the command.
///
/// # Errors
/// With the exit codes that `vaultgram exec --help` lists.
pub async fn run(arguments: &ExecArgs) -> Result<ExitCode, Failure> {
    let named = arguments.variables.iter().chain(&arguments.files);
    environment::check_all(named, environment::check)?;
    let has_variables = !arguments.variables.is_empty() || !arguments.wholes.is_empty();
    if arguments.on_change != OnChange::Restart && has_variables {
        let what = "the environment of a running command cannot change";
        return Err(Failure::new(Exit::Usage, what)
            .hint("use --file in place of --env and --env-from, or --on-change restart"));
    }
    let plan = Plan {
        command: &arguments.command,
        variables: &arguments.variables,
        wholes: &arguments.wholes,
        files: &arguments.files,
        clean: arguments.clean_env,
        changing: arguments.on_change != OnChange::Restart,
    };
    let addresses = plan.addresses();
    let fetched = fetch(&arguments.common.socket()?, &addresses).await?;
    for found in &fetched {
        if let (Some(lease), None) = (&found.lease, arguments.watch) {
            let (path, seconds) = (found.path.full(), lease.duration);
            let say = format!("note: what {path} made ends in {seconds} s, with its lease\n");
            drop(io::stderr().write_all(say.as_bytes()));
        }
    }
    match arguments.watch {
        None => {
            // Nothing of this command comes after it.
            arguments.common.leave().await;
            Err(plan.become_command(&fetched))
        }
        Some(interval) => supervise::run(arguments, interval, &plan, &addresses, fetched).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_restarts_or_signals() {
        assert_eq!(on_change("restart"), Ok(OnChange::Restart));
        for text in ["HUP", "hup", "SIGHUP"] {
            assert_eq!(on_change(text), Ok(OnChange::Signal(Signal::HUP)), "{text}");
        }
        for text in ["", "KILL", "STOP", "1", "SIG", "RESTART "] {
            assert!(on_change(text).is_err(), "{text}");
        }
    }
}
