//! Records as rows of a table (RFC 4180).

use serde_json::{Map, Value};

use crate::cli::audit::record::Record;

/// The columns; what is in none of them is in the last, as JSON.
const COLUMNS: [&str; 24] = [
    "seq",
    "time",
    "event",
    "allowed",
    "reason",
    "id",
    "caller",
    "chat",
    "uid",
    "gid",
    "pid",
    "executable",
    "unit",
    "container",
    "pod",
    "socket",
    "action",
    "path",
    "field",
    "version",
    "delivery",
    "policies",
    "vault_role",
    "lease",
];
/// That one.
const REST: &str = "more";
/// In no column: they make the chain, which a table is not.
const CHAIN: [&str; 2] = ["prev", "hash"];

/// The first row.
pub(super) fn head() -> String {
    join(COLUMNS.iter().chain([&REST]).map(|name| (*name).to_owned()))
}

/// The row of a record.
pub(super) fn row(record: &Record) -> String {
    let rest: Map<String, Value> = record
        .0
        .iter()
        .filter(|(name, _)| !COLUMNS.contains(&name.as_str()) && !CHAIN.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let rest = if rest.is_empty() {
        String::new()
    } else {
        Value::from(rest).to_string()
    };
    let cells = COLUMNS.iter().map(|name| record.shown(name));
    join(cells.chain([rest]))
}

fn join(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| quoted(&cell)).collect();
    cells.join(",") + "\r\n"
}

/// A cell that no spreadsheet calculates: what would begin a formula comes after an apostrophe.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if formula {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if formula || text.contains([',', '"', '\r', '\n', ';', '\t']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, wanted) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "\"a\nb\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
        ] {
            assert_eq!(quoted(cell), wanted, "{cell:?}");
        }
    }

    #[test]
    fn a_row_has_every_column_and_the_rest() {
        let record = Record::read(
            br#"{"seq":1,"time":"t","event":"decided","policies":["a","b"],"path":"p","prev":"x","hash":"y","ttl":5}"#,
        );
        let row = row(&record.unwrap());
        assert!(row.starts_with("1,t,decided,"), "{row}");
        assert!(
            row.ends_with(",p,,,,a b,,,\"{\"\"ttl\"\":5}\"\r\n"),
            "{row}"
        );
        assert_eq!(head().matches(',').count(), COLUMNS.len());
    }
}
