//! The command that gets secrets: what it is given, and how it is started.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::cli::exec::environment::Named;
use crate::cli::exec::memory_file::MemoryFile;
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::Fetched;

/// A command, and what it is to get.
pub(super) struct Plan<'a> {
    /// The program and its arguments.
    pub(super) command: &'a [OsString],
    pub(super) variables: &'a [Named],
    pub(super) files: &'a [Named],
    /// Whether the files can be given other values later.
    pub(super) changing: bool,
}

impl Plan<'_> {
    /// Becomes the command; returns only where that failed.
    pub(super) fn become_command(&self, fetched: &[Fetched]) -> Failure {
        match self.prepare(fetched) {
            // The files live on in the command.
            Ok((mut command, _files)) => self.not_run(&command.exec()),
            Err(failure) => failure,
        }
    }

    /// The command with what was fetched for its variables and then its files, and those files.
    pub(super) fn prepare(
        &self,
        fetched: &[Fetched],
    ) -> Result<(Command, Vec<MemoryFile>), Failure> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Failure::new(Exit::Usage, "there is no command"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        for (named, found) in self.variables.iter().zip(fetched) {
            let value = found.text()?;
            if value.contains('\0') {
                let what = format!(
                    "{}: no variable can hold a NUL, as this value does",
                    named.name
                );
                return Err(Failure::new(Exit::Data, what).hint("use --file"));
            }
            command.env(&named.name, value.as_str());
        }
        let mut files = vec![];
        for (named, found) in self.files.iter().zip(self.of_files(fetched)) {
            let value = found.text()?;
            let file = self.file(named, value.as_bytes());
            let file = file.map_err(|error| not_made(named, &error))?;
            command.env(&named.name, file.path());
            files.push(file);
        }
        Ok((command, files))
    }

    fn file(&self, named: &Named, value: &[u8]) -> io::Result<MemoryFile> {
        let file = MemoryFile::new(&named.name, value)?;
        if !self.changing {
            file.seal()?;
        }
        Ok(file)
    }

    /// Gives the files of a running command new values.
    pub(super) fn rewrite(&self, files: &[MemoryFile], fetched: &[Fetched]) -> Result<(), Failure> {
        let values = self.of_files(fetched);
        for ((named, file), found) in self.files.iter().zip(files).zip(values) {
            let value = found.text()?;
            let written = file.rewrite(value.as_bytes());
            written.map_err(|error| not_made(named, &error))?;
        }
        Ok(())
    }

    fn of_files<'f>(&self, fetched: &'f [Fetched]) -> impl Iterator<Item = &'f Fetched> {
        fetched.iter().skip(self.variables.len())
    }

    /// Why the command did not start, in the codes of `env(1)`.
    pub(super) fn not_run(&self, error: &io::Error) -> Failure {
        let program = self
            .command
            .first()
            .map(|program| program.display().to_string());
        let what = format!("{}: cannot be run: {error}", program.unwrap_or_default());
        if error.kind() == io::ErrorKind::NotFound {
            Failure::new(Exit::NoCommand, what)
        } else if error.kind() == io::ErrorKind::ArgumentListTooLong {
            Failure::new(Exit::NotExecutable, what)
                .hint("a variable holds less than 128 KiB: give large values with --file")
        } else {
            Failure::new(Exit::NotExecutable, what)
        }
    }
}

fn not_made(named: &Named, error: &io::Error) -> Failure {
    Failure::new(Exit::Io, format!("{}: no file for it: {error}", named.name))
}
