//! A job: whoever proves over the network who it is, as a run of a pipeline does.

use std::collections::BTreeMap;

/// What tokens may say of a job, by the names that policies use.
pub const CLAIMS: [&str; 36] = [
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "ref",
    "ref_type",
    "ref_protected",
    "base_ref",
    "head_ref",
    "sha",
    "environment",
    "workflow",
    "workflow_ref",
    "job_workflow_ref",
    "event_name",
    "actor",
    "actor_id",
    "run_id",
    "run_number",
    "run_attempt",
    "runner_environment",
    "project_id",
    "project_path",
    "namespace_id",
    "namespace_path",
    "pipeline_id",
    "pipeline_source",
    "job_id",
    "user_id",
    "user_login",
    "environment_protected",
    "deployment_tier",
    "namespace",
    "service_account",
    "pod",
];

/// A job, as its evidence has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Job {
    /// The name of the trusted issuer in the configuration, or of a signing key's owner.
    pub issuer: String,
    /// `sub` of the token; of a signing key, the name of its owner.
    pub subject: String,
    /// What the token says, by the names that policies use; only those in [`CLAIMS`].
    pub claims: BTreeMap<&'static str, String>,
}
