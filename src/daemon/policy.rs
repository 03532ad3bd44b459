//! `vaultgram policy …`: reads what decides who gets what, and nothing else.

use std::io::Write;
use std::path::Path;

use crate::broker::ports::{Clock, SystemClock};
use crate::cli::exit::{Exit, Failure};
use crate::cli::policy::{self, PolicyCommand, Standing, ValidateArgs};
use crate::config::RulesConfig;
use crate::daemon::policies;

/// Runs a command about policies.
///
/// # Errors
/// With the exit codes that the command's help lists.
pub fn policy(command: &PolicyCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        PolicyCommand::Schema => policy::schema(out),
        PolicyCommand::Validate(arguments) => validate(arguments, out),
        PolicyCommand::Explain(arguments) => {
            let rules = load(&arguments.config.config)?;
            policy::explain(arguments, standing(&rules), out)
        }
        PolicyCommand::Test(arguments) => {
            let rules = load(&arguments.config.config)?;
            policy::test(arguments, standing(&rules), out)
        }
    }
}

fn load(file: &Path) -> Result<RulesConfig, Failure> {
    RulesConfig::load(file).map_err(|error| Failure::new(Exit::Config, error))
}

fn standing(rules: &RulesConfig) -> Standing<'_> {
    Standing {
        policy: &rules.policy,
        mounts: &rules.hangs_on.mounts,
        now: SystemClock.now(),
    }
}

fn validate(arguments: &ValidateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let paths = (!arguments.paths.is_empty()).then(|| arguments.paths.clone());
    let loaded = RulesConfig::load_with(&arguments.config.config, paths);
    let any_action = |rules: &RulesConfig| rules.policy.for_any_action();
    let printed = if arguments.json {
        let answer = match &loaded {
            Ok(rules) => serde_json::json!({
                "correct": true,
                "policies": rules.policy.len(),
                "hash": rules.hash,
                "permit_every_action": any_action(rules),
                "problems": [],
            }),
            Err(error) => serde_json::json!({ "correct": false, "problems": error.0 }),
        };
        writeln!(out, "{answer}")
    } else if let Ok(rules) = &loaded {
        let mut lines: Vec<String> = any_action(rules)
            .iter()
            .map(|name| {
                format!("warning: {name} permits every action, so writing and deleting too")
            })
            .collect();
        lines.push(format!("{}, correct", policies(rules.policy.len())));
        writeln!(out, "{}", lines.join("\n"))
    } else {
        Ok(())
    };
    printed
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")))?;
    match loaded {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(Exit::Config, error)),
    }
}
