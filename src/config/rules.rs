//! What decides who gets what: `[policy]`, `[groups]` and `[people]`, and what these hang on. It is
//! read by itself where nothing else is at hand, and again when it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::{
    ConfigError, Problems, files, groups, https, policy, raw, read_deciding, socket, telegram,
    vault,
};
use crate::domain::{Mounts, Policy};

/// The sections that are read again; what else changes needs a restart.
const READ_AGAIN: [&str; 3] = ["policy", "groups", "people"];

/// Who may have what.
pub struct RulesConfig {
    /// The policies, and the groups and people they speak of.
    pub policy: Policy,
    /// Names them, and changes with any of them.
    pub hash: String,
    /// What they hang on that is not read again.
    pub hangs_on: HangsOn,
}

/// What policies, groups and people hang on, in other sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HangsOn {
    /// Of `[vault]`.
    pub mounts: Mounts,
    /// The names of the sockets.
    pub sockets: Vec<String>,
    /// Of `[telegram]`.
    pub unix_users: BTreeMap<i64, u32>,
}

impl HangsOn {
    /// The settings that are different in `other`.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Vec<&'static str> {
        let differing = [
            (
                "[vault] mounts, mounts_v1 or engines, or [github] mount",
                self.mounts != other.mounts,
            ),
            ("[sockets] or [credentials]", self.sockets != other.sockets),
            ("[telegram] unix_users", self.unix_users != other.unix_users),
        ];
        let differing = differing.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(name, _)| name).collect()
    }
}

impl RulesConfig {
    /// Reads them from `file`, and from the policy files it names.
    ///
    /// # Errors
    /// Lists everything that is wrong with them, a line each.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, None)
    }

    /// As [`RulesConfig::load`], with the policies at `paths`, seen from the current folder, in
    /// place of those the file names.
    ///
    /// # Errors
    /// As [`RulesConfig::load`].
    pub fn load_with(file: &Path, paths: Option<Vec<PathBuf>>) -> Result<Self, ConfigError> {
        let one = |problem| ConfigError(vec![problem]);
        let mut raw = parse(file).map_err(one)?;
        let mut directory = super::directory(file).map_err(one)?;
        if let Some(paths) = paths {
            raw.policy.files = paths;
            directory = PathBuf::new();
        }
        let mut problems = Problems::of(file);
        let mounts = vault::mounts(&raw, &mut problems);
        let rules = typed(&raw, mounts.as_ref(), &directory, &mut problems);
        rules
            .filter(|_| problems.found.is_empty())
            .ok_or(ConfigError(problems.found))
    }
}

fn parse(file: &Path) -> Result<raw::Raw, String> {
    raw::parse(file, &read_deciding(file)?)
}

pub(super) fn typed(
    raw: &raw::Raw,
    mounts: Option<&Mounts>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<RulesConfig> {
    let unix_users = raw.telegram.as_ref();
    let unix_users = unix_users.map(|raw| telegram::unix_users(raw, problems));
    let unix_users = unix_users.unwrap_or_default();
    let sockets = socket::names(raw);
    let mut hash = Sha256::new();
    let settings = (&raw.policy, &raw.groups, &raw.people, &unix_users);
    hash.update(format!("{settings:?}"));
    https::check_accounts(raw, problems);
    let groups = groups::typed(&raw.groups, &raw.people, &unix_users, problems);
    let sources = policy::sources(&raw.policy, directory, problems);
    for source in &sources {
        hash.update(format!("{:?}{:?}", source.name, source.text));
    }
    let policy = policy::typed(&raw.policy, &sources, groups, mounts, &sockets, problems);
    Some(RulesConfig {
        policy: policy?,
        hash: hex::encode(hash.finalize()),
        hangs_on: HangsOn {
            mounts: mounts?.clone(),
            sockets,
            unix_users,
        },
    })
}

/// The files and folders that decide who gets what by `file`, as far as it can be read.
#[must_use]
pub fn watched(file: &Path) -> Vec<PathBuf> {
    let mut watched = vec![file.to_owned()];
    if let (Ok(raw), Ok(directory)) = (parse(file), super::directory(file)) {
        watched.extend(raw.policy.files.iter().map(|path| directory.join(path)));
    }
    watched
}

/// The policies in `path`, if it is a folder that can be read.
#[must_use]
pub fn policies_in(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![];
    }
    files::in_folder(path).unwrap_or_default()
}

/// A hash of each section of `file` that is not read again.
///
/// # Errors
/// When the file cannot be read.
pub fn other_sections(file: &Path) -> Result<BTreeMap<String, [u8; 32]>, String> {
    let text = read_deciding(file)?;
    let table: toml::Table = text
        .parse()
        .map_err(|_| format!("{}: is not TOML", file.display()))?;
    let others = table
        .into_iter()
        .filter(|(name, _)| !READ_AGAIN.contains(&name.as_str()));
    let hashed = others.map(|(name, section)| (name, Sha256::digest(section.to_string()).into()));
    Ok(hashed.collect())
}
