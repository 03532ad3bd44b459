//! The parts of a request's target: a path and a query without their encoding, taken strictly. Pure.

use std::collections::BTreeMap;

use hyper::StatusCode;

use crate::http::error::Refusal;

/// Most parameters a query may have.
const MAX_PARAMETERS: usize = 16;

/// Parameters of Vault's `sys/health` that ask about standbys: there are none here.
const STANDBY_PARAMETERS: [&str; 7] = [
    "standbyok",
    "perfstandbyok",
    "standbycode",
    "drsecondarycode",
    "performancestandbycode",
    "haunhealthycode",
    "removedcode",
];

/// The statuses `sys/health` answers with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HealthCodes {
    pub(super) active: StatusCode,
    pub(super) sealed: StatusCode,
    pub(super) uninitialized: StatusCode,
}

/// A part of a sorted list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Only what comes after this.
    pub(super) after: String,
    /// At most so many.
    pub(super) limit: Option<usize>,
}

impl Page {
    /// Leaves of `names`, which are sorted, those of this page.
    pub(super) fn cut(&self, names: &mut Vec<String>) {
        names.retain(|name| *name > self.after);
        names.truncate(self.limit.unwrap_or(usize::MAX));
    }
}

/// A path without its percent-encoding. A slash must not hide behind one.
pub(super) fn decode_path(text: &str) -> Result<String, Refusal> {
    decode(text, |byte| match byte {
        b'/' => Err(Refusal::bad_request("the path holds an encoded slash")),
        byte => Ok(byte),
    })
}

/// Takes percent-encoding away; `check` sees each byte that was encoded.
fn decode(text: &str, check: impl Fn(u8) -> Result<u8, Refusal>) -> Result<String, Refusal> {
    let broken = || Refusal::bad_request("broken percent-encoding");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || {
                bytes
                    .next()
                    .and_then(|digit| char::from(digit).to_digit(16))
            };
            let (high, low) = digit().zip(digit()).ok_or_else(broken)?;
            let value = u8::try_from(high * 16 + low).map_err(|_| broken())?;
            decoded.push(check(value)?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).map_err(|_| broken())
}

/// The parameters of a query; each is taken once, and what is left over is an error.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut parameters = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| decode(&text.replace('+', " "), Ok);
            if parameters.insert(plain(name)?, plain(value)?).is_some() {
                return Err(Refusal::bad_request("a query parameter is given twice"));
            }
            if parameters.len() > MAX_PARAMETERS {
                return Err(Refusal::bad_request("too many query parameters"));
            }
        }
        Ok(Self(parameters))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A yes or no, in the forms that Vault knows.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(Some(false)),
            Some(_) => Err(Refusal::bad_request(format!("{name}: true or false"))),
        }
    }

    /// Which part of a list is wanted, in `OpenBao`'s words: a limit below 1 is none.
    pub(super) fn page(&mut self) -> Result<Page, Refusal> {
        let limit = self.take("limit").map(|text| text.parse::<i64>());
        let limit = limit
            .transpose()
            .map_err(|_| Refusal::bad_request("limit: not a whole number"))?;
        Ok(Page {
            after: self.take("after").unwrap_or_default(),
            limit: limit
                .and_then(|limit| usize::try_from(limit).ok())
                .filter(|limit| *limit > 0),
        })
    }

    pub(super) fn health_codes(&mut self) -> Result<HealthCodes, Refusal> {
        for name in STANDBY_PARAMETERS {
            self.take(name);
        }
        let mut code = |name: &str, default| match self.take(name) {
            None => Ok(default),
            Some(text) => text
                .parse::<u16>()
                .ok()
                .filter(|code| (200..600).contains(code))
                .and_then(|code| StatusCode::from_u16(code).ok())
                .ok_or_else(|| Refusal::bad_request(format!("{name}: not a status code"))),
        };
        Ok(HealthCodes {
            active: code("activecode", StatusCode::OK)?,
            sealed: code("sealedcode", StatusCode::SERVICE_UNAVAILABLE)?,
            uninitialized: code("uninitcode", StatusCode::NOT_IMPLEMENTED)?,
        })
    }

    /// Refuses parameters nobody took: what a caller means by them must not be ignored.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Refusal::bad_request(
            "unknown query parameter; known are field, and version where there are versions",
        ))
    }
}
