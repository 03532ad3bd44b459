//! The `vaultgram` binary: parse arguments, run, exit code.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use vaultgram::cli::exit::{Exit, Failure};
use vaultgram::cli::{self, Client, Command, Session};
use vaultgram::{daemon, memory, telemetry};

/// How long what cannot be cancelled may hold up the exit, such as a look at a hanging disk.
const LAST_WORK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    telemetry::quiet_panics();
    let (command, errors) = match cli::parse(std::env::args_os()) {
        Ok((arguments, errors)) => (arguments.command, errors),
        Err(code) => return code,
    };
    let becomes_another = matches!(command, Command::Client(Client::Exec(_)));
    let prepared = memory::forbid_core_dumps(!becomes_another).and_then(|()| memory::runtime());
    let result = match prepared {
        Ok(runtime) => {
            let result = runtime.block_on(run(command));
            runtime.shutdown_timeout(LAST_WORK);
            result
        }
        Err(error) => Err(Failure::new(
            Exit::Unavailable,
            format!("cannot start: {error}"),
        )),
    };
    cli::finish(result, errors)
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    let out = &mut std::io::stdout();
    let done = match command {
        Command::Init(arguments) => cli::init::run(&arguments, out),
        Command::Check(arguments) => daemon::check(&arguments.config, out),
        Command::Doctor(arguments) => daemon::doctor(&arguments, out).await,
        Command::Login(arguments) => daemon::login(&arguments, out).await,
        Command::Logout(arguments) => daemon::logout(&arguments, out).await,
        Command::Session(Session::Show(arguments)) => daemon::session_show(&arguments, out).await,
        Command::Serve(arguments) => daemon::serve(&arguments.config).await,
        Command::Policy(command) => daemon::policy(&command, out),
        Command::State(command) => daemon::state(&command, out).await,
        Command::Audit(audit) => cli::audit::run(&audit, out).await,
        Command::Client(client) => {
            let terminal = out.is_terminal();
            return cli::run(&client, out, terminal).await;
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
