//! Why nothing was done with a pipeline.

use thiserror::Error;

use crate::broker::ports::pipelines::{InputError, PipelineError, RunId};

/// Why nothing was done with a pipeline. `Display` is fit for who asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    /// GitHub did not do it.
    #[error("{0}")]
    Server(#[from] PipelineError),
    /// The workflow does not take these inputs.
    #[error("{0}")]
    Inputs(#[from] InputError),
    /// There is no `[github]`.
    #[error("vaultgram serves no pipelines; an operator can add [github] to its configuration")]
    NoneServed,
    /// Not one of ours; those that are.
    #[error(
        "vaultgram serves no pipelines of this repository; it serves {}", .0.join(", ")
    )]
    Elsewhere(Vec<String>),
    /// Something of a secret's, of a pipeline.
    #[error("this is a pipeline, and holds no secret; it is started, stopped and looked at")]
    NoSecret,
    /// Something of a pipeline's, of something else.
    #[error("this is not a pipeline; its path is like github/acme/shop/deploy.yml")]
    NoPipeline,
    /// Not what a pipeline is started with.
    #[error(
        "say what to start as PATH#BRANCH?input=value&input=value, where a space is %20 and & is %26"
    )]
    NoDispatch,
    /// Not which of them exactly.
    #[error(
        "say which: PATH@RUN; of a deployment that waits PATH#ENVIRONMENT@RUN, unless exactly one \
         does; of what is to be started PATH#BRANCH?input=value"
    )]
    Vague,
    /// More than can be asked about.
    #[error("an input is given twice, or the ref and the inputs are too long together")]
    TooLong,
    /// It would not be what was asked for, or agreed to.
    #[error(
        "nothing was started: what would run is not what was asked for, for the branch or the \
         workflow has changed since; ask anew"
    )]
    Changed,
    /// It was started, and is not what was asked for, or agreed to.
    #[error(
        "the branch moved at the same moment, so what was started (run {run}) is not what was asked for; \
         {}; look at it, then ask anew", stops(*.stopped)
    )]
    Moved {
        /// What was started.
        run: RunId,
        /// GitHub took it that it is to stop.
        stopped: bool,
    },
    /// It was started, and nobody knows whether it is what was asked for, or agreed to.
    #[error(
        "run {run} was started, and GitHub does not say of which commit, so it may not be what was asked \
         for; {}; look at it, then ask anew", stops(*.stopped)
    )]
    Unchecked {
        /// What was started.
        run: RunId,
        /// GitHub took it that it is to stop.
        stopped: bool,
    },
    /// What was decided about, or agreed to, is something else than this run.
    #[error(
        "nothing was done: GitHub says something else of this run than it did, or did not say before what \
         it is of; ask anew"
    )]
    OfElse,
    /// There is no chat to tell it in.
    #[error("what is watched is told in the chat where /watch is sent; send it there")]
    NoChat,
    /// Nothing is told of it.
    #[error("this is not watched in this chat; what is: /watch")]
    NotWatched,
    /// More than anybody reads, or we can look at.
    #[error("too much is watched already; end some of it with /unwatch")]
    TooManyWatches,
    /// Nothing waits for this environment; those for which something does.
    #[error("nothing of this run waits for that environment{}", waits(.0))]
    NothingWaits(Vec<String>),
}

fn stops(stopped: bool) -> &'static str {
    if stopped {
        "it is being stopped"
    } else {
        "it could not be stopped and may go on: stop it yourself"
    }
}

fn waits(names: &[String]) -> String {
    if names.is_empty() {
        return ", nor for any other; it may not have come to it yet".to_owned();
    }
    format!("; it waits for {}", names.join(", "))
}

impl RunError {
    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Server(error) => error.name(),
            Self::Inputs(_) => "pipeline_inputs",
            Self::NoneServed => "no_pipelines",
            Self::Elsewhere(_) => "pipeline_elsewhere",
            Self::NoSecret => "not_a_secret",
            Self::NoPipeline => "not_a_pipeline",
            Self::NoDispatch => "not_a_dispatch",
            Self::Vague => "pipeline_vague",
            Self::TooLong => "pipeline_too_long",
            Self::NoChat => "no_chat",
            Self::NotWatched => "not_watched",
            Self::TooManyWatches => "too_many_watches",
            Self::Changed => "pipeline_changed",
            Self::OfElse => "run_of_else",
            Self::Moved { .. } => "pipeline_raced",
            Self::Unchecked { .. } => "pipeline_unchecked",
            Self::NothingWaits(_) => "nothing_waits",
        }
    }

    /// Whether nothing was begun, and the same may be done in a moment.
    #[must_use]
    pub fn passes(&self) -> bool {
        *self == Self::Server(PipelineError::Unavailable)
    }

    /// Whether something may have been done.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        use PipelineError as Server;
        matches!(
            self,
            Self::Server(Server::Unclear | Server::RunUnknown | Server::Invalid)
                | Self::Moved { .. }
                | Self::Unchecked { .. }
        )
    }

    /// What was started all the same.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        if let Self::Moved { run, .. } | Self::Unchecked { run, .. } = self {
            return Some(*run);
        }
        None
    }
}
