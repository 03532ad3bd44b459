//! Secrets in files, for programs that take no others: below the runner's folder for temporary files,
//! which it empties when the job ends.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::values::Listed;
use crate::cli::exit::{Exit, Failure};
use crate::cli::render::write::Target;

/// The folder below `RUNNER_TEMP`.
const FOLDER: &str = "vaultgram";

/// Where the files are to be.
pub(super) struct Files(PathBuf);

impl Files {
    /// Opens the folder, unless `nothing` is to go into it. `temporary`: what `RUNNER_TEMP` says.
    pub(super) fn open(nothing: bool, temporary: Option<&Path>) -> Result<Option<Self>, Failure> {
        if nothing {
            return Ok(None);
        }
        let temporary = temporary.ok_or_else(|| {
            Failure::new(Exit::Usage, "RUNNER_TEMP is not set")
                .hint("it names the runner's folder for temporary files")
        })?;
        let folder = temporary.join(FOLDER);
        make(&folder).map_err(|error| {
            let what = format!("{}: cannot be used: {error}", folder.display());
            Failure::new(Exit::CannotCreate, what)
        })?;
        Ok(Some(Self(folder)))
    }

    /// Where the file `name` is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes all of `values`, each for its owner alone.
    pub(super) fn write(&self, values: &Listed) -> Result<(), Failure> {
        for (name, value) in &values.0 {
            let path = self.path(name);
            let written = Target::new(&path)
                .ok_or_else(|| io::Error::other("it is no file's name"))
                .and_then(|target| target.write(value.as_bytes()));
            written.map_err(|error| {
                let what = format!("{}: cannot write: {error}", path.display());
                Failure::new(Exit::CannotCreate, what)
            })?;
        }
        Ok(())
    }
}

/// Makes the folder, or sees that an earlier step did.
fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = folder.symlink_metadata()?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !own || found.mode() & 0o077 != 0 {
        return Err(io::Error::other(
            "somebody else made it, or may write there: remove it",
        ));
    }
    Ok(())
}
