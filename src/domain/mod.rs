//! The rules, pure: who asks, for what, and what policy says. No I/O, no clock, no runtime.
//!
//! Everything here can be tested with values alone. Time is an argument. Types of
//! this room are not serializable: the wire has types of its own in `api`.

pub mod action;
pub mod approval;
pub mod audit_entry;
pub mod caller;
pub mod credential;
pub mod delivery;
pub mod demand;
pub mod group;
pub mod job;
mod judge;
pub mod leak;
mod memo;
pub mod need;
pub mod permit;
pub mod person;
pub mod pipeline;
pub mod policy;
mod policy_approvers;
pub mod policy_explain;
mod policy_lint;
pub mod policy_load;
mod policy_names;
pub mod quiet;
pub mod recipe;
pub mod request;
pub mod secret;
pub mod secret_path;
pub mod signs;
pub mod span;
pub mod terms;
pub mod zone;

pub use action::Action;
pub use approval::{Approval, ApprovalId};
pub use audit_entry::{AuditEntry, AuditEvent, LeaseAction, Reading, Subject};
pub use caller::Caller;
pub use credential::Credential;
pub use delivery::Delivery;
pub use job::Job;
pub use need::Need;
pub use permit::Permit;
pub use person::{People, Person};
pub use pipeline::{Dispatch, PipelineAction, RunOf};
pub use policy::{Decision, Denial, Policy};
pub use quiet::QuietHours;
pub use recipe::Recipe;
pub use request::{Request, RequestId};
pub use secret::{
    Age, Field, History, Lease, Origin, Secret, SecretValue, Version, VersionFacts, VersionState,
};
pub use secret_path::{MountKind, Mounts, PathError, SecretPath, Target};
pub use terms::Terms;
pub use zone::Zone;
