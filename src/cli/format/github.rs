//! Lines for the file that `$GITHUB_ENV` names. What is to be hidden goes to standard error, which a
//! runner reads too, before there is a line to print.

use std::io::{self, Write};

use zeroize::Zeroizing;

use super::Variable;
use crate::cli::exit::{Exit, Failure};
use crate::cli::github::{self, Masks};

pub(super) fn write(variables: &[Variable], text: &mut Vec<u8>) -> Result<(), Failure> {
    let mut masks = Masks::default();
    let mut lines = Zeroizing::new(String::new());
    for Variable { name, value } in variables {
        github::variable(name).map_err(|why| {
            let what = format!("a secret cannot go into {name}: {why}");
            Failure::new(Exit::Usage, what).hint("--prefix changes the name")
        })?;
        github::add(&mut lines, name, value, &mut masks)?;
    }
    let mut runner = io::stderr();
    runner
        .write_all(github::hiding(&masks).as_bytes())
        .and_then(|()| runner.flush())
        .map_err(|error| Failure::new(Exit::Io, format!("standard error: {error}")))?;
    text.extend_from_slice(lines.as_bytes());
    Ok(())
}
