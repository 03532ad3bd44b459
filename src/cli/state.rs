//! `vaultgram state …`: what must outlive a restart, carried between stores; and its key.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::exit::{Exit, Failure};
use crate::cli::{ConfigArgs, keygen, show};
use crate::coordination::key::StateKey;

/// `vaultgram state …`
#[derive(Subcommand)]
pub enum StateCommand {
    /// Copy everything from the state file to etcd, or back, while no vaultgram runs on either
    Migrate(Migrate),
    /// Make the key that replicas seal their state in etcd with
    Keygen(Keygen),
}

/// Arguments of `state migrate`.
#[derive(Args)]
#[command(after_help = "\
etcd is the one of [state.etcd]. Stop every vaultgram first. Where the state goes to, nothing may be
there before; where it comes from, everything stays as it is, with a mark, so that nobody goes on
there by accident (a file FILE.moved, or the key PREFIXmoved in etcd; remove it to go on there
nonetheless). What was copied is read back and compared.

Examples:
  vaultgram state migrate --to etcd --config /etc/vaultgram/vaultgram.toml
  vaultgram state migrate --to file --file /var/lib/vaultgram/state.redb

Exit codes: 0 done, 64 usage, 69 etcd cannot be reached, 73 something is there already, or cannot be
written, 74 what was copied is not what was there, 75 a vaultgram runs on it, 78 configuration.")]
pub struct Migrate {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Where to
    #[arg(long, value_enum)]
    pub to: Place,
    /// The state file [default: state.redb beside the configuration]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Where state can be.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// From the file to etcd
    Etcd,
    /// From etcd to the file
    File,
}

/// Arguments of `state keygen`.
#[derive(Args)]
#[command(after_help = "\
All replicas have the same key. Whoever has it and can write to etcd can forge what is there. It is
changed in three rounds over all replicas, with VAULTGRAM_STATE_KEY_PREVIOUS: see docs/state.md.

Examples:
  vaultgram state keygen
  vaultgram state keygen --out /etc/vaultgram/state.key

Exit codes: 0 done, 64 usage, 73 the file cannot be written, or exists.")]
pub struct Keygen {
    /// The file for the key
    #[arg(long, short, value_name = "FILE", default_value = "state.key")]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Makes a key and its file, and says what to do with it.
///
/// # Errors
/// With [`Exit::CannotCreate`]; a file that exists is left alone.
pub fn make_key(arguments: &Keygen, out: &mut dyn Write) -> Result<(), Failure> {
    let impossible = |error| Failure::new(Exit::Unavailable, error);
    let line = StateKey::generate().map_err(impossible)?;
    let id = StateKey::read(line.as_bytes()).map_err(impossible)?.id();
    let path = arguments.out.display();
    let taken = "there is a key already; --out names another file";
    keygen::create(&arguments.out, line.as_bytes(), taken)?;
    if arguments.json {
        let made = serde_json::json!({"key": path.to_string(), "id": id});
        return show::json(&made, out);
    }
    show::line(
        &format!(
            "The key {id} is in {path}, for all replicas and nobody else; start each with\n\
             VAULTGRAM_STATE_KEY_FILE={path}, or give it as the systemd credential or Docker secret\n\
             vaultgram_state_key."
        ),
        out,
    )
}
