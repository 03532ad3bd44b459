//! `vaultgram policy …`: look at policies, ask them, and test them.

mod asked;
mod cases;
mod explain;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use time::OffsetDateTime;

use crate::cli::ConfigArgs;
use crate::cli::exit::Failure;
use crate::cli::show;
use crate::domain::policy_load::SCHEMA;
use crate::domain::{Mounts, Policy};

pub use self::asked::Asked;

/// `vaultgram policy …`
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Print the schema that policies are checked against
    #[command(after_help = "\
Examples:
  vaultgram policy schema > vaultgram.cedarschema

Exit codes: 0 done, 64 usage, 73 cannot write.")]
    Schema,
    /// Check policies, groups and people, without needing Vault's token or anything else
    Validate(ValidateArgs),
    /// Say whether somebody may do something, which policies decide, and what would have to be
    /// different
    Explain(Box<ExplainArgs>),
    /// Check what policies decide against what they should
    Test(TestArgs),
}

/// Arguments of `policy validate`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vaultgram policy validate
  vaultgram policy validate --config /etc/vaultgram/vaultgram.toml new/policies

Exit codes: 0 correct, 64 usage, 78 something is wrong with them.")]
pub struct ValidateArgs {
    /// Where the configuration is, with the groups that policies speak of.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Policy files, or folders of them, in place of those in the configuration
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `policy explain`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  vaultgram policy explain --as telegram:1001 --read secret/django/database
  vaultgram policy explain --as person:alice --read secret/django/database --at 2026-12-24T22:00
  vaultgram policy explain --as uid:990 --unit deploy.service --put secret/app --cas --json

Exit codes: 0 answered, whatever the answer is; 64 usage, 78 the configuration is wrong.")]
pub struct ExplainArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Who asks for what.
    #[command(flatten)]
    pub asked: Asked,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `policy test`.
#[derive(Args)]
#[command(after_help = "\
A file of cases is TOML; its keys are the options of `vaultgram policy explain`:
  [[case]]
  name = \"developers read in private\"
  as = \"telegram:1001\"
  read = \"secret/django/database\"
  expect = \"allow\"
  by = [\"developers-read\"]

Examples:
  vaultgram policy test policies/tests.toml

Exit codes: 0 all as expected, 1 some are not, 64 usage, 65 the cases are wrong, 66 no such file,
78 the configuration is wrong.")]
pub struct TestArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Files with cases
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What is asked about.
#[derive(Clone, Copy)]
pub struct Standing<'a> {
    /// The policies.
    pub policy: &'a Policy,
    /// The mounts that may be asked for.
    pub mounts: &'a Mounts,
    /// When nothing else is said.
    pub now: OffsetDateTime,
}

/// Prints the schema.
///
/// # Errors
/// When it cannot be written.
pub fn schema(out: &mut dyn Write) -> Result<(), Failure> {
    show::write(SCHEMA.as_bytes(), out)
}

pub use self::cases::run as test;
pub use self::explain::run as explain;
