//! What a line says of a step of a request for approval.

use serde::Serialize;
use time::OffsetDateTime;

use super::format_time;
use crate::domain::ApprovalId;
use crate::domain::approval::{ApprovalRecord, ApprovalStep};

/// The step's own fields stand between its name and what it is about.
#[derive(Serialize)]
pub(super) struct Step<'a> {
    #[serde(flatten)]
    what: What<'a>,
    approval: &'a str,
    requester: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What<'a> {
    ApprovalOpened {
        reason: &'a str,
        policies: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        extends: Option<&'a str>,
    },
    BreakGlass {
        reason: &'a str,
        until: String,
    },
    Voted {
        #[serde(skip_serializing_if = "Option::is_none")]
        step_up: Option<&'a str>,
    },
    StepUpFailed,
    Granted {
        until: String,
        once: bool,
        policies: &'a [String],
    },
    DeniedByApprover {
        reason: &'a str,
    },
    Cancelled,
    Expired,
    GrantUsed,
    GrantGivenBack,
    GrantExtended {
        until: String,
    },
    GrantRevoked,
    GrantEnded,
    Reviewed {
        note: &'a str,
    },
}

impl<'a> From<&'a ApprovalRecord> for Step<'a> {
    fn from(record: &'a ApprovalRecord) -> Self {
        Self {
            what: (&record.step).into(),
            approval: record.approval.as_str(),
            requester: &record.requester,
        }
    }
}

impl<'a> From<&'a ApprovalStep> for What<'a> {
    fn from(step: &'a ApprovalStep) -> Self {
        match step {
            ApprovalStep::Opened {
                reason,
                policies,
                extends,
            } => Self::ApprovalOpened {
                reason,
                policies,
                extends: extends.as_ref().map(ApprovalId::as_str),
            },
            ApprovalStep::BrokenGlass { reason, until } => Self::BreakGlass {
                reason,
                until: written(*until),
            },
            ApprovalStep::Voted { step_up } => Self::Voted {
                step_up: step_up.as_deref(),
            },
            ApprovalStep::StepUpFailed => Self::StepUpFailed,
            ApprovalStep::Granted {
                until,
                once,
                policies,
            } => Self::Granted {
                until: written(*until),
                once: *once,
                policies,
            },
            ApprovalStep::Denied { reason } => Self::DeniedByApprover { reason },
            ApprovalStep::Cancelled => Self::Cancelled,
            ApprovalStep::Expired => Self::Expired,
            ApprovalStep::Used => Self::GrantUsed,
            ApprovalStep::GivenBack => Self::GrantGivenBack,
            ApprovalStep::Extended { until } => Self::GrantExtended {
                until: written(*until),
            },
            ApprovalStep::Revoked => Self::GrantRevoked,
            ApprovalStep::Ended => Self::GrantEnded,
            ApprovalStep::Reviewed { note } => Self::Reviewed { note },
        }
    }
}

/// The time of a record is written in full, or not at all: this is no reason not to write it.
fn written(at: OffsetDateTime) -> String {
    format_time(at).unwrap_or_default()
}
