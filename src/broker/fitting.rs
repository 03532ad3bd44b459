//! What is asked for must mean something: for the action, and for what is mounted there.

use crate::broker::ports::StoreError;
use crate::broker::{BrokerError, RunError};
use crate::domain::{Action, Caller, Delivery, MountKind, Mounts, Request, Target};

/// Refuses what would mean nothing: whoever asks for it means something.
pub(super) fn fitting(request: &Request, mounts: &Mounts) -> Result<(), BrokerError> {
    named(request)?;
    match mounts.kind(request.target.path.mount()) {
        Some(MountKind::Kv2) => on_kv2(request.action),
        Some(MountKind::Kv1) => on_kv1(request),
        Some(MountKind::Engine) => on_engine(request),
        Some(MountKind::Pipelines) => on_pipelines(request),
        None => Err(StoreError::Unsupported.into()),
    }
}

/// Looks at the field and the version alone.
fn named(request: &Request) -> Result<(), BrokerError> {
    let (field, version) = match request.action {
        Action::Read(_) => (true, true),
        Action::Rotate { .. } | Action::Invoke(_) => (true, false),
        Action::Delete | Action::Undelete | Action::Destroy => (false, true),
        // What says less says too much: it would be about whatever there is.
        Action::Pipeline(action) => {
            let Target { field, version, .. } = &request.target;
            let exact = action.fits(field.is_some(), version.is_some());
            return exact.then_some(()).ok_or(RunError::Vague.into());
        }
        Action::List
        | Action::Versions
        | Action::Put { .. }
        | Action::Patch { .. }
        | Action::Unwrap => (false, false),
    };
    if request.target.field.is_some() && !field {
        return Err(BrokerError::MeaninglessField);
    }
    if request.target.version.is_some() && !version {
        return Err(BrokerError::MeaninglessVersion);
    }
    Ok(())
}

fn on_kv2(action: Action) -> Result<(), BrokerError> {
    match action {
        Action::Invoke(_) => Err(BrokerError::NotAnEngine),
        Action::Pipeline(_) => Err(RunError::NoPipeline.into()),
        Action::Read(_)
        | Action::List
        | Action::Versions
        | Action::Put { .. }
        | Action::Patch { .. }
        | Action::Delete
        | Action::Undelete
        | Action::Destroy
        | Action::Rotate { .. }
        | Action::Unwrap => Ok(()),
    }
}

fn on_kv1(request: &Request) -> Result<(), BrokerError> {
    if request.target.version.is_some() {
        return Err(BrokerError::NoVersions);
    }
    match request.action {
        Action::Read(_) | Action::List | Action::Put { .. } | Action::Delete | Action::Unwrap => {
            Ok(())
        }
        Action::Versions | Action::Undelete | Action::Destroy => Err(BrokerError::NoVersions),
        // Neither can say which state it changes, so it could silently undo what somebody else
        // wrote meanwhile.
        Action::Patch { .. } | Action::Rotate { .. } => Err(BrokerError::OnlyWhole),
        Action::Invoke(_) => Err(BrokerError::NotAnEngine),
        Action::Pipeline(_) => Err(RunError::NoPipeline.into()),
    }
}

fn on_engine(request: &Request) -> Result<(), BrokerError> {
    if request.target.version.is_some() {
        return Err(BrokerError::NoVersions);
    }
    match request.action {
        // What waits to be collected is kept, and values are never kept.
        Action::Invoke(Delivery::Socket) if matches!(request.caller, Caller::Telegram(_)) => {
            Err(BrokerError::InvokeOnHost)
        }
        Action::Read(_) | Action::List | Action::Invoke(_) | Action::Unwrap => Ok(()),
        Action::Versions
        | Action::Put { .. }
        | Action::Patch { .. }
        | Action::Delete
        | Action::Undelete
        | Action::Destroy
        | Action::Rotate { .. } => Err(BrokerError::NotKv),
        Action::Pipeline(_) => Err(RunError::NoPipeline.into()),
    }
}

fn on_pipelines(request: &Request) -> Result<(), BrokerError> {
    match request.action {
        Action::Pipeline(_) => Ok(()),
        Action::Read(_)
        | Action::List
        | Action::Versions
        | Action::Put { .. }
        | Action::Patch { .. }
        | Action::Delete
        | Action::Undelete
        | Action::Destroy
        | Action::Rotate { .. }
        | Action::Unwrap
        | Action::Invoke(_) => Err(RunError::NoSecret.into()),
    }
}
