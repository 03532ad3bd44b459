//! Why a pipeline's server did not do what it was asked.

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why GitHub did not do it. `Display` is fit for who asked, wherever they ask, and says what to
/// do; what an operator needs beyond that is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PipelineError {
    /// It is not there, or not for us.
    #[error("there is no such {0}, or vaultgram's GitHub token may not see it")]
    NotFound(&'static str),
    /// The token may not.
    #[error("GitHub does not let vaultgram do that{}", permission(.0.as_deref()))]
    Forbidden(Option<String>),
    /// The token is none any more.
    #[error("GitHub does not let vaultgram in; an operator finds why in its log")]
    LoggedOut,
    /// GitHub wants fewer requests, for longer than anybody waits here.
    #[error("GitHub takes no more requests of vaultgram's until {}; ask again then", at(*.0))]
    RateLimited(OffsetDateTime),
    /// GitHub's own words about what was asked.
    #[error("GitHub refuses: {0}")]
    Refused(String),
    /// The run is not in a state in which that can be done; GitHub's own words.
    #[error("the run cannot do that now: {0}")]
    Conflict(String),
    /// The file is no workflow, or not one that can be dispatched.
    #[error("this workflow cannot be started: {0}")]
    Workflow(String),
    /// The repository is somewhere else.
    #[error("the repository has moved to another server; ask an operator where it is now")]
    Moved,
    /// Not reachable, or no answer in time.
    #[error("GitHub cannot be reached now; try again in a moment")]
    Unavailable,
    /// It was sent, and no answer came that says whether it was done.
    #[error(
        "GitHub did not answer, so nobody knows whether it was done; look at the runs before you \
         ask again"
    )]
    Unclear,
    /// It was started, and which run it is, is not known.
    #[error(
        "the workflow was started, but which run it is cannot be told; look at the runs before you \
         ask again"
    )]
    RunUnknown,
    /// An answer that is not what it should be, or too large.
    #[error(
        "GitHub's answer is not what it should be, or too large; an operator finds it in the log"
    )]
    Invalid,
}

fn permission(needed: Option<&str>) -> String {
    match needed {
        Some(needed) => format!("; its GitHub token needs the permission {needed}"),
        None => "; its GitHub token lacks the permission".to_owned(),
    }
}

fn at(until: OffsetDateTime) -> String {
    until.format(&Rfc3339).unwrap_or_else(|_| until.to_string())
}

impl PipelineError {
    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "pipeline_not_found",
            Self::Forbidden(_) => "pipeline_forbidden",
            Self::LoggedOut => "pipeline_logged_out",
            Self::RateLimited(_) => "pipeline_rate_limited",
            Self::Refused(_) => "pipeline_refused",
            Self::Conflict(_) => "pipeline_conflict",
            Self::Workflow(_) => "pipeline_workflow",
            Self::Moved => "pipeline_moved",
            Self::Unavailable => "pipeline_unavailable",
            Self::Unclear => "pipeline_unclear",
            Self::RunUnknown => "pipeline_run_unknown",
            Self::Invalid => "pipeline_answer_invalid",
        }
    }
}
