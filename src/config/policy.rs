//! The `[policy]` and `[groups]` sections.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::{Problems, raw, read_deciding};
use crate::domain::group::{Groups, Member};
use crate::domain::policy_load::{self, PolicySource};
use crate::domain::{Mounts, Policy};

pub(super) fn typed(
    raw: raw::Policy,
    groups: &BTreeMap<String, Vec<String>>,
    mounts: Option<&Mounts>,
    sockets: &[String],
    directory: &Path,
    problems: &mut Problems,
) -> Option<Policy> {
    let groups = typed_groups(groups, problems);
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

fn typed_groups(groups: &BTreeMap<String, Vec<String>>, problems: &mut Problems) -> Option<Groups> {
    let mut members: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    for (name, texts) in groups {
        let entry = members.entry(name.clone()).or_default();
        for (index, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(member) => entry.push(member),
                Err(error) => {
                    problems.push(format!("[groups] {name}: member {} {error}", index + 1));
                }
            }
        }
    }
    Groups::new(&members)
        .map_err(|error| problems.push(format!("[groups]: {error}")))
        .ok()
}
