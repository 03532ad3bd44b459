//! `vaultgram keygen`: a key pair for sealed answers, in a file as `age-keygen` writes it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use clap::Args;

use crate::age::NewIdentity;
use crate::cli::exit::{Exit, Failure};
use crate::cli::open::IdentityArgs;
use crate::cli::show;

/// Arguments of `keygen`.
#[derive(Debug, Args)]
#[command(after_help = "\
The file is age's own kind: `age -d -i FILE` opens sealed answers too.

Examples:
  vaultgram keygen
  vaultgram keygen --identity /media/stick/identity.txt

Exit codes: 0 done, 64 usage, 73 the file cannot be written, or exists.")]
pub struct KeygenArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where to.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// Makes a key, writes its file, and says how to register it.
///
/// # Errors
/// With [`Exit::CannotCreate`]; a file that exists is left alone.
pub fn run(arguments: &KeygenArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let path = arguments.identity.path()?;
    let identity = NewIdentity::generate();
    #[expect(
        clippy::disallowed_methods,
        reason = "its owner's file is where a private key goes"
    )]
    let created = create(
        &path,
        identity.file.expose_secret(),
        "you have a key there; --identity names another file",
    );
    created?;
    let public = &identity.public;
    if arguments.json {
        let path = path.display().to_string();
        let made = serde_json::json!({"identity": path, "public_key": public});
        return show::json(&made, out);
    }
    let said = writeln!(
        out,
        "Your private key is in {}, for you alone; keep a copy of it.\n\
         Your public key: {public}\n\
         Now send this to vaultgram in Telegram:\n\n/register_key {public}",
        path.display()
    );
    said.map_err(|error| Failure::new(Exit::CannotCreate, format!("cannot write: {error}")))
}

/// Writes a new file that holds a private key, for its owner alone; `taken` is what to do where there
/// is one.
///
/// # Errors
/// With [`Exit::CannotCreate`]; a file that exists is left alone.
pub(super) fn create(path: &Path, key: &[u8], taken: &str) -> Result<(), Failure> {
    write_new(path, key).map_err(|error| {
        let what = format!("{}: cannot create: {error}", path.display());
        let failure = Failure::new(Exit::CannotCreate, what);
        if error.kind() == io::ErrorKind::AlreadyExists {
            failure.hint(taken)
        } else {
            failure
        }
    })
}

fn write_new(path: &Path, key: &[u8]) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(key);
    let written = written.and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is none, and would stand in the way of the next try.
        drop(fs::remove_file(path));
    }
    written
}
