//! The `vaultgram` binary: parse arguments, run, exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use vaultgram::cli::audit::Audit;
use vaultgram::cli::{self, Command};
use vaultgram::daemon;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let out = &mut std::io::stdout();
    let terminal = out.is_terminal();
    cli::finish(match arguments.command {
        Command::Init(arguments) => cli::init::run(&arguments, out),
        Command::Check(arguments) => daemon::check(&arguments.config, out),
        Command::Doctor(arguments) => daemon::doctor(&arguments, out).await,
        Command::Login(arguments) => daemon::login(&arguments, out).await,
        Command::Serve(arguments) => daemon::serve(&arguments.config).await,
        Command::Get(arguments) => cli::get::run(&arguments, out, terminal).await,
        Command::Audit(Audit::Verify(arguments)) => cli::audit::run(&arguments, out),
    })
}
