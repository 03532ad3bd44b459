//! The file of a [`super::LocalStore`] while nobody runs on it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::coordination::OpenError;
use crate::coordination::database::Database;
use crate::coordination::kept::{Kept, Mark};

/// The file, held so that no process starts on it.
pub struct StateFile {
    path: PathBuf,
    database: Database,
}

impl StateFile {
    /// Opens the file at `path`, made if missing.
    ///
    /// # Errors
    /// As [`super::LocalStore::open`], but that a mark is no obstacle.
    pub fn open(path: PathBuf) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::open_marked(path.clone())?,
            path,
        })
    }

    /// Everything in it but claims that ended by `now`, in order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn everything(&mut self, now: i64) -> Result<Vec<Kept>, String> {
        let mut all = self.database.everything()?;
        all.retain(|kept| kept.lasts(now));
        Ok(all)
    }

    /// Puts all of `kept` into it, or nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn fill(&mut self, kept: &[Kept]) -> Result<(), String> {
        // Of no process that runs.
        let nobody: [u8; 16] = rand::random();
        self.database.write(|tables| {
            for kept in kept {
                tables.keep(kept, &nobody)?;
            }
            Ok(())
        })
    }

    /// The mark that the state was carried elsewhere.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn moved(&self) -> Result<Option<Mark>, OpenError> {
        mark_of(&self.path)
    }

    /// Sets the mark, which says what was done.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark(&self, text: &str) -> Result<(), OpenError> {
        let path = mark_path(&self.path);
        fs::write(&path, text).map_err(|source| OpenError::Io { path, source })
    }
}

/// The mark of the file at `path`: a file beside it, so that the state itself stays as it is.
pub(super) fn mark_of(path: &Path) -> Result<Option<Mark>, OpenError> {
    let path = mark_path(path);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Mark {
            text: text.trim_end().to_owned(),
            remove: format!("rm {}", path.display()),
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

fn mark_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".moved");
    name.into()
}
