//! `vaultgram github`: secrets for the later steps of a GitHub job, masked in its log.

mod file;
mod files;
mod job;
mod mask;
#[cfg(test)]
mod runner;
mod selector;
mod values;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use zeroize::Zeroizing;

use crate::cli::common::Common;
use crate::cli::exec::environment::{self, Named};
use crate::cli::exit::{Exit, Failure};
use crate::cli::github::file::CommandFile;
use crate::cli::github::files::Files;
use crate::cli::github::job::JobArgs;
use crate::cli::github::values::Listed;
use crate::cli::show;
use crate::domain::span;

pub(in crate::cli) use self::mask::Masks;

/// The runner's own variables.
const OF_RUNNER: &[&str] = &["GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_"];

/// What the log is told where short values are hidden.
const SHORT: &str = "::warning::a value has lines of less than four characters, and all that looks \
                     like them in the log is hidden too\n";

/// Arguments of `github`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vaultgram github --env DB_PASSWORD=django/database#password
  vaultgram github --output user=django/database#user --env TLS_KEY=web/tls#key
  vaultgram github --secrets 'secret/data/ci/aws accessKey | AWS_KEY ; secret/data/ci npm_token'
  vaultgram github --file KUBECONFIG=prod/cluster#kubeconfig --wait 30m

Each is a step of a job, and what it gets is for the steps after it. With --socket https://HOST:PORT, or
VAULTGRAM_SOCKET, vaultgram runs elsewhere: the job proves itself with GitHub's token, for which it needs
`permissions: id-token: write`.

--secrets takes what vault-action takes: PATH KEY | NAME, with ; between them, in one line or several.
A KEY of * is all fields, and NAME what their names begin with; ** leaves variables in small letters.
Each value becomes a variable and an output. Without NAME the output has the field's name and the
variable that in capitals, both without what is no letter, digit, _ or -, and with __ for a dot.

With --wait what others must approve is requested for this run alone, and taken back when the job is
cancelled, or the time is over.

A file is below RUNNER_TEMP, for its owner alone, and there until the runner removes it after the job.

Values are hidden from the log first, line by line, and the leaves of JSON too. No other job has them:
a runner hands no output with a hidden value on. Standard output has to reach the runner: what it does
not see, it does not hide.

Exit codes: 0 done, 64 usage, or not in a job; 65 a value that cannot be handed over, 66 no such
secret, 69 not available, 73 a secret's file, 74 the runner's files, 75 try again, or nobody decided in time,
77 denied, by policy or those who decide; 130 cancelled.")]
pub struct GithubArgs {
    /// A variable for the steps after this one, and the secret it holds
    #[arg(long = "env", value_name = "NAME=PATH#field[@version]")]
    pub variables: Vec<Named>,
    /// An output of this step, and the secret it holds
    #[arg(long = "output", value_name = "NAME=PATH#field[@version]")]
    pub outputs: Vec<Named>,
    /// Secrets in the words of vault-action, each as a variable and as an output
    #[arg(long, value_name = "PATH KEY [| NAME] [; …]")]
    pub secrets: Vec<String>,
    /// A variable for the steps after this one that names the file which holds the secret
    #[arg(long = "file", value_name = "NAME=PATH#field[@version]")]
    pub files: Vec<Named>,
    /// Make no variables of --secrets, but outputs alone
    #[arg(long)]
    pub no_variables: bool,
    /// Where others must approve it, request that, and wait so long, such as 30m
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub wait: Option<Duration>,
    /// Why, for those who decide [default: what the commit says, the workflow and the run]
    #[arg(long, value_name = "TEXT", requires = "wait")]
    pub reason: Option<String>,
    /// Do it where no job of GitHub runs, too
    #[arg(long)]
    pub force: bool,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
    /// What the runner says.
    #[command(flatten)]
    job: Box<JobArgs>,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    span::read(text).ok_or("not a time: write it like 90s, 30m, 8h or 2d")
}

/// Hands secrets to the runner: on `out` what it is to hide, then the rest.
///
/// # Errors
/// With the exit codes that `vaultgram github --help` lists.
pub async fn run(arguments: &GithubArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let job = &arguments.job;
    if !arguments.force {
        must_be_a_job(job.actions.as_deref()).map_err(|failure| {
            failure.hint("use `vaultgram exec`, or --force where something else reads this")
        })?;
    }
    if arguments.variables.is_empty()
        && arguments.outputs.is_empty()
        && arguments.files.is_empty()
        && arguments.secrets.is_empty()
    {
        return Err(Failure::new(Exit::Usage, "no secret is asked for")
            .hint("name some with --env, --output, --file or --secrets"));
    }
    environment::check_all(arguments.variables.iter().chain(&arguments.files), variable)?;
    environment::check_all(&arguments.outputs, output)?;
    let mut selectors = vec![];
    for text in &arguments.secrets {
        selectors.extend(selector::parse(text)?);
    }
    // All that can fail comes before a value is read.
    let no_variables =
        arguments.variables.is_empty() && (selectors.is_empty() || arguments.no_variables);
    let no_outputs = arguments.outputs.is_empty() && selectors.is_empty();
    let no_files = arguments.files.is_empty();
    let mut env = open("GITHUB_ENV", no_variables && no_files, job.env.as_ref())?;
    let mut output = open("GITHUB_OUTPUT", no_outputs, job.output.as_ref())?;
    let files = Files::open(no_files, job.temporary.as_deref())?;

    let values = values::read(arguments, &selectors).await?;
    let mut masks = Masks::default();
    let mut variables = written(&values.variables, &mut masks)?;
    let outputs = written(&values.outputs, &mut masks)?;
    if let Some(files) = &files {
        for (name, value) in &values.files.0 {
            hide(name, value, &mut masks)?;
            let path = files.path(name).display().to_string();
            put(&mut variables, name, &path)?;
        }
    }

    let hiding = if job.act.as_deref() == Some("true") {
        masks.commands_for_act().ok_or_else(|| {
            let what =
                "act could not hide a value: a line of it holds %0A, %0D or %25, or :: and ]";
            Failure::new(Exit::Data, what).hint("GitHub's own runner can")
        })?
    } else {
        hiding(&masks)
    };
    show::write(hiding.as_bytes(), out)?;
    if let Some(files) = &files {
        files.write(&values.files)?;
    }
    append("GITHUB_ENV", env.as_mut(), &variables)?;
    append("GITHUB_OUTPUT", output.as_mut(), &outputs)
}

/// Refuses to go on where nobody would hide values. `actions`: what `GITHUB_ACTIONS` says.
pub(in crate::cli) fn must_be_a_job(actions: Option<&str>) -> Result<(), Failure> {
    if actions == Some("true") {
        return Ok(());
    }
    let what = "this is no job of GitHub Actions: nobody would hide the values";
    Err(Failure::new(Exit::Usage, what))
}

/// Whether a secret may go into the variable `name` of later steps, and why not.
pub(in crate::cli) fn variable(name: &str) -> Result<(), &'static str> {
    environment::check(name)?;
    let upper = name.to_ascii_uppercase();
    if upper == "CI"
        || OF_RUNNER
            .iter()
            .any(|beginning| upper.starts_with(beginning))
    {
        return Err("it is the runner's own: choose another name");
    }
    Ok(())
}

fn output(name: &str) -> Result<(), &'static str> {
    let letter = |sign: char| sign.is_ascii_alphabetic() || sign == '_';
    let good = |sign: char| letter(sign) || sign.is_ascii_digit() || sign == '-';
    if name.starts_with(letter) && name.chars().all(good) && name.len() <= 255 {
        return Ok(());
    }
    Err("a name is made of letters, digits, _ and -, and begins with a letter or _")
}

/// Opens the runner's file, unless nothing is to go into it.
fn open(
    variable: &str,
    nothing: bool,
    path: Option<&PathBuf>,
) -> Result<Option<CommandFile>, Failure> {
    if nothing {
        return Ok(None);
    }
    let path = path.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{variable} is not set"))
            .hint("it names the file that the runner reads")
    })?;
    CommandFile::open(path).map(Some).map_err(|error| {
        let what = format!("{variable}: {}: cannot open: {error}", path.display());
        Failure::new(Exit::Io, what)
    })
}

/// What goes into a file; its values are hidden.
fn written(values: &Listed, masks: &mut Masks) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    for (name, value) in &values.0 {
        add(&mut text, name, value, masks)?;
    }
    Ok(text)
}

/// Adds a value to what goes into a file, and to what is hidden.
pub(in crate::cli) fn add(
    text: &mut Zeroizing<String>,
    name: &str,
    value: &str,
    masks: &mut Masks,
) -> Result<(), Failure> {
    hide(name, value, masks)?;
    put(text, name, value)
}

fn refuse(name: &str, why: &str) -> Failure {
    Failure::new(Exit::Data, format!("{name}: the value {why}"))
}

fn hide(name: &str, value: &str, masks: &mut Masks) -> Result<(), Failure> {
    let too_deep = |_| refuse(name, "is JSON that nests too deeply to be hidden");
    masks.hide(value).map_err(too_deep)
}

fn put(text: &mut Zeroizing<String>, name: &str, value: &str) -> Result<(), Failure> {
    if value.contains('\0') {
        return Err(refuse(name, "holds a NUL, which the runner cannot hand on"));
    }
    if !file::add(text, name, value, &file::delimiter()) {
        return Err(refuse(name, "holds what would end it").hint("try again"));
    }
    Ok(())
}

/// What tells the runner to hide all of `masks`.
pub(in crate::cli) fn hiding(masks: &Masks) -> Zeroizing<String> {
    let mut commands = masks.commands();
    if masks.short() {
        commands.push_str(SHORT);
    }
    commands
}

fn append(variable: &str, file: Option<&mut CommandFile>, text: &str) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    file.append(text)
        .map_err(|error| Failure::new(Exit::Io, format!("{variable}: cannot write: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_the_runners_own_are_refused() {
        for name in ["DB_PASSWORD", "MY_GITHUB_TOKEN", "CIRCLE"] {
            assert_eq!(variable(name), Ok(()), "{name}");
        }
        for name in [
            "NODE_OPTIONS",
            "node_options",
            "GITHUB_TOKEN",
            "github_env",
            "RUNNER_TEMP",
            "ACTIONS_STEP_DEBUG",
            "CI",
            "PATH",
            "a-b",
            "",
        ] {
            assert!(variable(name).is_err(), "{name}");
        }
        for name in ["user", "db-user", "_x1"] {
            assert_eq!(output(name), Ok(()), "{name}");
        }
        for name in ["", "1a", "a b", "a<<b", "a=b", "a\nb", "ä", "-a"] {
            assert!(output(name).is_err(), "{name}");
        }
    }
}
