//! `vaultgram invoke`: asks a secrets engine to do something with parameters, and prints its answer.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::str::FromStr;

use clap::Args;
use hyper::StatusCode;
use zeroize::Zeroizing;

use crate::cli::client::{self, SocketArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::get::{Address, encode, explain, find_mount};
use crate::cli::secret::{Kind, Style, Told};
use crate::cli::show;

/// The largest value read from a file or standard input, in bytes: the server takes no more in all.
const MAX_VALUE: u64 = 256 * 1024;

/// Arguments of `invoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
What a value should not be seen by others in the list of processes goes into a file or to standard
input; both are taken byte for byte. A value that begins with @ is written \\@.

Examples:
  vaultgram invoke pki/issue/web common_name=www.example.org ttl=24h
  vaultgram invoke pki/sign/web#certificate csr=@www.csr common_name=www.example.org
  base64 -w0 letter | vaultgram invoke transit/encrypt/mail#ciphertext plaintext=-
  vaultgram invoke ssh/sign/ops#signed_key public_key=@$HOME/.ssh/id_ed25519.pub

Exit codes: 0 done, 64 usage or refused parameters, 66 no such path, 69 not available, 75 try again,
77 denied.")]
pub struct InvokeArgs {
    /// A path of an engine, its mount first; one field of the answer
    #[arg(value_name = "PATH[#field]")]
    pub address: Address,
    /// A parameter: its value, @FILE that holds it, or - for standard input
    #[arg(value_name = "NAME=VALUE")]
    pub parameters: Vec<Unread>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where vaultgram is.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// A parameter as it was written: not taken apart before an error can keep quiet about it.
#[derive(Clone)]
pub struct Unread(Zeroizing<String>);

impl std::fmt::Debug for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl FromStr for Unread {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

/// `NAME=VALUE`. No derived `Debug`: the value may be secret.
#[derive(Clone)]
pub struct Parameter {
    name: String,
    value: Source,
}

#[derive(Clone)]
enum Source {
    Text(Zeroizing<String>),
    File(String),
    Input,
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

impl FromStr for Parameter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = match text.split_once('=') {
            None | Some(("", _)) => return Err("write each as NAME=VALUE"),
            Some(pair) => pair,
        };
        let value = match value {
            "-" => Source::Input,
            _ => match (value.strip_prefix('@'), value.strip_prefix("\\@")) {
                (Some(file), _) => Source::File(file.to_owned()),
                (None, Some(_)) => Source::Text(Zeroizing::new(value.chars().skip(1).collect())),
                (None, None) => Source::Text(Zeroizing::new(value.to_owned())),
            },
        };
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

impl Parameter {
    fn read(&self) -> Result<Zeroizing<String>, Failure> {
        let unusable = |error: &dyn std::fmt::Display, from: &str| {
            Failure::new(Exit::NotFound, format!("{}: {from}: {error}", self.name))
        };
        match &self.value {
            Source::Text(text) => Ok(text.clone()),
            Source::File(file) => {
                let opened = File::open(file).map_err(|error| unusable(&error, file))?;
                text(opened).map_err(|error| unusable(&error, file))
            }
            Source::Input => text(io::stdin()).map_err(|error| unusable(&error, "standard input")),
        }
    }
}

/// All of `from`, in one buffer that is wiped.
fn text(from: impl Read) -> Result<Zeroizing<String>, String> {
    let size = usize::try_from(MAX_VALUE)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let mut read = Zeroizing::new(String::with_capacity(size));
    match from.take(MAX_VALUE + 1).read_to_string(&mut read) {
        Ok(length) if length as u64 > MAX_VALUE => {
            Err(format!("it is larger than {MAX_VALUE} bytes"))
        }
        Ok(_) => Ok(read),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err("it is not text; encode it first, as with base64 -w0".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Invokes an engine and writes its answer to `out`. `terminal`: whether `out` is one; else a
/// single value is written byte for byte.
///
/// # Errors
/// With the exit codes that `vaultgram invoke --help` lists.
pub async fn run(
    arguments: &InvokeArgs,
    out: &mut dyn Write,
    terminal: bool,
) -> Result<(), Failure> {
    let (address, socket) = (&arguments.address, &arguments.socket.socket);
    if address.version.is_some() {
        return Err(Failure::new(Exit::Usage, "an engine has no versions").hint("leave @ out"));
    }
    let parameters: Vec<Parameter> = arguments
        .parameters
        .iter()
        .zip(1..)
        .map(|(parameter, number)| {
            parameter.0.parse().map_err(|advice| {
                // What it says may be a secret.
                let what = format!("parameter {number} has no name");
                Failure::new(Exit::Usage, what).hint(advice)
            })
        })
        .collect::<Result<_, _>>()?;
    let body = body(&parameters)?;
    let path = find_mount(socket, &address.path).await?;
    if path.kind != Kind::Engine {
        let what = format!("\"{}\" is no engine, but a mount of secrets", path.mount);
        return Err(Failure::new(Exit::Usage, what)
            .hint("begin the path with a mount that [vault] engines lists"));
    }
    let mut target = format!("/v1/{}/{}", encode(&path.mount), encode(&path.rest));
    if let Some(field) = &address.field {
        target = format!("{target}?field={}", encode(field));
    }
    let answer = client::post_json(socket, &target, body).await?;
    if !matches!(answer.status, StatusCode::OK | StatusCode::NO_CONTENT) {
        return Err(explain(&answer));
    }
    let style = Style {
        json: arguments.json,
        path: Some(&format!("{}/{}", path.mount, path.rest)),
        field: address.field.as_deref(),
        terminal,
    };
    show::write(&Told::plain(&answer)?.print(&style, &answer)?, out)
}

/// The parameters as one JSON object, in one buffer that is wiped.
fn body(parameters: &[Parameter]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut names = BTreeSet::new();
    for parameter in parameters {
        if !names.insert(&parameter.name) {
            let what = format!("{} is given twice", parameter.name);
            return Err(Failure::new(Exit::Usage, what));
        }
    }
    let from_input = |parameter: &&Parameter| matches!(parameter.value, Source::Input);
    if parameters.iter().filter(from_input).count() > 1 {
        let what = "only one value can come from standard input";
        return Err(Failure::new(Exit::Usage, what).hint("put the others into files: NAME=@FILE"));
    }
    let mut values = vec![];
    for parameter in parameters {
        values.push((&parameter.name, parameter.read()?));
    }
    // In full from the beginning: a text that grows leaves halves of itself behind. A byte takes
    // six as an escape.
    let size = |(name, value): &(&String, Zeroizing<String>)| 6 * (name.len() + value.len()) + 6;
    let mut json = Zeroizing::new(Vec::with_capacity(
        2 + values.iter().map(size).sum::<usize>(),
    ));
    json.push(b'{');
    for (position, (name, value)) in values.iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        // A string is always JSON, and memory takes all.
        serde_json::to_writer(&mut *json, name).unwrap_or_default();
        json.push(b':');
        serde_json::to_writer(&mut *json, value.as_str()).unwrap_or_default();
    }
    json.push(b'}');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Parameter {
        text.parse().unwrap()
    }

    #[test]
    fn parameters_become_one_object() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("value");
        std::fs::write(&file, "two\nlines\n").unwrap();
        let parameters = [
            parsed("a=x=\"y\""),
            parsed("b="),
            parsed("c=\\@home"),
            parsed("d=\\x"),
            parsed(&format!("e=@{}", file.display())),
        ];
        let json = body(&parameters).unwrap();
        assert_eq!(
            std::str::from_utf8(&json).unwrap(),
            r#"{"a":"x=\"y\"","b":"","c":"@home","d":"\\x","e":"two\nlines\n"}"#
        );
        for wrong in ["", "a", "=b"] {
            assert!(wrong.parse::<Parameter>().is_err(), "{wrong}");
        }
        let failure = body(&[parsed("a=1"), parsed("a=2")]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let failure = body(&[parsed("a=-"), parsed("b=-")]).unwrap_err();
        assert!(failure.what.contains("standard input"), "{failure}");
        let failure = body(&[parsed("a=@/nowhere/x")]).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
    }

    #[test]
    fn a_value_from_a_file_is_capped_and_text() {
        let most = vec![b'x'; usize::try_from(MAX_VALUE).unwrap()];
        assert!(text(&most[..]).is_ok());
        assert!(
            text(&[&most[..], b"x"].concat()[..])
                .unwrap_err()
                .contains("larger")
        );
        assert!(text(&b"\xff"[..]).unwrap_err().contains("not text"));
        assert_eq!(format!("{:?}", parsed("a=hunter2")), "a=…");
    }
}
