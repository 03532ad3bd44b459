//! The command that gets secrets: what it is given, and how it is started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use zeroize::Zeroizing;

use crate::cli::address::Address;
use crate::cli::exec::environment::Named;
use crate::cli::exec::memory_file::MemoryFile;
use crate::cli::exec::whole::Whole;
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::Fetched;

/// What a command with a clean environment still gets of ours: who and where it is, and how it is
/// to speak.
const HARMLESS: &[&str] = &[
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
];

/// The same, for the parts of a language (`LC_ALL`, `LC_TIME`).
const HARMLESS_BEGINNING: &str = "LC_";

/// A command, and what it is to get.
pub(super) struct Plan<'a> {
    /// The program and its arguments.
    pub(super) command: &'a [OsString],
    pub(super) variables: &'a [Named],
    pub(super) wholes: &'a [Whole],
    pub(super) files: &'a [Named],
    /// Whether it gets nothing of our own environment but [`HARMLESS`].
    pub(super) clean: bool,
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

    /// The addresses of all it is to get, in the order in which they are to be fetched.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let variables = self.variables.iter().map(|named| &named.address);
        let wholes = self.wholes.iter().map(|whole| &whole.address);
        let files = self.files.iter().map(|named| &named.address);
        variables.chain(wholes).chain(files).cloned().collect()
    }

    /// The command with what was fetched, and the files it has open.
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
        if self.clean {
            command
                .env_clear()
                .envs(std::env::vars_os().filter(|(name, _)| {
                    let name = name.to_string_lossy();
                    HARMLESS.contains(&&*name) || name.starts_with(HARMLESS_BEGINNING)
                }));
        }
        for (name, value) in self.variables(fetched)? {
            command.env(name, value.as_str());
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

    /// The variables with what was fetched for them.
    fn variables(
        &self,
        fetched: &[Fetched],
    ) -> Result<BTreeMap<String, Zeroizing<String>>, Failure> {
        let mut all = vec![];
        for (named, found) in self.variables.iter().zip(fetched) {
            all.push((named.name.clone(), found.text()?));
        }
        for (whole, found) in self.wholes.iter().zip(self.of_wholes(fetched)) {
            all.extend(whole.variables(found)?);
        }
        let mut variables = BTreeMap::new();
        for (name, value) in all {
            if value.contains('\0') {
                let what = format!("{name}: no variable can hold a NUL, as this value does");
                return Err(Failure::new(Exit::Data, what).hint("use --file"));
            }
            let is_file = self.files.iter().any(|named| named.name == name);
            if is_file || variables.contains_key(&name) {
                return Err(Failure::new(Exit::Usage, format!("{name} is given twice"))
                    .hint("give a prefix, --env-from PREFIX=PATH, or name fields with --env"));
            }
            variables.insert(name, value);
        }
        Ok(variables)
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

    fn of_wholes<'f>(&self, fetched: &'f [Fetched]) -> impl Iterator<Item = &'f Fetched> {
        fetched.iter().skip(self.variables.len())
    }

    fn of_files<'f>(&self, fetched: &'f [Fetched]) -> impl Iterator<Item = &'f Fetched> {
        self.of_wholes(fetched).skip(self.wholes.len())
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
