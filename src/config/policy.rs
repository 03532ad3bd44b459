//! The `[policy]` section.

use std::path::Path;

use crate::config::{Problems, raw, read_deciding};
use crate::domain::group::Groups;
use crate::domain::policy_load::{self, PolicySource};
use crate::domain::{Mounts, Policy};

pub(super) fn typed(
    raw: raw::Policy,
    groups: Option<Groups>,
    mounts: Option<&Mounts>,
    sockets: &[String],
    directory: &Path,
    problems: &mut Problems,
) -> Option<Policy> {
    if raw.files.is_empty() {
        problems.push("[policy] files: name at least one; without a policy nobody gets anything");
    }
    let mut sources = vec![];
    for file in raw.files {
        match read_deciding(&directory.join(&file)) {
            Ok(text) => sources.push(PolicySource {
                name: file.display().to_string(),
                text: text.to_string(),
            }),
            Err(problem) => problems.elsewhere(problem),
        }
    }
    let policy = match groups.zip(mounts) {
        Some((groups, mounts)) => Policy::load(&sources, groups, mounts)
            .and_then(|policy| policy.check_sockets(sockets).map(|()| Some(policy))),
        // Which names exist is not known, but what else is wrong is still said.
        None => policy_load::parse(&sources).map(|_| None),
    };
    policy
        .map_err(|error| problems.elsewhere(error))
        .ok()
        .flatten()
}
