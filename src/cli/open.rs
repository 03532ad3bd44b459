//! `vaultgram open`: decrypts a sealed answer from a chat. Talks to nobody.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::age::identity::{IdentityError, MAX_FILE};
use crate::age::open::{MAX_SEALED, OpenError};
use crate::age::{self, Identities};
use crate::cli::exit::{Exit, Failure};
use crate::cli::format::{Format, FormatArgs};
use crate::cli::show::{self, Values};
use crate::domain::SecretValue;

/// Where a person's key is when nobody says otherwise, from their home.
const DEFAULT: &str = ".config/vaultgram/identity.txt";

/// Which private key to use.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// The file of your private key [default: ~/.config/vaultgram/identity.txt]
    #[arg(long, short, value_name = "FILE", env = "VAULTGRAM_IDENTITY")]
    pub identity: Option<PathBuf>,
}

impl IdentityArgs {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.identity {
            return Ok(path.clone());
        }
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        home.map(|home| home.join(DEFAULT)).ok_or_else(|| {
            Failure::new(Exit::Usage, "you have no home directory")
                .hint("name the identity file with --identity")
        })
    }
}

/// Arguments of `open`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram open                     paste the message from the chat, then press Ctrl-D
  vaultgram open database.age        a file from the chat
  vaultgram open --json < message | jq -r .password
  vaultgram open database.age --format dotenv > .env

One value is printed as it is (on a terminal as JSON, if it holds signs that cannot be seen), several
as a table. The key is one of those you registered in chat
with /register_key; vaultgram keygen makes one, and so does age-keygen.

Exit codes: 0 done, 64 usage, 65 not sealed to your key or damaged, 66 no such file, 77 the
identity file is open to others, 78 the identity file is none.")]
pub struct OpenArgs {
    /// The sealed answer; - or nothing: standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Print the JSON as it was sealed
    #[arg(long)]
    pub json: bool,
    /// How to print the values.
    #[command(flatten)]
    pub format: FormatArgs,
    /// Which key.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// Decrypts, and writes to `out`. `terminal`: whether `out` is one.
///
/// # Errors
/// With the exit codes that `vaultgram open --help` lists.
pub fn run(arguments: &OpenArgs, out: &mut dyn Write, terminal: bool) -> Result<(), Failure> {
    let path = arguments.identity.path()?;
    let identities = identities(&path)?;
    let input = if arguments.file.as_os_str() == "-" {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let say = "Paste the message, then press Enter and Ctrl-D.\n";
            drop(io::stderr().write_all(say.as_bytes()));
        }
        read(&mut stdin.lock(), MAX_SEALED, "standard input")?
    } else {
        let name = arguments.file.display().to_string();
        let mut file = File::open(&arguments.file).map_err(|error| not_read(&name, &error))?;
        read(&mut file, MAX_SEALED, &name)?
    };
    let secret = age::open(&input, &identities).map_err(|error| explain(error, &path))?;
    let mut text = Zeroizing::new(Vec::new());
    print(&secret, arguments, terminal, &mut text)?;
    show::write(&text, out)
}

fn print(
    secret: &SecretValue,
    arguments: &OpenArgs,
    terminal: bool,
    text: &mut Zeroizing<Vec<u8>>,
) -> Result<(), Failure> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what the person asked to see"
    )]
    let secret = secret.expose_secret();
    let other = || Failure::new(Exit::Data, "what was sealed is not vaultgram's");
    // In full from the beginning, so that it does not move.
    text.reserve(2 * secret.len() + 1024);
    let value: &RawValue = serde_json::from_slice(secret).map_err(|_| other())?;
    let values = serde_json::from_str::<Values<'_>>(value.get());
    match (values, arguments.format.format) {
        _ if arguments.json => {
            text.extend_from_slice(value.get().as_bytes());
            text.push(b'\n');
        }
        (Ok(values), Some(format)) => arguments.format.write(format, &values, text)?,
        (Ok(values), None) => show::values(&values, terminal, text),
        // One value, which has no name here.
        (Err(_), None) => show::single(value, terminal, text),
        (Err(_), Some(Format::Raw)) => text.extend_from_slice(show::plain(value).as_bytes()),
        (Err(_), Some(_)) => {
            return Err(
                Failure::new(Exit::Data, "what was sealed is one value without a name")
                    .hint("print it with --format raw, or ask in chat for the whole secret"),
            );
        }
    }
    Ok(())
}

/// Reads the private keys in a file that must be closed to others.
fn identities(path: &Path) -> Result<Identities, Failure> {
    let name = path.display().to_string();
    let file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
        .open(path);
    let mut file = file.map_err(|error| {
        not_read(&name, &error)
            .hint("name your identity file with -i, or make one: vaultgram keygen")
    })?;
    let metadata = file.metadata().map_err(|error| not_read(&name, &error))?;
    // Pipes, as in -i <(pass show age), have no mode that says anything.
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        let what = format!("{name}: others can read or change your private key");
        return Err(Failure::new(Exit::Denied, what).hint(format!("chmod 600 {name}")));
    }
    let text = read(&mut file, MAX_FILE, &name)?;
    let ask = || {
        let prompt = format!("Passphrase of {name}: ");
        rpassword::prompt_password(prompt).map_err(|error| error.to_string())
    };
    Identities::read(&text, ask).map_err(|error| {
        let failure = Failure::new(Exit::Config, format!("{name}: {error}"));
        match error {
            IdentityError::NoPassphrase(_) => failure.hint("run it in a terminal"),
            IdentityError::NotIdentities
            | IdentityError::Empty
            | IdentityError::NotPassphrase
            | IdentityError::WrongPassphrase => failure,
        }
    })
}

/// All of `from`, in memory that is wiped.
fn read(from: &mut dyn Read, most: usize, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut all = Zeroizing::new(Vec::new());
    let mut limited = from.take(most as u64 + 1);
    let result = limited.read_to_end(&mut all);
    result.map_err(|error| not_read(name, &error))?;
    if all.len() > most {
        let what = format!("{name}: larger than {most} bytes");
        return Err(Failure::new(Exit::Data, what).hint("is it the right file?"));
    }
    Ok(all)
}

fn not_read(name: &str, error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::PermissionDenied {
        Exit::Denied
    } else {
        Exit::NotFound
    };
    Failure::new(exit, format!("{name}: cannot read: {error}"))
}

fn explain(error: OpenError, identity: &Path) -> Failure {
    let failure = Failure::new(Exit::Data, error);
    match error {
        OpenError::NotSealed => failure.hint(
            "give the whole message, from -----BEGIN AGE ENCRYPTED FILE----- to its END line",
        ),
        OpenError::OtherKey => failure.hint(format!(
            "{} holds none of the keys it is sealed to; /keys in chat lists those, and -i names \
             another file",
            identity.display()
        )),
        OpenError::Damaged => failure.hint("copy the whole message again, or ask again"),
        OpenError::TooLarge => failure.hint("is it the right file?"),
    }
}
