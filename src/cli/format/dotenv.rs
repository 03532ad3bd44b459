//! `.env`: of all the ways to write a value down, the one that every reader takes alike.
//!
//! Python's and Ruby's readers know escapes between single quotes, which node's and a shell do not;
//! Python's replaces `${NAME}` even there, and node's `$NAME`. So a value with a quote, a backslash,
//! a dollar or a line end is refused, not written in a way that some would read wrongly.

use super::{Unfit, Variable};

/// What readers disagree on between single quotes.
const DOUBTFUL: &[char] = &['\'', '\\', '$', '\n', '\r', '\0'];

pub(super) fn write(variables: &[Variable], text: &mut Vec<u8>) -> Result<(), Unfit> {
    for variable in variables {
        if variable.value.contains(DOUBTFUL) {
            return Err(variable.unfit(
                "programs would not all read the value alike from a .env file, for it holds a \
                 quote, a backslash, a dollar sign or a line end",
                "use --format export in a shell, or vaultgram exec",
            ));
        }
        for part in [&variable.name, "='", &variable.value, "'\n"] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use crate::cli::exit::Exit;
    use crate::cli::format::Format;
    use crate::cli::format::tests::{json, printed, text};

    #[test]
    fn values_stand_between_single_quotes() {
        let shown = printed(r#"{"a":"x \" # é","n":1.50}"#, Format::Dotenv, "P_");
        assert_eq!(shown.unwrap(), "P_A='x \" # é'\nP_N='1.50'\n");
        for value in ["'", "\\", "$", "\n", "\r", "\0"] {
            let fields = BTreeMap::from([("a".to_owned(), format!("hunter2{value}").into())]);
            let failure = printed(&json(&fields), Format::Dotenv, "").unwrap_err();
            assert_eq!(failure.exit, Exit::Data, "{value:?}");
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_line_by_line(
            values in proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,9}", text(), 0..4)
        ) {
            let fields = values.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            let Ok(written) = printed(&json(&fields.collect()), Format::Dotenv, "P_") else {
                return Ok(());
            };
            let read: BTreeMap<String, String> = written
                .split_terminator('\n')
                .map(|line| {
                    let (name, value) = line.split_once('=').unwrap();
                    let value = value.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap();
                    (name.strip_prefix("P_").unwrap().to_owned(), value.to_owned())
                })
                .collect();
            prop_assert_eq!(read, values);
        }
    }
}
