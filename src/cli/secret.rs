//! A secret as the socket answers it, and as the command line prints it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::api::{Envelope, KvVersion};
use crate::cli::address::Kind;
use crate::cli::client::Answer;
use crate::cli::exit::{Exit, Failure};
use crate::cli::format::FormatArgs;
use crate::cli::show::{self, Values};
use crate::domain::signs::one_line;

/// A secret, borrowed from the answer.
pub(super) struct Told<'b> {
    pub(super) values: Values<'b>,
    /// Its number, and when it was written.
    pub(super) version: Option<(u64, String)>,
    pub(super) lease: Option<Lease>,
    warnings: Option<Vec<String>>,
}

/// What values hang on.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) id: String,
    /// Seconds.
    pub(super) duration: u64,
    pub(super) renewable: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<&'a [String]>,
    data: &'a BTreeMap<String, &'a RawValue>,
}

/// How values are printed.
pub(super) struct Style<'a> {
    /// One JSON object, in which the path is told where it is known.
    pub(super) json: bool,
    /// In another form, if one is named there.
    pub(super) format: &'a FormatArgs,
    /// The path.
    pub(super) path: Option<&'a str>,
    /// The one field that was asked for.
    pub(super) field: Option<&'a str>,
    /// Whether a terminal shows it.
    pub(super) terminal: bool,
}

impl<'b> Told<'b> {
    /// What a mount of that kind answers.
    pub(super) fn of(kind: Kind, answer: &'b Answer) -> Result<Self, Failure> {
        match kind {
            Kind::Kv2 => Self::version(answer),
            Kind::Kv1 | Kind::Engine => Self::plain(answer),
        }
    }

    /// What a mount of KV version 2 answers.
    fn version(answer: &'b Answer) -> Result<Self, Failure> {
        let envelope: Envelope<KvVersion<Values<'b>>> =
            serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
        let metadata = envelope.data.metadata;
        Ok(Self {
            values: envelope.data.data,
            version: Some((metadata.version, metadata.created_time)),
            lease: None,
            warnings: envelope.warnings,
        })
    }

    /// What every other mount answers; nothing, where an engine has nothing to say.
    pub(super) fn plain(answer: &'b Answer) -> Result<Self, Failure> {
        if answer.body.is_empty() {
            return Ok(Self {
                values: Values(BTreeMap::new()),
                version: None,
                lease: None,
                warnings: None,
            });
        }
        let envelope: Envelope<Values<'b>> =
            serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
        let lease = Lease {
            id: envelope.lease_id,
            duration: envelope.lease_duration,
            renewable: envelope.renewable,
        };
        Ok(Self {
            values: envelope.data,
            version: None,
            lease: (!lease.id.is_empty()).then_some(lease),
            warnings: envelope.warnings,
        })
    }

    /// Either: only a version has metadata beside its data.
    pub(super) fn any(answer: &'b Answer) -> Result<Self, Failure> {
        Self::version(answer).or_else(|_| Self::plain(answer))
    }

    /// As the text for `style`; what is to be known beside it goes to standard error.
    pub(super) fn print(
        &self,
        style: &Style<'_>,
        answer: &Answer,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut text = Zeroizing::new(Vec::with_capacity(answer.body.len() + 256));
        let lease = self.lease.as_ref();
        if style.json {
            let printed = Printed {
                path: style.path,
                version: self.version.as_ref().map(|(number, _)| *number),
                created_time: self.version.as_ref().map(|(_, created)| created.as_str()),
                age: answer.age,
                lease_id: lease.map(|lease| lease.id.as_str()),
                lease_duration: lease.map(|lease| lease.duration),
                renewable: lease.map(|lease| lease.renewable),
                warnings: self.warnings.as_deref(),
                data: &self.values.0,
            };
            serde_json::to_writer(&mut *text, &printed).map_err(|_| not_understood())?;
            text.push(b'\n');
        } else if let Some(format) = style.format.format {
            style.format.write(format, &self.values, &mut text)?;
        } else if let Some(field) = style.field {
            let value = self.values.0.get(field).ok_or_else(not_understood)?;
            show::single(value, style.terminal, &mut text);
        } else {
            show::table(&self.values, &mut text);
        }
        self.remark(style);
        Ok(text)
    }

    /// As [`Told::print`], but one value alone is printed as it is.
    pub(super) fn print_compact(
        &self,
        style: &Style<'_>,
        answer: &Answer,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if style.json || style.format.format.is_some() {
            return self.print(style, answer);
        }
        let mut text = Zeroizing::new(Vec::with_capacity(answer.body.len() + 256));
        show::values(&self.values, style.terminal, &mut text);
        self.remark(style);
        Ok(text)
    }

    /// For people, beside the values. Where it cannot be said, the values still count.
    fn remark(&self, style: &Style<'_>) {
        show::warnings(self.warnings.as_deref());
        if let Some(lease) = self.lease.as_ref().filter(|_| !style.json) {
            let (id, seconds) = (one_line(&lease.id), lease.duration);
            drop(writeln!(
                io::stderr(),
                "note: it ends in {seconds} s, with the lease {id}"
            ));
        }
    }
}

pub(super) fn not_understood() -> Failure {
    Failure::new(Exit::Unavailable, "the answer is not vaultgram's")
        .hint("is --socket the socket of a vaultgram, of this version?")
}
