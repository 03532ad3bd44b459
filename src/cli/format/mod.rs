//! Values in the forms that other programs read. Each form is a pure function of its own.

mod docker;
mod dotenv;
mod github;
pub(super) mod names;
mod shell;
mod yaml;

use clap::{Args, ValueEnum};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

pub use self::names::Names;
use crate::cli::exit::{Exit, Failure};
use crate::cli::github::must_be_a_job;
use crate::cli::show::{self, Values};
use crate::domain::signs::one_line;

/// A form that values are printed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Names and values in two columns
    Table,
    /// One value, byte for byte
    Raw,
    /// One JSON object of names and values
    Json,
    /// YAML
    Yaml,
    /// A .env file that all of its readers understand alike
    Dotenv,
    /// Bare lines for docker's and podman's --env-file, and for `EnvironmentFile=` of systemd
    Docker,
    /// Lines for a shell: eval "$(vaultgram get … --format export)"
    Export,
    /// Lines for `$GITHUB_ENV`, in a job of GitHub Actions; its log hides the values
    Github,
}

/// How to print values.
#[derive(Debug, Args)]
pub struct FormatArgs {
    /// The form of the values
    #[arg(long, short, conflicts_with = "json")]
    pub format: Option<Format>,
    /// What the names of variables begin with
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub prefix: String,
    /// How the names of variables are made of those of fields
    #[arg(long, value_name = "HOW", default_value = "upper")]
    pub names: Names,
    #[arg(long, env = "GITHUB_ACTIONS", hide = true)]
    github_actions: Option<String>,
}

/// Why values cannot be had in a form.
#[derive(Debug, PartialEq, Eq)]
struct Unfit {
    name: String,
    why: &'static str,
    hint: &'static str,
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        Self::new(Exit::Data, format!("{}: {}", unfit.name, unfit.why)).hint(unfit.hint)
    }
}

impl FormatArgs {
    /// `values` in the form `format`.
    ///
    /// # Errors
    /// When the form cannot hold them.
    pub(super) fn write(
        &self,
        format: Format,
        values: &Values<'_>,
        text: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        match format {
            Format::Table => show::table(values, text),
            Format::Raw => text.extend_from_slice(show::plain(one(values)?).as_bytes()),
            Format::Json => {
                serde_json::to_writer(&mut *text, &values.0)
                    .map_err(|error| Failure::new(Exit::Software, error))?;
                text.push(b'\n');
            }
            Format::Yaml => yaml::write(values, text),
            Format::Dotenv => dotenv::write(&self.variables(values)?, text)?,
            Format::Docker => docker::write(&self.variables(values)?, text)?,
            Format::Export => shell::write(&self.variables(values)?, text)?,
            Format::Github => {
                must_be_a_job(self.github_actions.as_deref())
                    .map_err(|failure| failure.hint("use another form, or `vaultgram exec`"))?;
                github::write(&self.variables(values)?, text)?;
            }
        }
        Ok(())
    }

    /// The values under the names of variables.
    fn variables(&self, values: &Values<'_>) -> Result<Vec<Variable>, Failure> {
        let names = names::variables(values.0.keys(), &self.prefix, self.names)?;
        let values = values.0.values().map(|value| show::plain(value));
        let pairs = names.into_iter().zip(values);
        Ok(pairs
            .map(|(name, value)| Variable { name, value })
            .collect())
    }
}

/// A value that goes into a variable.
struct Variable {
    name: String,
    value: Zeroizing<String>,
}

impl Variable {
    fn unfit(&self, why: &'static str, hint: &'static str) -> Unfit {
        Unfit {
            name: self.name.clone(),
            why,
            hint,
        }
    }
}

fn one<'v>(values: &Values<'v>) -> Result<&'v RawValue, Failure> {
    let mut all = values.0.values();
    match (all.next(), all.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Failure::new(Exit::Data, "there is no value")),
        (Some(_), Some(_)) => {
            let names: Vec<String> = values.0.keys().map(|name| one_line(name)).collect();
            Err(
                Failure::new(Exit::Usage, "only one value can be printed raw")
                    .hint(format!("name one with #: {}", names.join(", "))),
            )
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Texts that are hard to write down: quotes, line ends, signs that mean something somewhere.
    pub(super) fn text() -> impl Strategy<Value = String> {
        let hard =
            r#"[a-z'"\\$`%#=: \t\n\r{}\[\],&*!|>@~<\u{0}\u{7f}\u{85}\u{2028}\u{feff}é😀]{0,24}"#;
        prop_oneof![hard, "\\PC{0,24}", "[ -~]{0,24}"]
    }

    pub(super) fn json(of: &BTreeMap<String, serde_json::Value>) -> String {
        serde_json::to_string(of).unwrap()
    }

    /// What is printed for the fields in `json`.
    pub(super) fn printed(json: &str, format: Format, prefix: &str) -> Result<String, Failure> {
        let arguments = FormatArgs {
            format: Some(format),
            prefix: prefix.to_owned(),
            names: Names::Upper,
            github_actions: None,
        };
        let mut text = vec![];
        arguments.write(format, &serde_json::from_str(json).unwrap(), &mut text)?;
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn one_value_is_printed_raw_and_several_are_not() {
        assert_eq!(
            printed(r#"{"a":"x\u001b\n"}"#, Format::Raw, "").unwrap(),
            "x\u{1b}\n"
        );
        let failure = printed(r#"{"a":"x","b":"y"}"#, Format::Raw, "").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.hint.unwrap(), "name one with #: a, b");
        assert!(printed("{}", Format::Raw, "").is_err());
    }

    #[test]
    fn json_is_what_vault_has() {
        let json = r#"{"a":1.50,"b":{"c":"\u003c"}}"#;
        assert_eq!(
            printed(json, Format::Json, "").unwrap(),
            format!("{json}\n")
        );
    }
}
