//! What the commands that change secrets share: a question before, and a word after.

use std::io::{self, BufRead, IsTerminal, Write};

use hyper::StatusCode;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::api::{Envelope, KvMetadata};
use crate::cli::address::{Kind, MountedPath, explain};
use crate::cli::client::Answer;
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::not_understood;
use crate::cli::show;

/// Longest answer to a question, in bytes.
const MAX_ANSWER: u64 = 64;

/// Whether somebody is there to be asked.
pub(super) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks, unless `yes` was said before or nobody is there.
///
/// # Errors
/// When the answer is no; and when nobody said yes to what cannot be undone (`for_good`).
pub(super) fn confirm(question: &str, yes: bool, for_good: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !somebody_is_there() {
        let unasked = Failure::new(
            Exit::Usage,
            "this cannot be undone, and nobody can be asked",
        );
        return if for_good {
            Err(unasked.hint("add --yes"))
        } else {
            Ok(())
        };
    }
    // Where it is not heard, the answer is no.
    drop(write!(io::stderr(), "{question} [y/N] "));
    let mut answer = String::new();
    let read = io::stdin().lock();
    drop(io::Read::take(read, MAX_ANSWER).read_line(&mut answer));
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new(Exit::Cancelled, "nothing is changed"))
    }
}

/// What `--json` prints of a secret that was written.
#[derive(Serialize)]
struct Written<'a> {
    path: &'a str,
    version: Option<u64>,
    created_time: Option<&'a str>,
}

/// Says what was written to `path`. `how`: in a person's words.
pub(super) fn written(
    path: &MountedPath,
    how: &str,
    answer: &Answer,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let made: Option<Envelope<KvMetadata>> = match answer.status {
        StatusCode::OK => Some(serde_json::from_slice(&answer.body).map_err(|_| not_understood())?),
        StatusCode::NO_CONTENT => None,
        _ => return Err(explain(answer)),
    };
    let (full, made) = (path.full(), made.map(|envelope| envelope.data));
    if json {
        let written = Written {
            path: &full,
            version: made.as_ref().map(|made| made.version),
            created_time: made.as_ref().map(|made| made.created_time.as_str()),
        };
        return show::json(&written, out);
    }
    let version = made.map(|made| format!(", as version {}", made.version));
    show::line(&format!("{full} {how}{}", version.unwrap_or_default()), out)
}

/// What `--json` prints of a version that was deleted and the like.
#[derive(Serialize)]
struct Gone<'a> {
    path: &'a str,
    version: Option<u64>,
    done: bool,
}

/// Says what was done to `path`, by an answer without content.
pub(super) fn done(
    path: &MountedPath,
    version: Option<u64>,
    text: &str,
    answer: &Answer,
    (json, out): (bool, &mut dyn Write),
) -> Result<(), Failure> {
    if answer.status != StatusCode::NO_CONTENT {
        return Err(explain(answer));
    }
    let full = path.full();
    if json {
        let gone = Gone {
            path: &full,
            version,
            done: true,
        };
        return show::json(&gone, out);
    }
    show::line(text, out)
}

/// The body that writes `fields`, a JSON object, to `path`; where it has versions,
/// only over version `over`, if one is named.
pub(super) fn body(
    path: &MountedPath,
    fields: Zeroizing<Vec<u8>>,
    over: Option<u64>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match (path.kind, over) {
        (Kind::Kv2, _) => {}
        (Kind::Kv1, None) => return Ok(fields),
        (Kind::Kv1, Some(_)) => {
            let what = format!("\"{}\" keeps no versions", path.mount);
            return Err(Failure::new(Exit::Usage, what).hint("leave --cas and --new out"));
        }
        (Kind::Engine, _) => return Err(engine(path)),
    }
    let options = over.map_or_else(String::new, |over| {
        format!(r#","options":{{"cas":{over}}}"#)
    });
    // In full from the beginning, so that it does not move.
    let mut body = Zeroizing::new(Vec::with_capacity(fields.len() + options.len() + 16));
    body.extend_from_slice(br#"{"data":"#);
    body.extend_from_slice(&fields);
    body.extend_from_slice(options.as_bytes());
    body.push(b'}');
    Ok(body)
}

/// The failure of a command that is about secrets which are kept.
pub(super) fn engine(path: &MountedPath) -> Failure {
    let what = format!("\"{}\" is an engine, which keeps no secrets", path.mount);
    Failure::new(Exit::Usage, what).hint("`vaultgram invoke` asks an engine to do something")
}
