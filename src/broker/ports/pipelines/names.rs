//! Names of repositories, workflows and refs: what cannot be one never becomes part of an address.

use std::fmt;

use thiserror::Error;

/// The longest of them, in bytes.
const LONGEST: usize = 255;
/// GitHub's own limit for the name of a repository; an owner has fewer.
const LONGEST_PART: usize = 100;

/// A text that cannot be such a name. It says what one looks like, and never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Not a repository.
    #[error("this is not a repository; write OWNER/NAME, of letters, digits, '-', '_' and '.'")]
    Repository,
    /// Not a workflow's file.
    #[error(
        "this is not a workflow; write the name of its file in .github/workflows, like deploy.yml, \
         of letters, digits, '-', '_' and '.'"
    )]
    WorkflowFile,
    /// Not a ref.
    #[error(
        "this is not a branch, tag or commit; it has no spaces, no '..', none of ~ ^ : ? * [ \\ @{{, \
         no '/' or '.' where a name begins or ends, and at most 255 plain characters"
    )]
    GitRef,
}

/// A repository, `OWNER/NAME`, in lower case: GitHub takes both, and a policy about one must
/// not be got around with the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// Reads `OWNER/NAME`.
    ///
    /// # Errors
    /// When it is no such thing.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let (owner, name) = text.split_once('/').ok_or(NameError::Repository)?;
        let plain = |part: &str| {
            (1..=LONGEST_PART).contains(&part.len())
                && part.bytes().all(is_plain)
                && !matches!(part, "." | "..")
        };
        let begins = owner
            .bytes()
            .next()
            .is_some_and(|it| it.is_ascii_alphanumeric());
        if !plain(owner) || !plain(name) || !begins || owner.contains('.') {
            return Err(NameError::Repository);
        }
        Ok(Self {
            owner: owner.to_ascii_lowercase(),
            name: name.to_ascii_lowercase(),
        })
    }

    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What it is called there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// The name of a workflow's file in `.github/workflows`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowFile(String);

impl WorkflowFile {
    /// Reads a name like `deploy.yml`.
    ///
    /// # Errors
    /// When it is no such thing.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let stem = text
            .strip_suffix(".yml")
            .or_else(|| text.strip_suffix(".yaml"));
        let stem = stem.ok_or(NameError::WorkflowFile)?;
        let sound = !stem.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(is_plain)
            && !text.starts_with('.')
            && !text.contains("..");
        sound
            .then(|| Self(text.to_owned()))
            .ok_or(NameError::WorkflowFile)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkflowFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A branch, a tag or a commit, as git names it: `main`, `refs/tags/v1`, a hash. Plain
/// characters only, so that no two look alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitRef(String);

impl GitRef {
    /// Reads a ref.
    ///
    /// # Errors
    /// When git could have none of that name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let part = |part: &str| {
            let bytes = part.as_bytes();
            let dot = bytes.first() == Some(&b'.') || bytes.last() == Some(&b'.');
            !part.is_empty() && !dot && !has_suffix(part, ".lock")
        };
        let sound = text.len() <= LONGEST
            && text
                .bytes()
                .all(|it| it.is_ascii_graphic() && !b"~^:?*[\\".contains(&it))
            && text.split('/').all(part)
            && !text.contains("..")
            && !text.contains("@{")
            && !text.starts_with('-')
            && text != "@";
        sound
            .then(|| Self(text.to_owned()))
            .ok_or(NameError::GitRef)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without `refs/heads/` or `refs/tags/`: what a run calls its branch.
    #[must_use]
    pub fn short(&self) -> &str {
        let branch = self.0.strip_prefix("refs/heads/");
        let short = branch.or_else(|| self.0.strip_prefix("refs/tags/"));
        short.unwrap_or(&self.0)
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

fn has_suffix(text: &str, suffix: &str) -> bool {
    text.to_ascii_lowercase().ends_with(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name_is_taken() {
        let repository = Repository::new("Acme/Shop.api_2").unwrap();
        assert_eq!(repository.to_string(), "acme/shop.api_2");
        assert_eq!(
            (repository.owner(), repository.name()),
            ("acme", "shop.api_2")
        );
        assert_eq!(
            WorkflowFile::new("deploy-2.yaml").unwrap().as_str(),
            "deploy-2.yaml"
        );
        for (text, short) in [
            ("main", "main"),
            ("feature/a.b", "feature/a.b"),
            ("refs/heads/feature/x", "feature/x"),
            ("refs/tags/v1.2", "v1.2"),
            ("9b1c3a5", "9b1c3a5"),
        ] {
            assert_eq!(GitRef::new(text).unwrap().short(), short);
        }
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        let long = "a".repeat(256);
        for text in [
            "",
            "a",
            "a/",
            "/a",
            "a/b/c",
            "a/..",
            "../a",
            "./a",
            "a/.",
            "-a/b",
            "a b/c",
            "a/b?c",
            "a/b#c",
            "a/b%2f",
            "a/b\n",
            "a/é",
            "a.b/c",
            &format!("{long}/a"),
            &format!("a/{long}"),
        ] {
            assert_eq!(
                Repository::new(text),
                Err(NameError::Repository),
                "{text:?}"
            );
        }
        for text in [
            "",
            ".yml",
            "deploy",
            "deploy.json",
            "a/b.yml",
            "..yml",
            "a..yml",
            ".a.yml",
            "a b.yml",
            "a%2e.yml",
            "a.yml\n",
            "a.YML",
            &format!("{long}.yml"),
        ] {
            assert_eq!(
                WorkflowFile::new(text),
                Err(NameError::WorkflowFile),
                "{text:?}"
            );
        }
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a..b",
            ".a",
            "a.",
            "a/.b",
            "a.lock",
            "a.Lock/b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "a@{1}",
            "@",
            "-a",
            "a\n",
            "ä",
            "a\u{200b}",
            &long,
        ] {
            assert_eq!(GitRef::new(text), Err(NameError::GitRef), "{text:?}");
        }
    }
}
