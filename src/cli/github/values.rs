//! Everything that one step asks for, read at once.

use zeroize::Zeroizing;

use super::GithubArgs;
use super::selector::Selector;
use crate::cli::address::Address;
use crate::cli::approvals::until_granted;
use crate::cli::client::Socket;
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::{fetch, reads};

/// Values with names, in the order in which they were asked for.
#[derive(Default)]
pub(super) struct Listed(pub(super) Vec<(String, Zeroizing<String>)>);

impl Listed {
    pub(super) fn add(&mut self, name: String, value: Zeroizing<String>) -> Result<(), Failure> {
        if self.0.iter().any(|(other, _)| *other == name) {
            return Err(Failure::new(Exit::Usage, format!("{name} is given twice"))
                .hint("give one of them another name"));
        }
        self.0.push((name, value));
        Ok(())
    }
}

/// All that is handed over.
#[derive(Default)]
pub(super) struct Values {
    pub(super) variables: Listed,
    pub(super) outputs: Listed,
    pub(super) files: Listed,
}

/// Reads everything, once others have agreed where that is waited for.
pub(super) async fn read(
    arguments: &GithubArgs,
    selectors: &[Selector],
) -> Result<Values, Failure> {
    let socket = arguments.common.socket()?;
    let (variables, outputs) = (&arguments.variables, &arguments.outputs);
    let named = variables.iter().chain(outputs).chain(&arguments.files);
    let mut addresses: Vec<Address> = named.map(|named| named.address.clone()).collect();
    for selector in selectors {
        addresses.push(selector.address(&socket).await?);
    }
    wait(arguments, &socket, &addresses).await?;
    let mut fetched = fetch(&socket, &addresses).await?.into_iter();
    let mut values = Values::default();
    for (list, named) in [
        (&mut values.variables, variables),
        (&mut values.outputs, outputs),
        (&mut values.files, &arguments.files),
    ] {
        for (named, found) in named.iter().zip(&mut fetched) {
            list.add(named.name.clone(), found.text()?)?;
        }
    }
    for (selector, found) in selectors.iter().zip(fetched) {
        for (field, value) in &found.values {
            let called = selector.names(field)?;
            if !arguments.no_variables {
                values.variables.add(called.variable, value.text())?;
            }
            values.outputs.add(called.output, value.text())?;
        }
    }
    Ok(values)
}

async fn wait(
    arguments: &GithubArgs,
    socket: &Socket,
    addresses: &[Address],
) -> Result<(), Failure> {
    let Some(patience) = arguments.wait else {
        return Ok(());
    };
    let reason = match &arguments.reason {
        Some(reason) => reason.clone(),
        None => arguments.job.reason(),
    };
    let wanted: Vec<String> = reads(addresses).iter().map(Address::to_string).collect();
    until_granted(socket, &wanted, &reason, patience).await
}
