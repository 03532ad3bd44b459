//! The `[policy]` section.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::config::{Problems, files, raw, read_deciding};
use crate::domain::group::Groups;
use crate::domain::policy_load::{self, PolicySource};
use crate::domain::{Mounts, Policy, Zone};

/// The most policy files.
const MAX_FILES: usize = 1000;
/// The most text in all of them, in bytes.
const MAX_TEXT: usize = 8 << 20;

/// The policy files, those of folders by name.
pub(super) fn sources(
    raw: &raw::Policy,
    directory: &Path,
    problems: &mut Problems,
) -> Vec<PolicySource> {
    if raw.files.is_empty() {
        problems.push("[policy] files: name at least one; without a policy nobody gets anything");
    }
    let mut paths: Vec<PathBuf> = vec![];
    for path in &raw.files {
        let full = directory.join(path);
        if !full.is_dir() {
            paths.push(path.clone());
            continue;
        }
        match files::in_folder(&full) {
            Ok(found) if found.is_empty() => problems.elsewhere(format!(
                "{}: has no *.cedar in it; without a policy nobody gets anything",
                full.display()
            )),
            Ok(found) => {
                let names = found.iter().filter_map(|found| found.file_name());
                paths.extend(names.map(|name| path.join(name)));
            }
            Err(problem) => problems.elsewhere(problem),
        }
    }
    if paths.len() > MAX_FILES {
        let count = paths.len();
        problems.push(format!("[policy] files: are {count}; at most {MAX_FILES}"));
        return vec![];
    }
    let mut sources = vec![];
    let mut size = 0;
    for path in paths {
        match read_deciding(&directory.join(&path)) {
            Ok(text) => {
                size += text.len();
                if size > MAX_TEXT {
                    let most = MAX_TEXT >> 20;
                    problems.push(format!("[policy] files: are more than {most} MiB together"));
                    return vec![];
                }
                sources.push(PolicySource {
                    name: path.display().to_string(),
                    text: text.to_string(),
                });
            }
            Err(problem) => problems.elsewhere(problem),
        }
    }
    sources
}

pub(super) fn typed(
    raw: &raw::Policy,
    sources: &[PolicySource],
    groups: Option<Groups>,
    mounts: Option<&Mounts>,
    sockets: &[String],
    problems: &mut Problems,
) -> Option<Policy> {
    let zone = zone(&raw.timezone);
    if zone.is_none() {
        problems.push(
            "[policy] timezone: this system knows no such zone; write it like \"Europe/Berlin\" \
             or \"UTC\", and see that the time zones are installed (tzdata)",
        );
    }
    let groups = match (groups, &raw.admins) {
        (Some(groups), Some(admins)) => groups
            .with_admins(admins)
            .map_err(|error| problems.push(format!("[policy] admins: {error}")))
            .ok(),
        (groups, _) => groups,
    };
    let policy = match groups.zip(mounts) {
        Some((groups, mounts)) => Policy::load(sources, groups, mounts)
            .and_then(|policy| policy.check_sockets(sockets).map(|()| Some(policy))),
        // Which names exist is not known, but what else is wrong is still said.
        None => policy_load::parse(sources).map(|_| None),
    };
    let policy = policy
        .map_err(|error| problems.elsewhere(error))
        .ok()
        .flatten()?;
    Some(policy.in_zone(zone?))
}

fn zone(name: &str) -> Option<Zone> {
    if name == "UTC" {
        return Some(Zone::default());
    }
    TimeZone::get(name).ok().map(Zone::from)
}
