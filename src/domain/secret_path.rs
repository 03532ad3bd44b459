//! What is asked for: a path below a mount, optionally a field and a version.

use std::collections::BTreeSet;
use std::fmt;

use super::pipeline::MAX_DISPATCH;
use super::signs::is_invisible;

/// Longest path accepted, in bytes, mount included.
pub const MAX_PATH: usize = 512;
/// Longest field name accepted, in bytes.
pub const MAX_FIELD: usize = 128;

/// A secret's address: its mount and the path below it, both checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretPath {
    mount: String,
    path: String,
}

impl SecretPath {
    /// Checks `path` below `mount`.
    ///
    /// # Errors
    /// When it is empty, too long, has an empty, `.` or `..` segment, or a character other
    /// than ASCII letters, digits and `-_.~+=:,`.
    pub fn new(mount: &str, path: &str) -> Result<Self, PathError> {
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if mount.len() + 1 + path.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        for segment in mount.split('/').chain(path.split('/')) {
            if segment.is_empty() || segment == "." || segment == ".." {
                return Err(PathError::Segment);
            }
            if let Some(bad) = segment.chars().find(|c| !is_path_character(*c)) {
                return Err(PathError::Character(bad));
            }
        }
        Ok(Self {
            mount: mount.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Checks `path` below `mount` as a folder: it may be empty, which is the mount itself, and
    /// end with a slash.
    ///
    /// # Errors
    /// As [`SecretPath::new`].
    pub fn folder(mount: &str, path: &str) -> Result<Self, PathError> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            // The mount is checked as part of any path below it.
            return Self::new(mount, "x").map(|below| Self {
                path: String::new(),
                ..below
            });
        }
        Self::new(mount, path)
    }

    /// The mount, without slashes at its ends.
    #[must_use]
    pub fn mount(&self) -> &str {
        &self.mount
    }

    /// The path below the mount; empty for the mount itself as a folder.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.mount);
        }
        write!(f, "{}/{}", self.mount, self.path)
    }
}

fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~+=:,".contains(c)
}

/// What one request is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The secret.
    pub path: SecretPath,
    /// One of its fields; all of them when `None`.
    pub field: Option<String>,
    /// One of its versions; the newest when `None`.
    pub version: Option<u64>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if let Some(field) = &self.field {
            write!(f, "#{field}")?;
        }
        if let Some(version) = self.version {
            write!(f, "@{version}")?;
        }
        Ok(())
    }
}

/// What is mounted in Vault at a mount: how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MountKind {
    /// KV version 2: secrets with versions.
    Kv2,
    /// KV version 1: secrets without.
    Kv1,
    /// Any other secrets engine (`database`, `pki`, `transit`, …): its paths are its own.
    Engine,
    /// Not in Vault: pipelines, as OWNER/REPOSITORY/WORKFLOW.yml.
    Pipelines,
}

/// Where Vault keeps no secrets of ours: its own settings, its logins, what a token keeps for itself.
const RESERVED: [&str; 3] = ["sys", "auth", "cubbyhole"];

/// The mounts the broker may read, and how a path without a mount is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounts {
    all: Vec<(String, MountKind)>,
}

impl Mounts {
    /// Mounts of KV version 2; see [`Mounts::of`].
    #[must_use]
    pub fn new(names: Vec<String>) -> Option<Self> {
        Self::of(
            names
                .into_iter()
                .map(|name| (name, MountKind::Kv2))
                .collect(),
        )
    }

    /// The first of `all` is the default mount. `None` when there is none, one is not a valid
    /// path itself, one lies where Vault keeps its own affairs, or one is named twice.
    #[must_use]
    pub fn of(all: Vec<(String, MountKind)>) -> Option<Self> {
        let foreign = |name: &str| {
            let first = name.split('/').next().unwrap_or_default();
            RESERVED.contains(&first)
        };
        let valid =
            |(name, _): &(String, MountKind)| SecretPath::new(name, "x").is_ok() && !foreign(name);
        let names: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let once = names.len() == all.len();
        (once && !all.is_empty() && all.iter().all(valid)).then_some(Self { all })
    }

    /// All mounts, the default first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(name, _)| name.as_str())
    }

    /// What is mounted at `mount`, one of [`Mounts::names`].
    #[must_use]
    pub fn kind(&self, mount: &str) -> Option<MountKind> {
        let mut all = self.all.iter();
        all.find(|(name, _)| name == mount).map(|(_, kind)| *kind)
    }

    /// Splits `path` into the mount it begins with and what follows; `None` when it begins
    /// with none of ours. Of mounts that nest, the longest wins, as in Vault.
    #[must_use]
    pub fn split<'p>(&self, path: &'p str) -> Option<(&str, &'p str)> {
        self.names()
            .filter_map(|mount| {
                let rest = path.strip_prefix(mount)?;
                (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest))
            })
            .max_by_key(|(mount, _)| mount.len())
            .map(|(mount, rest)| (mount, rest.strip_prefix('/').unwrap_or(rest)))
    }

    /// Parses `PATH[#field][@version]`. A path that begins with a mount's name is taken from
    /// that mount, any other from the default one.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(&self, text: &str) -> Result<Target, PathError> {
        let (text, version) = match text.rsplit_once('@') {
            Some((text, version)) => (text, Some(parse_version(version)?)),
            None => (text, None),
        };
        let (text, field) = match text.split_once('#') {
            Some((text, field)) => (text, Some(field)),
            None => (text, None),
        };
        let (mount, path) = self.place(text);
        let longest = match self.kind(mount) {
            Some(MountKind::Pipelines) => MAX_DISPATCH,
            Some(MountKind::Kv2 | MountKind::Kv1 | MountKind::Engine) | None => MAX_FIELD,
        };
        let field = field.map(|field| check_name(field, longest)).transpose()?;
        Ok(Target {
            path: SecretPath::new(mount, path)?,
            field,
            version,
        })
    }

    /// Parses the path of a folder; nothing is the default mount.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse_folder(&self, text: &str) -> Result<Target, PathError> {
        let (mount, path) = self.place(text);
        Ok(Target {
            path: SecretPath::folder(mount, path)?,
            field: None,
            version: None,
        })
    }

    fn place<'s: 't, 't>(&'s self, text: &'t str) -> (&'t str, &'t str) {
        let text = text.strip_prefix('/').unwrap_or(text);
        self.split(text)
            .unwrap_or_else(|| (self.names().next().unwrap_or_default(), text))
    }
}

fn parse_version(text: &str) -> Result<u64, PathError> {
    match text.parse() {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(PathError::Version),
    }
}

/// Checks the name of a field.
///
/// # Errors
/// When it is empty, over [`MAX_FIELD`], or holds a space, `#` or what cannot be seen.
pub fn check_field(text: &str) -> Result<String, PathError> {
    check_name(text, MAX_FIELD)
}

fn check_name(text: &str, longest: usize) -> Result<String, PathError> {
    let bad = |c: char| c.is_whitespace() || is_invisible(c) || c == '#';
    if text.is_empty() || text.len() > longest || text.contains(bad) {
        return Err(PathError::Field);
    }
    Ok(text.to_owned())
}

/// Why a text is not a target. The text itself is never repeated, for it can hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// There is no path.
    Empty,
    /// Over [`MAX_PATH`].
    TooLong,
    /// An empty, `.` or `..` segment.
    Segment,
    /// A character outside the allowed set.
    Character(char),
    /// A field name that is empty, over [`MAX_FIELD`], or not printable.
    Field,
    /// A version that is not a whole number from 1.
    Version,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the path is missing; give one, such as django/database"),
            Self::TooLong => write!(f, "the path is longer than {MAX_PATH} bytes"),
            Self::Segment => write!(
                f,
                "the path has an empty, \".\" or \"..\" part; write it like django/database"
            ),
            Self::Character(c) => {
                // Others could look like one that is allowed, or like nothing.
                let shown = if c.is_ascii_graphic() || *c == ' ' {
                    format!("'{c}'")
                } else {
                    c.escape_unicode().to_string()
                };
                write!(
                    f,
                    "the path holds the character {shown}; use letters, digits and -_.~+=:,"
                )
            }
            Self::Field => write!(
                f,
                "the field after # must be 1 to {MAX_FIELD} printable characters without spaces"
            ),
            Self::Version => write!(f, "the version after @ must be a whole number from 1"),
        }
    }
}

impl std::error::Error for PathError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mounts() -> Mounts {
        Mounts::new(vec![
            "secret".into(),
            "team/kv".into(),
            "team/kv/deep".into(),
        ])
        .unwrap()
    }

    #[test]
    fn reads_path_field_and_version() {
        let target = mounts().parse("django/database#password@3").unwrap();
        assert_eq!(target.path.mount(), "secret");
        assert_eq!(target.path.path(), "django/database");
        assert_eq!(target.field.as_deref(), Some("password"));
        assert_eq!(target.version, Some(3));
        assert_eq!(target.to_string(), "secret/django/database#password@3");
    }

    #[test]
    fn finds_the_longest_mount_and_else_the_default() {
        for (text, mount, path) in [
            ("team/kv/a", "team/kv", "a"),
            ("team/kv/deep/a", "team/kv/deep", "a"),
            ("team/kvx/a", "secret", "team/kvx/a"),
            ("secret/a", "secret", "a"),
            ("/secret/a", "secret", "a"),
            ("a", "secret", "a"),
        ] {
            let target = mounts().parse(text).unwrap();
            assert_eq!(
                (target.path.mount(), target.path.path()),
                (mount, path),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_malformed() {
        for (text, error) in [
            ("", PathError::Empty),
            ("secret", PathError::Empty),
            ("a//b", PathError::Segment),
            ("a/", PathError::Segment),
            ("../sys/seal", PathError::Segment),
            ("a/./b", PathError::Segment),
            ("a b", PathError::Character(' ')),
            ("a\0b", PathError::Character('\0')),
            ("a\u{202E}b", PathError::Character('\u{202E}')),
            ("a%2e%2e/b", PathError::Character('%')),
            ("a?version=1", PathError::Character('?')),
            ("a#", PathError::Field),
            ("a#b\u{202E}", PathError::Field),
            ("a@", PathError::Version),
            ("a@0", PathError::Version),
            ("a@-1", PathError::Version),
            ("a@x", PathError::Version),
        ] {
            assert_eq!(mounts().parse(text), Err(error), "{text:?}");
        }
        let shown = |sign| PathError::Character(sign).to_string();
        assert!(shown('#').contains("character '#';"), "{}", shown('#'));
        assert!(
            shown('\u{430}').contains(r"character \u{430};"),
            "like a, and not a"
        );
        assert_eq!(
            mounts().parse(&"a".repeat(MAX_PATH)),
            Err(PathError::TooLong)
        );
    }

    #[test]
    fn a_folder_may_be_a_mount_and_end_with_a_slash() {
        for (text, shown) in [
            ("", "secret"),
            ("/", "secret"),
            ("secret", "secret"),
            ("secret/", "secret"),
            ("team/kv/", "team/kv"),
            ("django/", "secret/django"),
            ("team/kv/a/b", "team/kv/a/b"),
        ] {
            let target = mounts().parse_folder(text).unwrap();
            assert_eq!(target.to_string(), shown, "{text:?}");
        }
        for text in ["a//", "../x", "a b", "a#f"] {
            assert!(mounts().parse_folder(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn mounts_must_be_named_and_valid() {
        for names in [vec![], vec![String::new()], vec!["/secret".to_owned()]] {
            assert_eq!(Mounts::new(names), None);
        }
        for name in ["sys", "sys/raw", "auth/token", "cubbyhole"] {
            let engine = vec![(name.to_owned(), MountKind::Engine)];
            assert_eq!(Mounts::of(engine), None, "{name}");
        }
        assert!(Mounts::new(vec!["system".to_owned()]).is_some());
    }

    proptest! {
        #[test]
        fn never_panics_and_what_it_accepts_reads_back(text in "\\PC{0,80}") {
            if let Ok(target) = mounts().parse(&text) {
                prop_assert_eq!(mounts().parse(&target.to_string()), Ok(target));
            }
        }
    }
}
