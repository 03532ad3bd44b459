//! `vaultgram rotate`: a random value for one field, which nobody is shown.

use std::io::Write;

use clap::Args;
use clap::builder::PossibleValuesParser;
use zeroize::Zeroizing;

use crate::cli::address::{Address, encode, find_mount};
use crate::cli::change::{self, confirm};
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::domain::recipe::Recipe;

/// Arguments of `rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
vaultgram itself makes the value and writes it as a new version, in which the other fields stay; the
value does not come here.

Examples:
  vaultgram rotate django/cache#password
  vaultgram rotate django/cache#token --recipe hex --yes

Exit codes: 0 done, 64 usage, 66 no such secret or field, 69 not available, 75 somebody else changed
it or try again, 77 denied, 130 not confirmed.")]
pub struct RotateArgs {
    /// The path of a secret, with or without its mount, and one of its fields
    #[arg(value_name = "PATH#field")]
    pub address: Address,
    /// What the value is made of
    #[arg(long, default_value = Recipe::Password.name(), value_parser = recipes())]
    pub recipe: String,
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

fn recipes() -> PossibleValuesParser {
    PossibleValuesParser::new(Recipe::ALL.map(Recipe::name))
}

/// Rotates a field, and says so on `out`.
///
/// # Errors
/// With the exit codes that `vaultgram rotate --help` lists.
pub async fn run(arguments: &RotateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let Address {
        path,
        field: Some(field),
        version: None,
    } = &arguments.address
    else {
        return Err(Failure::new(Exit::Usage, "which field?").hint("name it: PATH#field"));
    };
    let socket = arguments.common.socket()?;
    let path = find_mount(&socket, path).await?.has_versions()?;
    let full = path.full();
    let question = format!(
        "Replace {full}#{field} by a random value ({})?",
        arguments.recipe
    );
    confirm(&question, arguments.yes, false)?;
    let target = format!("/v1/vaultgram/rotate/{}", encode(&full));
    let body = serde_json::json!({"field": field, "recipe": arguments.recipe});
    let body = Zeroizing::new(body.to_string().into_bytes());
    let answer = socket.post(&target, Some(body)).await?;
    let how = format!("has a new random {field}");
    change::written(&path, &how, &answer, arguments.common.json, out)
}
