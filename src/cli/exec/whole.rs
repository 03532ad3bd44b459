//! `[PREFIX=]PATH`: every field of a secret, each in a variable of its own.

use std::str::FromStr;

use zeroize::Zeroizing;

use crate::cli::address::Address;
use crate::cli::exec::environment;
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::{Fetched, Value};
use crate::cli::format::names::upper;

/// A secret of which every field is wanted, and what the names of the variables begin with.
#[derive(Debug, Clone)]
pub struct Whole {
    prefix: String,
    pub(in crate::cli) address: Address,
}

impl FromStr for Whole {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, address) = text.split_once('=').unwrap_or(("", text));
        let address: Address = address.parse()?;
        if address.field.is_some() {
            return Err("for one field it is --env NAME=PATH#field");
        }
        // What may stand before a field's name may stand alone, too.
        if !prefix.is_empty() && environment::check(prefix).is_err() {
            return Err("write [PREFIX=]PATH, with a prefix of letters, digits and _");
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            address,
        })
    }
}

impl Whole {
    /// The variables for what was found there.
    pub(super) fn variables(
        &self,
        found: &Fetched,
    ) -> Result<Vec<(String, Zeroizing<String>)>, Failure> {
        let variable = |(field, value): (&String, &Value)| {
            let name = format!("{}{}", self.prefix, upper(field));
            environment::check(&name).map_err(|why| {
                let path = found.path.full();
                let what = format!("{path}#{field:?} cannot go into {name:?}: {why}");
                Failure::new(Exit::Usage, what)
                    .hint("give a prefix, --env-from PREFIX=PATH, or name fields with --env")
            })?;
            Ok((name, value.text()))
        };
        found.values.iter().map(variable).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_whole_and_may_have_a_prefix() {
        for (text, prefix, address) in [
            ("app/db", "", "app/db"),
            ("DB_=app/db@3", "DB_", "app/db@3"),
            ("=app/a=b", "", "app/a=b"),
        ] {
            let whole: Whole = text.parse().unwrap();
            assert_eq!(whole.prefix, prefix, "{text}");
            assert_eq!(whole.address, address.parse().unwrap(), "{text}");
        }
        for wrong in [
            "",
            "DB_=",
            "app/db#user",
            "A-B=app/db",
            "2=app/db",
            "LD_=app/db",
        ] {
            assert!(wrong.parse::<Whole>().is_err(), "{wrong}");
        }
    }
}
