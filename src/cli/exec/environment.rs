//! `NAME=PATH#field`, and which environment variables a secret may go into.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::cli::address::Address;
use crate::cli::exit::{Exit, Failure};
use crate::domain::signs::one_line;

/// Longest name taken, in bytes.
const LONGEST: usize = 255;

/// They decide what a program loads, runs or reads first: whoever may write a secret would decide
/// that too.
const DECIDING: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "BROWSER",
    "CARGO_HOME",
    "CC",
    "CLASSPATH",
    "CXX",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GEM_HOME",
    "GEM_PATH",
    "GLIBC_TUNABLES",
    "GOFLAGS",
    "GOROOT",
    "HOME",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LESSCLOSE",
    "LESSOPEN",
    "LOCPATH",
    "LUA_INIT",
    "MAKEFLAGS",
    "MANPAGER",
    "MAVEN_OPTS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "OPENSSL_CONF",
    "PAGER",
    "PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PROMPT_COMMAND",
    "PS1",
    "PS4",
    "PSQLRC",
    "PYTHONBREAKPOINT",
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
    "RUBYLIB",
    "RUBYOPT",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "SHELL",
    "SHELLOPTS",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "VISUAL",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

/// The same, for the dynamic linker, for programs with many such, and for where secrets come from.
const DECIDING_BEGINNINGS: &[&str] = &[
    "BAO_",
    "CARGO_BUILD_",
    "CARGO_TARGET_",
    "DOTNET_",
    "DYLD_",
    "GIT_",
    "LD_",
    "NPM_CONFIG_",
    "VAULTGRAM_",
    "VAULT_",
];

/// A value, and what it is to be called: `NAME=PATH#field[@version]`.
#[derive(Debug, Clone)]
pub struct Named {
    pub(in crate::cli) name: String,
    pub(in crate::cli) address: Address,
}

impl FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = text.split_once('=').ok_or("write NAME=PATH#field")?;
        let address: Address = address.parse()?;
        if address.field.is_none() {
            return Err("name one field of the secret: NAME=PATH#field");
        }
        Ok(Self {
            name: name.to_owned(),
            address,
        })
    }
}

/// Refuses names that `check` has something against, and what is named twice.
pub(in crate::cli) fn check_all<'n>(
    named: impl IntoIterator<Item = &'n Named>,
    check: fn(&str) -> Result<(), &'static str>,
) -> Result<(), Failure> {
    let mut before = BTreeSet::new();
    for Named { name, .. } in named {
        let shown = one_line(name);
        if let Err(advice) = check(name) {
            let what = format!("a secret cannot go into \"{shown}\"");
            return Err(Failure::new(Exit::Usage, what).hint(advice));
        }
        if !before.insert(name) {
            return Err(Failure::new(Exit::Usage, format!("{shown} is given twice")));
        }
    }
    Ok(())
}

/// Whether a secret may go into the variable `name`, and why not.
pub(in crate::cli) fn check(name: &str) -> Result<(), &'static str> {
    let letter = |sign: char| sign.is_ascii_alphabetic() || sign == '_';
    if !name.starts_with(letter)
        || !name
            .chars()
            .all(|sign| letter(sign) || sign.is_ascii_digit())
        || name.len() > LONGEST
    {
        return Err("a name is made of letters, digits and _, and begins with no digit");
    }
    // A case of its own does not make another variable everywhere.
    let upper = name.to_ascii_uppercase();
    let begins = |beginning: &&str| upper.starts_with(beginning);
    if DECIDING.contains(&upper.as_str()) || DECIDING_BEGINNINGS.iter().any(begins) {
        return Err("it decides what programs load or run: choose another name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_field_with_a_name() {
        let named: Named = "DB=secret/a=b#x=y@3".parse().unwrap();
        assert_eq!(named.name, "DB");
        assert_eq!(named.address, "secret/a=b#x=y@3".parse().unwrap());
        for wrong in ["", "DB", "DB=", "DB=a", "DB=a@1", "DB=a#", "DB=#x"] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_that_decide_what_runs_are_refused() {
        for name in ["A", "_", "DB_PASSWORD", "db2", &"x".repeat(255)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        let long = "x".repeat(256);
        for name in [
            "",
            "2A",
            "A-B",
            "A B",
            "A=B",
            "Ä",
            "A\n",
            "A\0",
            "PATH",
            "path",
            "LD_PRELOAD",
            "ld_anything",
            "DYLD_X",
            "NODE_OPTIONS",
            "BASH_ENV",
            &long,
        ] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
