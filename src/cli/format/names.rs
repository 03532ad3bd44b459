//! Names of variables, made of names of fields.

use std::collections::BTreeSet;

use clap::ValueEnum;

use crate::cli::exec::environment;
use crate::cli::exit::{Exit, Failure};

/// How a field's name becomes a variable's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// In capital letters, with _ for what else is no digit: db-password becomes `DB_PASSWORD`
    Upper,
    /// As it is
    AsIs,
}

/// The variables for these fields, in their order.
///
/// # Errors
/// For a name that no variable has, that decides what programs do, or that two fields get.
pub(super) fn variables<'n>(
    fields: impl Iterator<Item = &'n String>,
    prefix: &str,
    names: Names,
) -> Result<Vec<String>, Failure> {
    let mut seen = BTreeSet::new();
    let mut all = vec![];
    for field in fields {
        let name = match names {
            Names::Upper => upper(field),
            Names::AsIs => field.clone(),
        };
        let name = format!("{prefix}{name}");
        environment::check(&name).map_err(|why| {
            let what = format!("field {field:?} cannot become the variable {name:?}: {why}");
            Failure::new(Exit::Usage, what).hint("--prefix and --names change the name")
        })?;
        if !seen.insert(name.clone()) {
            let what = format!("two fields would become the variable {name}");
            return Err(Failure::new(Exit::Usage, what).hint("ask for them one by one, with #"));
        }
        all.push(name);
    }
    Ok(all)
}

/// In capital letters, with _ for what else is no digit.
pub(in crate::cli) fn upper(field: &str) -> String {
    let sign = |sign: char| {
        if sign.is_ascii_alphanumeric() {
            sign.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    field.chars().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(fields: &[&str], prefix: &str, names: Names) -> Result<Vec<String>, Failure> {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        variables(fields.iter(), prefix, names)
    }

    #[test]
    fn fields_become_variables() {
        assert_eq!(
            named(&["db-password", "Ünit.x"], "", Names::Upper).unwrap(),
            ["DB_PASSWORD", "_NIT_X"]
        );
        assert_eq!(named(&["user"], "db_", Names::AsIs).unwrap(), ["db_user"]);
        assert_eq!(named(&["2fa"], "X", Names::Upper).unwrap(), ["X2FA"]);
    }

    #[test]
    fn what_becomes_no_variable_is_refused() {
        for (fields, names, said) in [
            (&["a-b"][..], Names::AsIs, "\"a-b\""),
            (&["2fa"], Names::Upper, "\"2FA\""),
            (&["ld_preload"], Names::Upper, "LD_PRELOAD"),
            (&["a.b", "a-b"], Names::Upper, "two fields"),
        ] {
            let failure = named(fields, "", names).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.what.contains(said), "{failure}");
            assert!(failure.hint.is_some(), "{failure}");
        }
    }
}
