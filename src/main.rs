//! The `vaultgram` binary: parse arguments, run, exit code.

use std::process::ExitCode;

use vaultgram::cli::{self, Command};
use vaultgram::daemon;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let out = &mut std::io::stdout();
    cli::finish(match arguments.command {
        Command::Init(arguments) => cli::init::run(&arguments, out),
        Command::Check(arguments) => daemon::check(&arguments.config, out),
        Command::Doctor(_) | Command::Serve(_) => Ok(()),
    })
}
