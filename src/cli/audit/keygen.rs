//! `vaultgram audit keygen`: the key that checkpoints are signed with.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::audit::key::SigningKey;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{keygen, show};

/// Arguments of `audit keygen`.
#[derive(Debug, Args)]
#[command(after_help = "\
The public key goes to whoever verifies (audit verify --key), best on another machine. The file is
for vaultgram alone: whoever has it can sign a forged audit.

Examples:
  vaultgram audit keygen
  vaultgram audit keygen --out /etc/vaultgram/audit.key

Exit codes: 0 done, 64 usage, 73 the file cannot be written, or exists.")]
pub struct Keygen {
    /// The file for the key
    #[arg(long, short, value_name = "FILE", default_value = "audit.key")]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Makes a key and its file, and says what to do with both halves.
///
/// # Errors
/// With [`Exit::CannotCreate`]; a file that exists is left alone.
pub(super) fn run(arguments: &Keygen, out: &mut dyn Write) -> Result<(), Failure> {
    let impossible = |error| Failure::new(Exit::Unavailable, error);
    let line = SigningKey::generate().map_err(impossible)?;
    let key = SigningKey::read(line.as_bytes()).map_err(impossible)?;
    let path = arguments.out.display();
    let taken = "there is a key already; --out names another file";
    keygen::create(&arguments.out, line.as_bytes(), taken)?;
    let public = key.public();
    if arguments.json {
        let made = serde_json::json!({
            "key": path.to_string(),
            "public_key": public.to_string(),
            "id": public.id(),
        });
        return show::json(&made, out);
    }
    show::line(
        &format!(
            "The key is in {path}, for vaultgram alone; start vaultgram with\n\
             VAULTGRAM_AUDIT_KEY_FILE={path}, or give it as the systemd credential or Docker secret\n\
             vaultgram_audit_key.\n\
             Its public half, key {}, is for whoever verifies:\n\n{public}",
            public.id()
        ),
        out,
    )
}
