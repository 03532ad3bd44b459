//! Which records are meant: by who, what and when. And reading them, rotated files first.

use std::io;
use std::path::PathBuf;

use clap::Args;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

use crate::audit::series::{self, each_line};
use crate::cli::audit::record::Record;
use crate::cli::audit::{Ended, unread};
use crate::cli::exit::{Exit, Failure};
use crate::domain::span;

/// As records have it, so that times compare as text.
const TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const DAY: &[BorrowedFormatItem<'static>] = format_description!("[year]-[month]-[day]");

/// What is looked for. All of it must hold.
#[derive(Debug, Args)]
pub(super) struct Select {
    /// The audit file, before which those rotated away from it are read; or a folder
    #[arg(default_value = "audit.jsonl", value_name = "FILE")]
    file: PathBuf,
    /// Who asked, such as telegram:1001 or uid:990
    #[arg(long, value_name = "CALLER")]
    caller: Option<String>,
    /// What for: a path, or a folder with all in it
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// What happened, such as decided or released; can be repeated
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// The request
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Not before: a time (2026-11-21T08:00:00Z), a day (2026-11-21), or so long ago (90s, 30m, 8h, 2d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Before: as --since
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
}

impl Select {
    fn wants(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, name| {
            wanted
                .as_deref()
                .is_none_or(|wanted| record.text(name) == wanted)
        };
        let (time, path) = (record.text("time"), record.text("path"));
        let inside = |folder: &str| {
            let rest = path.strip_prefix(folder.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        is(&self.caller, "caller")
            && is(&self.id, "id")
            && self.path.as_deref().is_none_or(inside)
            && (self.events.is_empty() || self.events.iter().any(|it| it == record.text("event")))
            && self.since.as_deref().is_none_or(|since| time >= since)
            && self.until.as_deref().is_none_or(|until| time < until)
    }

    /// Hands each record that is meant, and its line, to `take`.
    ///
    /// # Errors
    /// As `take`; when a file cannot be read; and, after all was read, when something there was no
    /// record.
    pub(super) fn each(
        &self,
        mut take: impl FnMut(&Record, &[u8]) -> Result<(), Ended>,
    ) -> Result<(), Ended> {
        let parts = series::with_rotated(&self.file).map_err(|error| unread(&self.file, &error))?;
        let mut strange = None;
        for part in parts {
            let (mut number, mut ended) = (0, Ok(()));
            let reader = part.reader().map_err(|error| unread(&part.path, &error))?;
            let read = each_line(reader, |line| {
                number += 1;
                match Record::read(line) {
                    Some(record) if self.wants(&record) => ended = take(&record, line),
                    Some(_) => {}
                    None => {
                        strange.get_or_insert_with(|| (part.path.clone(), number));
                    }
                }
                ended.is_ok()
            });
            ended?;
            read.map_err(|error| unread(&part.path, &error))?;
        }
        match strange {
            None => Ok(()),
            Some((path, line)) => Err(Ended::Failed(strange_line(&path, line))),
        }
    }
}

fn strange_line(path: &std::path::Path, line: u64) -> Failure {
    Failure::new(
        Exit::Data,
        format!("{}: line {line}: not a record", path.display()),
    )
    .hint("check the audit: vaultgram audit verify")
}

/// A moment as records have it.
fn moment(text: &str) -> Result<String, String> {
    let wrong = || {
        "write a time (2026-11-21T08:00:00Z), a day (2026-11-21), or how long ago (30m, 8h, 2d)"
            .to_owned()
    };
    let at = if let Some(ago) = span::read(text) {
        ago.try_into().ok().and_then(|ago| now().checked_sub(ago))
    } else if let Ok(day) = Date::parse(text, DAY) {
        Some(day.midnight().assume_utc())
    } else {
        OffsetDateTime::parse(text, &Rfc3339).ok()
    };
    let text = at.and_then(|at| at.to_offset(UtcOffset::UTC).format(TIME).ok());
    text.ok_or_else(wrong)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what --since 2h counts from; the command line has no port for a clock"
)]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// What a reader of lines failed with, for `tail`.
pub(super) fn failed(path: &std::path::Path) -> impl Fn(io::Error) -> Ended {
    move |error| Ended::Failed(unread(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        assert_eq!(moment("2026-11-21").unwrap(), "2026-11-21T00:00:00.000Z");
        assert_eq!(
            moment("2026-11-21T09:00:00.25+01:00").unwrap(),
            "2026-11-21T08:00:00.250Z"
        );
        assert!(moment("2h").unwrap() < moment("1m").unwrap());
        for text in ["", "yesterday", "2026-13-01", "-2h", "99999999999999d"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn folders_end_at_a_slash() {
        let select = |path: &str| Select {
            file: PathBuf::new(),
            caller: None,
            path: Some(path.to_owned()),
            events: vec![],
            id: None,
            since: None,
            until: None,
        };
        let record = Record::read(br#"{"seq":1,"time":"t","path":"secret/app/db"}"#).unwrap();
        for (path, wanted) in [
            ("secret/app", true),
            ("secret/app/", true),
            ("secret/app/db", true),
            ("secret/ap", false),
            ("secret/app/db/x", false),
        ] {
            assert_eq!(select(path).wants(&record), wanted, "{path}");
        }
    }
}
