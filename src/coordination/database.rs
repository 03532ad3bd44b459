//! The tables of the local store, in one redb file.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use redb::{
    AccessGuard, DatabaseError, ReadableDatabase, ReadableTable, StorageError, Table,
    TableDefinition, TableError,
};
use thiserror::Error;

use crate::broker::ports::Claim;
use crate::coordination::kept::{Kept, What};
use crate::coordination::state_file::mark_of;

/// Every key, with the time its claim ends, in milliseconds since 1970, or `None` when it was
/// set rather than claimed, and its value.
const ENTRIES: TableDefinition<'_, &str, (Option<i64>, &[u8])> = TableDefinition::new("entries");
/// The claims of [`ENTRIES`] by the time they end.
const EXPIRY: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("expiry");
/// The holder of claims that are done. Processes have names of another length.
const DONE: &[u8] = b"done";
/// Memory for pages; redb would take up to a gigabyte.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Why the store cannot be opened. `Display` says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use; stop the other vaultgram, or give this one a state file of its own")]
    InUse(PathBuf),
    /// A directory, a device, or others may write it.
    #[error(
        "{0} must be a regular file of the user vaultgram runs as, writable by nobody else; \
         chown it, and chmod 600"
    )]
    Permissions(PathBuf),
    /// Not a store, or not intact.
    #[error(
        "{path} is damaged or not a state file ({reason}); move it away and start again: \
         pending deletions in it are forgotten, and commands less than a minute old may be \
         answered twice"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What redb says.
        reason: String,
    },
    /// Its content was carried elsewhere.
    #[error("{path}: {problem}")]
    Moved {
        /// The file.
        path: PathBuf,
        /// Where to, and what to do.
        problem: String,
    },
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file, open, or to be opened again after a failure.
pub(super) struct Database {
    path: PathBuf,
    open: Option<redb::Database>,
}

impl Database {
    /// Opens, and if need be creates, the store at `path`, unless it was carried elsewhere.
    pub(super) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let database = Self::open_marked(path)?;
        // Looked at with the file in hand: whoever carries it has it open until the mark is set.
        match mark_of(&database.path)? {
            None => Ok(database),
            Some(mark) => Err(OpenError::Moved {
                path: database.path,
                problem: mark.problem(),
            }),
        }
    }

    /// Opens it wherever it was carried.
    pub(super) fn open_marked(path: PathBuf) -> Result<Self, OpenError> {
        let database = open(&path)?;
        let open = Some(database);
        Ok(Self { path, open })
    }

    /// Runs `work` in one transaction, which is on the disk when this returns. After an error
    /// nothing of it has happened (or, where the commit itself failed, perhaps all).
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, StorageError>,
    ) -> Result<T, String> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let mut tables = Tables {
                entries: transaction.open_table(ENTRIES)?,
                expiry: transaction.open_table(EXPIRY)?,
            };
            let result = work(&mut tables)?;
            drop(tables);
            transaction.commit()?;
            Ok(result)
        })
    }

    /// The value of `key`, if it is there and no claim that ended by `now`.
    pub(super) fn get(&mut self, key: &str, now: i64) -> Result<Option<Vec<u8>>, String> {
        self.with(|database| {
            let entries = match database.begin_read()?.open_table(ENTRIES) {
                Ok(entries) => entries,
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            Ok(current(entries.get(key)?, now))
        })
    }

    /// All keys that start with `prefix` and are not claims that ended by `now`.
    pub(super) fn list(
        &mut self,
        prefix: &str,
        now: i64,
    ) -> Result<Vec<(String, Vec<u8>)>, String> {
        self.with(|database| {
            let entries = match database.begin_read()?.open_table(ENTRIES) {
                Ok(entries) => entries,
                Err(TableError::TableDoesNotExist(_)) => return Ok(vec![]),
                Err(error) => return Err(error.into()),
            };
            let mut found = vec![];
            for entry in entries.range(prefix..)? {
                let (key, value) = entry?;
                let (until, value) = value.value();
                if !key.value().starts_with(prefix) {
                    break;
                }
                if until.is_none_or(|until| until > now) {
                    found.push((key.value().to_owned(), value.to_vec()));
                }
            }
            Ok(found)
        })
    }

    /// Everything, in order.
    pub(super) fn everything(&mut self) -> Result<Vec<Kept>, String> {
        self.with(|database| {
            let entries = match database.begin_read()?.open_table(ENTRIES) {
                Ok(entries) => entries,
                Err(TableError::TableDoesNotExist(_)) => return Ok(vec![]),
                Err(error) => return Err(error.into()),
            };
            let mut all = vec![];
            for entry in entries.iter()? {
                let (key, value) = entry?;
                let what = match value.value() {
                    (None, value) => What::Set(value.to_vec()),
                    (Some(until), DONE) => What::Done { until },
                    (Some(until), _) => What::Claimed { until },
                };
                let key = key.value().to_owned();
                all.push(Kept { key, what });
            }
            Ok(all)
        })
    }

    /// The keys of everything that was set rather than claimed.
    pub(super) fn keys(&mut self) -> Result<BTreeSet<String>, String> {
        self.with(|database| {
            let entries = match database.begin_read()?.open_table(ENTRIES) {
                Ok(entries) => entries,
                Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeSet::new()),
                Err(error) => return Err(error.into()),
            };
            let mut keys = BTreeSet::new();
            for entry in entries.iter()? {
                let (key, value) = entry?;
                if value.value().0.is_none() {
                    keys.insert(key.value().to_owned());
                }
            }
            Ok(keys)
        })
    }

    /// After an I/O error redb refuses to go on until the file is opened again, so that is
    /// done before the next try: a full disk heals when there is room.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&redb::Database) -> Result<T, redb::Error>,
    ) -> Result<T, String> {
        let database = match self.open.take() {
            Some(database) => database,
            None => open(&self.path).map_err(|error| error.to_string())?,
        };
        let result = work(&database);
        if result.is_ok() {
            self.open = Some(database);
        }
        result.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

fn open(path: &Path) -> Result<redb::Database, OpenError> {
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let damaged = |reason: String| OpenError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let file = open_file(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let others_write = Permissions::mode(&metadata.permissions()) & 0o022 != 0;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_file() || !ours || others_write {
        return Err(OpenError::Permissions(path.to_owned()));
    }
    // redb panics on some damaged files (4.4); that too is an error here, not a crash.
    match std::panic::catch_unwind(|| open_checked(file)) {
        Ok(Ok((database, true))) => Ok(database),
        Ok(Ok((database, false))) => {
            tracing::warn!(event = "coordination.repaired", path = %path.display());
            Ok(database)
        }
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(OpenError::InUse(path.to_owned())),
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) if !is_content(&error) => {
            Err(failed(error))
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("it makes no sense".into())),
    }
}

/// Opens the file and checks every page of it, which takes milliseconds for a day's claims;
/// `false` when it had to be repaired. Without the check, damage shows only when it is met.
fn open_checked(file: File) -> Result<(redb::Database, bool), DatabaseError> {
    let mut database = redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_file(file)?;
    let intact = database.check_integrity()?;
    Ok((database, intact))
}

/// Whether an error is about what the file holds rather than about reading it.
fn is_content(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    // So that the name of a new file survives a power cut too.
    let directory = path.parent().filter(|path| *path != Path::new(""));
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

/// The value of an entry, unless it is a claim that ended by `now`.
fn current(
    entry: Option<AccessGuard<'_, (Option<i64>, &'static [u8])>>,
    now: i64,
) -> Option<Vec<u8>> {
    let entry = entry?;
    let (until, value) = entry.value();
    until
        .is_none_or(|until| until > now)
        .then(|| value.to_vec())
}

/// Both tables within one transaction. Times are milliseconds since 1970.
pub(super) struct Tables<'t> {
    entries: Table<'t, &'static str, (Option<i64>, &'static [u8])>,
    expiry: Table<'t, (i64, &'static str), ()>,
}

impl Tables<'_> {
    /// Takes `key` in `name` until `until`, unless somebody who still runs has it, or it is done.
    /// A claim that ended is nobody's.
    pub(super) fn claim(
        &mut self,
        key: &str,
        name: &[u8],
        until: i64,
        now: i64,
    ) -> Result<Claim, StorageError> {
        let held = self.entries.get(key)?.map(|entry| {
            let (until, holder) = entry.value();
            (until, holder == name, holder == DONE)
        });
        let claim = match held {
            None => Claim::Ours,
            Some((Some(until), ..)) if until <= now => Claim::Ours,
            // Set rather than claimed, so it is no process's.
            Some((None, ..) | (.., true)) => Claim::Done,
            Some((Some(_), true, false)) => Claim::Taken,
            Some((Some(_), false, false)) => Claim::Abandoned,
        };
        match claim {
            Claim::Ours | Claim::Abandoned => self.set(key, Some(until), name)?,
            Claim::Taken | Claim::Done => {}
        }
        Ok(claim)
    }

    /// Marks the claim of `key`, if there is one, as done. It ends when it would have.
    pub(super) fn finish(&mut self, key: &str) -> Result<(), StorageError> {
        let until = self.entries.get(key)?.and_then(|entry| entry.value().0);
        if until.is_some() {
            self.entries.insert(key, (until, DONE))?;
        }
        Ok(())
    }

    /// Puts there what came from another store; claims that are not done are `name`'s.
    pub(super) fn keep(&mut self, kept: &Kept, name: &[u8]) -> Result<(), StorageError> {
        match &kept.what {
            What::Set(value) => self.set(&kept.key, None, value),
            What::Claimed { until } => self.set(&kept.key, Some(*until), name),
            What::Done { until } => self.set(&kept.key, Some(*until), DONE),
        }
    }

    /// Sets `key` to `value`; with `until`, it is a claim.
    pub(super) fn set(
        &mut self,
        key: &str,
        until: Option<i64>,
        value: &[u8],
    ) -> Result<(), StorageError> {
        self.delete(key)?;
        self.entries.insert(key, (until, value))?;
        if let Some(until) = until {
            self.expiry.insert((until, key), ())?;
        }
        Ok(())
    }

    /// Sets `key` to `new`, or removes it, if its value is `expected`; whether it was.
    pub(super) fn swap(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        now: i64,
    ) -> Result<bool, StorageError> {
        if current(self.entries.get(key)?, now).as_deref() != expected {
            return Ok(false);
        }
        match new {
            Some(new) => self.set(key, None, new)?,
            None => self.delete(key)?,
        }
        Ok(true)
    }

    /// Removes `key`, if it is there.
    pub(super) fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        let until = self.entries.remove(key)?.and_then(|entry| entry.value().0);
        if let Some(until) = until {
            self.expiry.remove((until, key))?;
        }
        Ok(())
    }

    /// Forgets at most `limit` claims that ended by `now`, the oldest first.
    pub(super) fn sweep(&mut self, now: i64, limit: usize) -> Result<(), StorageError> {
        let mut ended = vec![];
        for entry in self
            .expiry
            .range(..(now.saturating_add(1), ""))?
            .take(limit)
        {
            ended.push(entry?.0.value().1.to_owned());
        }
        for key in ended {
            self.delete(&key)?;
        }
        Ok(())
    }
}
