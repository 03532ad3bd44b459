//! `vaultgram completions` and `vaultgram man`: made from the one definition of the command line.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Arguments;
use crate::cli::exit::{Exit, Failure};
use crate::cli::show;

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram completions bash > /etc/bash_completion.d/vaultgram
  vaultgram completions zsh > \"${fpath[1]}/_vaultgram\"
  vaultgram completions fish > ~/.config/fish/completions/vaultgram.fish

Exit codes: 0 done, 64 usage, 73 cannot write.")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram man | man -l -
  vaultgram man get | man -l -
  vaultgram man --out /usr/local/share/man/man1

Exit codes: 0 done, 64 usage, 73 cannot write.")]
pub struct ManArgs {
    /// The command to print the page of [default: vaultgram itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub command: Vec<String>,
    /// Write a page for each command into this folder instead
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Prints a shell's completions to `out`.
///
/// # Errors
/// When it cannot be written.
pub fn completions(arguments: &CompletionsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut text = vec![];
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "vaultgram", &mut text);
    show::write(&text, out)
}

/// Prints a manual page to `out`, or writes all of them.
///
/// # Errors
/// When there is no such command, or it cannot be written.
pub fn man(arguments: &ManArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    if let Some(folder) = &arguments.out {
        return all_pages(&command, folder);
    }
    let mut wanted = &command;
    for name in &arguments.command {
        wanted = wanted.find_subcommand(name).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("there is no command {name:?}"))
                .hint("`vaultgram --help` lists them")
        })?;
    }
    show::write(&page(wanted)?, out)
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = vec![];
    Man::new(command.clone())
        .source(concat!("vaultgram ", env!("CARGO_PKG_VERSION")))
        .manual("vaultgram")
        .render(&mut page)
        .map_err(|error| Failure::new(Exit::Software, error))?;
    // With spaces between what excludes each other, or troff has nowhere to end the line.
    let page = String::from_utf8_lossy(&page).replace(r"\fR|\fB", r"\fR | \fB");
    Ok(page.into_bytes())
}

/// Writes a page for `command` and one for each below it.
fn all_pages(command: &clap::Command, folder: &Path) -> Result<(), Failure> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let file = folder.join(format!("{name}.1"));
    std::fs::write(&file, page(command)?).map_err(|error| {
        let what = format!("{}: cannot write: {error}", file.display());
        Failure::new(Exit::CannotCreate, what).hint("name a folder that is there: --out FOLDER")
    })?;
    for below in command.get_subcommands() {
        all_pages(below, folder)?;
    }
    Ok(())
}
