//! What an answer of GitHub's that is no success means.

use serde::Deserialize;
use tracing::warn;

use crate::actions::github::wire::Answer;
use crate::broker::ports::pipelines::PipelineError;
use crate::domain::signs::one_line;

/// The longest of GitHub's words that are passed on, in characters.
const MAX_WORDS: usize = 200;

/// What `answer` means to who asked for `what` (`workflow`, `run`).
pub(super) fn of(answer: &Answer, what: &'static str) -> PipelineError {
    match answer.status {
        401 => PipelineError::LoggedOut,
        403 => PipelineError::Forbidden(permission(answer)),
        404 | 410 | 451 => PipelineError::NotFound(what),
        409 => PipelineError::Conflict(words(answer)),
        400 | 413 | 422 => PipelineError::Refused(words(answer)),
        300..=399 => PipelineError::Moved,
        500.. => PipelineError::Unavailable,
        _ => PipelineError::Invalid,
    }
}

/// What `answer` means where something was to be done to a run: GitHub says 403 also where the
/// run is not in a state for it.
pub(super) fn of_run(answer: &Answer) -> PipelineError {
    let lacks = words(answer)
        .to_ascii_lowercase()
        .contains("not accessible");
    if answer.status == 403 && !lacks {
        return PipelineError::Conflict(words(answer));
    }
    of(answer, "run")
}

/// GitHub's own words, on one line.
pub(super) fn words(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let message = serde_json::from_slice::<Message>(&answer.body);
    let message = message.map(|it| it.message).unwrap_or_default();
    let words: String = one_line(&message).chars().take(MAX_WORDS).collect();
    // They stand within a sentence of ours.
    let words = words.trim_end_matches('.').to_owned();
    if words.is_empty() {
        return format!("status {}", answer.status);
    }
    words
}

/// The permission that would do, as GitHub says it: `actions=write`.
fn permission(answer: &Answer) -> Option<String> {
    let needed = answer.header("x-accepted-github-permissions")?;
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"_=;, ".contains(&it);
    let sound = !needed.is_empty() && needed.len() <= 200 && needed.bytes().all(plain);
    sound.then(|| needed.to_owned())
}

/// Says in the log what the answer was, for who must find out why.
pub(super) fn told(what: &str, answer: &Answer, error: PipelineError) -> PipelineError {
    let request = answer.header("x-github-request-id").unwrap_or_default();
    warn!(
        event = "github.call_refused",
        call = what,
        error = error.name(),
        status = answer.status,
        cause = words(answer),
        request = request.chars().take(60).collect::<String>(),
    );
    error
}

/// Reads the JSON of an answer.
pub(super) fn read<T: for<'a> Deserialize<'a>>(answer: &Answer) -> Result<T, PipelineError> {
    // What exactly is wrong could repeat what the answer holds.
    serde_json::from_slice(&answer.body)
        .map_err(|error| invalid(&format!("line {} column {}", error.line(), error.column())))
}

/// An answer that is not what it should be.
pub(super) fn invalid(wrong: &str) -> PipelineError {
    warn!(event = "github.answer_invalid", wrong);
    PipelineError::Invalid
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn answer(status: u16, message: &str, permission: Option<&'static str>) -> Answer {
        let name = HeaderName::from_static("x-accepted-github-permissions");
        let header = permission.map(|it| (name, HeaderValue::from_static(it)));
        Answer {
            status,
            headers: header.into_iter().collect::<HeaderMap>(),
            body: Bytes::from(serde_json::json!({"message": message}).to_string()),
        }
    }

    #[test]
    fn each_says_what_to_do() {
        let lacks = "Resource not accessible by integration";
        for (answer, text) in [
            (
                answer(401, "Bad credentials", None),
                "does not let vaultgram in",
            ),
            (
                answer(403, lacks, Some("actions=write")),
                "needs the permission actions=write",
            ),
            (
                answer(403, lacks, Some("<actions>")),
                "lacks the permission",
            ),
            (
                answer(404, "Not Found", None),
                "no such workflow, or vaultgram's GitHub token may not see it",
            ),
            (
                answer(422, "No ref\nfound for: x", None),
                "refuses: No ref found for: x",
            ),
            (answer(301, "Moved", None), "has moved"),
            (answer(503, "", None), "try again"),
            (answer(418, "", None), "not what it should be"),
        ] {
            let error = of(&answer, "workflow").to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_run_in_the_wrong_state_is_no_lack_of_permission() {
        let state = answer(
            403,
            "This workflow is already running",
            Some("actions=write"),
        );
        assert!(matches!(of_run(&state), PipelineError::Conflict(_)));
        let lacks = answer(403, "Resource not accessible by integration", None);
        assert!(matches!(of_run(&lacks), PipelineError::Forbidden(None)));
    }

    #[test]
    fn words_are_cut_and_plain() {
        let long = words(&answer(422, &"a\u{202e}b\n".repeat(200), None));
        assert_eq!(long.chars().count(), MAX_WORDS);
        assert!(long.starts_with("a b a b"), "{long}");
        let none = Answer {
            body: Bytes::from_static(b"<html>"),
            ..answer(502, "", None)
        };
        assert_eq!(words(&none), "status 502");
    }
}
