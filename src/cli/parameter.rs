//! `NAME=VALUE` as it is typed: the value itself, `@FILE` that holds it, or `-` for standard input.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::cli::exit::{Exit, Failure};

/// The largest value read from a file or standard input, in bytes: the server takes no more in all.
pub(super) const MAX_VALUE: u64 = 1 << 20;

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

/// The parameters as one JSON object of strings, with null for each of `removed`, in one buffer
/// that is wiped.
///
/// # Errors
/// For what is no parameter, is named twice, or cannot be read.
pub(super) fn object(
    parameters: &[Unread],
    removed: &[String],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let parameters = parameters.iter().zip(1..).map(|(parameter, number)| {
        parameter.0.parse().map_err(|advice| {
            // What it says may be a secret.
            let what = format!("parameter {number} has no name");
            Failure::new(Exit::Usage, what).hint(advice)
        })
    });
    let parameters: Vec<Parameter> = parameters.collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    for name in parameters.iter().map(|given| &given.name).chain(removed) {
        if !names.insert(name) {
            return Err(Failure::new(Exit::Usage, format!("{name} is given twice")));
        }
    }
    let from_input = |parameter: &&Parameter| matches!(parameter.value, Source::Input);
    if parameters.iter().filter(from_input).count() > 1 {
        let what = "only one value can come from standard input";
        return Err(Failure::new(Exit::Usage, what).hint("put the others into files: NAME=@FILE"));
    }
    let mut values = vec![];
    for parameter in &parameters {
        values.push((&parameter.name, Some(parameter.read()?)));
    }
    values.extend(removed.iter().map(|name| (name, None)));
    // In full from the beginning: a text that grows leaves halves of itself behind. A byte takes
    // six as an escape.
    let size = |(name, value): &(&String, Option<Zeroizing<String>>)| {
        6 * (name.len() + value.as_ref().map_or(0, |value| value.len())) + 8
    };
    let size = 2 + values.iter().map(size).sum::<usize>();
    let mut json = Zeroizing::new(Vec::with_capacity(size));
    json.push(b'{');
    for (position, (name, value)) in values.iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        // A string is always JSON, and memory takes all.
        serde_json::to_writer(&mut *json, name).unwrap_or_default();
        json.push(b':');
        let value = value.as_ref().map(|value| value.as_str());
        serde_json::to_writer(&mut *json, &value).unwrap_or_default();
    }
    json.push(b'}');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(parameters: &[&str]) -> Vec<Unread> {
        let parsed = parameters.iter().map(|text| text.parse().unwrap());
        parsed.collect()
    }

    #[test]
    fn parameters_become_one_object() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("value");
        std::fs::write(&file, "two\nlines\n").unwrap();
        let file = format!("e=@{}", file.display());
        let parameters = unread(&["a=x=\"y\"", "b=", "c=\\@home", "d=\\x", &file]);
        let json = object(&parameters, &["f".to_owned()]).unwrap();
        assert_eq!(
            std::str::from_utf8(&json).unwrap(),
            r#"{"a":"x=\"y\"","b":"","c":"@home","d":"\\x","e":"two\nlines\n","f":null}"#
        );
        for (wrong, exit, said) in [
            (
                &["a=1", "hunter2"][..],
                Exit::Usage,
                "parameter 2 has no name",
            ),
            (&["=hunter2"], Exit::Usage, "parameter 1 has no name"),
            (&["a=1", "a=2"], Exit::Usage, "a is given twice"),
            (&["r=1"], Exit::Usage, "r is given twice"),
            (&["a=-", "b=-"], Exit::Usage, "standard input"),
            (&["a=@/nowhere/x"], Exit::NotFound, "/nowhere/x"),
        ] {
            let failure = object(&unread(wrong), &["r".to_owned()]).unwrap_err();
            assert_eq!(failure.exit, exit, "{wrong:?}: {failure}");
            assert!(failure.what.contains(said), "{wrong:?}: {failure}");
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
        }
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
        let parameter: Parameter = "a=hunter2".parse().unwrap();
        assert_eq!(format!("{parameter:?}"), "a=…");
    }
}
