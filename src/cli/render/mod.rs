//! `vaultgram render`: a file from a template with secrets in it.

mod template;
pub(super) mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use minijinja::Value;
use serde_json::value::RawValue;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::cli::address::Address;
use crate::cli::client::Socket;
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::{Fetched, fetch};
use crate::cli::render::template::{Known, Stop};
use crate::cli::render::write::Target;
use crate::cli::secret::not_understood;
use crate::cli::show;
use crate::cli::signals::until_told;
use crate::cli::watch::{self, Watch};
use crate::domain::signs::one_line;

/// The largest template, in bytes.
const MAX_TEMPLATE: u64 = 1 << 20;
/// How many secrets one template may ask for.
const MAX_SECRETS: usize = 256;
/// How long the program that is run after a change may take.
const HOOK_TIME: Duration = Duration::from_secs(30);

/// Arguments of `render`.
#[derive(Debug, Args)]
#[command(after_help = "\
A template is Jinja's:

  [database]
  user = {{ secret('django/database#user') }}
  password = {{ secret('django/database#password') }}
  {% set tls = secret('web/tls') -%}
  key = {{ tls.key | tojson }}

What is not defined is an error, and no part of a file is ever written. The file is its owner's alone
(0600) and replaced at once; one that would not change is left as it is, and nothing is run. A signal
that ends vaultgram waits until a file that is being written is whole.

Examples:
  vaultgram render app.conf.j2 --out /etc/app/app.conf
  vaultgram render app.conf.j2 --out /etc/app/app.conf -- systemctl reload app
  vaultgram render app.conf.j2 --out /etc/app/app.conf --watch=5m -- systemctl reload app
  vaultgram render app.conf.j2 --check

Exit codes: 0 done, 64 usage, 65 the template is wrong, 66 no such secret or template, 69 not
available, 73 the file cannot be written, 74 what was run after it failed, 75 try again, 77 denied,
130 ended by a signal before it was done; with --watch, a signal is how it ends, with 0.")]
pub struct RenderArgs {
    /// The template
    #[arg(value_name = "TEMPLATE")]
    pub template: PathBuf,
    /// Where to
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    pub out: Option<PathBuf>,
    /// Write nothing: only try whether all is there that the template asks for
    #[arg(long, conflicts_with_all = ["out", "watch", "hook"])]
    pub check: bool,
    /// Stay, and write the file again when a secret changes: look every so often [default: 30s]
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true,
        default_missing_value = watch::INTERVAL, value_parser = watch::interval)]
    pub watch: Option<Duration>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
    /// What to run when the file has changed; no shell
    #[arg(last = true, value_name = "PROGRAM")]
    pub hook: Vec<OsString>,
}

/// What came of a template.
struct Made {
    text: Zeroizing<Vec<u8>>,
    addresses: Vec<Address>,
    fetched: Vec<Fetched>,
}

/// Makes the file, and says so on `out`, until it is done or told to end.
///
/// # Errors
/// With the exit codes that `vaultgram render --help` lists.
pub async fn run(arguments: &RenderArgs, out: &mut dyn Write) -> Result<(), Failure> {
    until_told(work(arguments, out), arguments.watch.is_some()).await
}

async fn work(arguments: &RenderArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let name = arguments.template.display().to_string();
    let text = read(&arguments.template)?;
    let mut made = make(&arguments.common.socket()?, &name, &text).await?;
    let Some(path) = &arguments.out else {
        return say_checked(arguments, &made, out);
    };
    let target = Target::new(path)
        .ok_or_else(|| Failure::new(Exit::Usage, "--out must end with a file's name"))?;
    if path.as_os_str() == "-" {
        return Err(
            Failure::new(Exit::Usage, "it is not written to standard output")
                .hint("name a file; ./- for one that is called -"),
        );
    }
    let socket = arguments.common.socket()?.watched(false);
    let mut first = true;
    loop {
        let changed = target.write(&made.text).map_err(|error| {
            let what = format!("{}: cannot write: {error}", path.display());
            Failure::new(Exit::CannotCreate, what)
        })?;
        let ran = if changed {
            hook(&arguments.hook).await
        } else {
            Ok(())
        };
        if first || changed {
            say(arguments, path, changed, out)?;
        }
        let Some(interval) = arguments.watch else {
            return ran;
        };
        if let Err(failure) = ran {
            drop(writeln!(io::stderr(), "{failure}"));
        }
        first = false;
        let mut watch = Watch::new(socket.clone(), interval, &made.addresses, &made.fetched);
        made = watch.next(async || make(&socket, &name, &text).await).await;
    }
}

/// Reads the template.
fn read(path: &Path) -> Result<String, Failure> {
    let failed = |exit, why: &dyn std::fmt::Display| {
        Failure::new(exit, format!("{}: {why}", path.display()))
    };
    let mut text = String::new();
    let result =
        File::open(path).and_then(|file| file.take(MAX_TEMPLATE + 1).read_to_string(&mut text));
    match result {
        Ok(length) if length as u64 > MAX_TEMPLATE => Err(failed(
            Exit::Data,
            &format!("it is larger than {MAX_TEMPLATE} bytes"),
        )),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(failed(Exit::Data, &"it is not UTF-8"))
        }
        Err(error) => Err(failed(Exit::NotFound, &error)),
    }
}

/// Renders, and reads whatever turns out to be asked for. What is asked of one secret is read at
/// once, so that its parts belong together.
async fn make(socket: &Socket, name: &str, text: &str) -> Result<Made, Failure> {
    let hints = template::hints(name, text);
    let mut read: BTreeMap<String, (Address, Fetched)> = BTreeMap::new();
    loop {
        let known = read.iter().map(|(asked, (address, found))| {
            let value = value(address, found)?;
            Ok((asked.clone(), value))
        });
        let known: Known = known.collect::<Result<_, Failure>>()?;
        let (asked, line) = match template::render(name, text, &Arc::new(known)) {
            Ok(text) => {
                let (addresses, fetched) = read.into_values().unzip();
                return Ok(Made {
                    text,
                    addresses,
                    fetched,
                });
            }
            Err(Stop::Wrong(what)) => return Err(Failure::new(Exit::Data, one_line(&what))),
            Err(Stop::Wants { address, line }) => (address, line),
        };
        let at = |failure: Failure| Failure {
            what: format!("{name}:{line}: {}", failure.what),
            ..failure
        };
        let address = parsed(&asked).map_err(at)?;
        if read.len() >= MAX_SECRETS {
            let what = format!("it asks for more than {MAX_SECRETS} secrets");
            return Err(at(Failure::new(Exit::Data, what)));
        }
        let hinted = hints
            .iter()
            .filter_map(|hint| Some((hint, parsed(hint).ok()?)));
        let before = read
            .iter()
            .map(|(asked, (address, _))| (asked, address.clone()));
        let mut together: BTreeMap<String, Address> = hinted
            .chain(before)
            .filter(|(_, other)| other.path == address.path && other.version == address.version)
            .map(|(asked, other)| (asked.clone(), other))
            .collect();
        together.insert(asked, address);
        let addresses: Vec<Address> = together.values().cloned().collect();
        let found = fetch(socket, &addresses).await.map_err(at)?;
        for ((asked, address), found) in together.into_iter().zip(found) {
            read.insert(asked, (address, found));
        }
    }
}

fn parsed(address: &str) -> Result<Address, Failure> {
    address.parse().map_err(|advice| {
        Failure::new(Exit::Data, "what secret() is given is no address").hint(advice)
    })
}

/// What a template gets: one field's value, or all of them by name.
fn value(address: &Address, found: &Fetched) -> Result<Value, Failure> {
    let fields = found.values.iter().map(|(name, value)| {
        let json: &RawValue = serde_json::from_str(value.json()).map_err(|_| not_understood())?;
        Ok((name.clone(), template::value(json)))
    });
    let fields: BTreeMap<String, Value> = fields.collect::<Result<_, Failure>>()?;
    Ok(match &address.field {
        Some(field) => fields.get(field).cloned().unwrap_or_default(),
        None => Value::from(fields),
    })
}

/// Runs what is to be run after a change.
async fn hook(hook: &[OsString]) -> Result<(), Failure> {
    let Some((program, arguments)) = hook.split_first() else {
        return Ok(());
    };
    let failed = |why: &dyn std::fmt::Display| {
        let what = format!("{}: {why}", program.display());
        Failure::new(Exit::Io, what).hint("the file is written: run it again by hand")
    };
    let mut command = Command::new(program);
    // Standard output is for what we say ourselves.
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .kill_on_drop(true);
    let status = tokio::time::timeout(HOOK_TIME, command.status()).await;
    let status = status
        .map_err(|_| failed(&format!("it took longer than {} s", HOOK_TIME.as_secs())))?
        .map_err(|error| failed(&error))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(&format!("it failed: {status}")))
    }
}

fn say(
    arguments: &RenderArgs,
    path: &Path,
    changed: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let line = if arguments.common.json {
        format!(
            "{}\n",
            serde_json::json!({"out": shown, "changed": changed})
        )
    } else if changed {
        format!("{shown}: written\n")
    } else {
        format!("{shown}: unchanged\n")
    };
    show::write(line.as_bytes(), out)
}

fn say_checked(arguments: &RenderArgs, made: &Made, out: &mut dyn Write) -> Result<(), Failure> {
    let paths: BTreeSet<String> = made.fetched.iter().map(|found| found.path.full()).collect();
    let line = if arguments.common.json {
        format!("{}\n", serde_json::json!({"reads": paths}))
    } else {
        let shown = arguments.template.display();
        let paths: Vec<String> = paths.into_iter().collect();
        format!("{shown}: all is there; it reads {}\n", paths.join(", "))
    };
    show::write(line.as_bytes(), out)
}
