//! `PATH[#field][@version]`, the mount it is in, and what to ask the server for it.

use std::fmt::{self, Write};
use std::str::FromStr;

use hyper::StatusCode;

use crate::api::{Envelope, KvVersion, MountInfo};
use crate::cli::client::{Answer, Socket};
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::not_understood;

/// A name that no mount of secrets has.
const NO_MOUNT: &str = "cubbyhole";

/// `PATH[#field][@version]`, taken apart; whether it is well-formed, the server says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub(super) path: String,
    pub(super) field: Option<String>,
    pub(super) version: Option<u64>,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, version) = match text.rsplit_once('@') {
            Some((text, version)) => (text, Some(version)),
            None => (text, None),
        };
        let version = version.map(str::parse).transpose().ok();
        let version = version
            .filter(|version| *version != Some(0))
            .ok_or("what follows @ must be a version's number, from 1")?;
        let (path, field) = match text.split_once('#') {
            Some((_, "")) => return Err("what follows # must be a field's name"),
            Some((path, field)) => (path, Some(field.to_owned())),
            None => (text, None),
        };
        let path = path.trim_matches('/').to_owned();
        if path.is_empty() {
            return Err("the path is missing");
        }
        Ok(Self {
            path,
            field,
            version,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(field) = &self.field {
            write!(f, "#{field}")?;
        }
        self.version
            .map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

impl Address {
    /// The path, where no field may be named.
    pub(super) fn path_alone(&self) -> Result<&str, Failure> {
        match &self.field {
            None => Ok(&self.path),
            Some(_) => Err(Failure::new(Exit::Usage, "this is about a whole secret")
                .hint("leave # and the field out")),
        }
    }

    /// The path, where nothing else may be said.
    pub(super) fn whole(&self) -> Result<&str, Failure> {
        if self.version.is_some() {
            let what = "this is not about one version alone";
            return Err(Failure::new(Exit::Usage, what).hint("leave @ and the version out"));
        }
        self.path_alone()
    }
}

/// Of which kind a mount is, by the server's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Secrets with versions.
    Kv2,
    /// Secrets without.
    Kv1,
    /// Any other engine.
    Engine,
}

impl Kind {
    fn of(mount: &MountInfo) -> Self {
        let version = mount.options.get("version").map(String::as_str);
        match (mount.kind.as_str(), version) {
            ("kv", Some("2")) => Self::Kv2,
            ("kv", _) => Self::Kv1,
            _ => Self::Engine,
        }
    }
}

/// A path with its mount found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountedPath {
    pub(super) mount: String,
    pub(super) rest: String,
    pub(super) kind: Kind,
}

impl MountedPath {
    /// The whole path, its mount first.
    pub(super) fn full(&self) -> String {
        format!("{}/{}", self.mount, self.rest)
    }

    /// What is asked for the secret itself.
    pub(super) fn target(&self) -> String {
        match self.kind {
            Kind::Kv2 => self.kv2("data"),
            Kind::Kv1 | Kind::Engine => {
                format!("/v1/{}/{}", encode(&self.mount), encode(&self.rest))
            }
        }
    }

    /// What is asked for something else about a secret with versions: `metadata`, `destroy`.
    pub(super) fn kv2(&self, what: &str) -> String {
        format!("/v1/{}/{what}/{}", encode(&self.mount), encode(&self.rest))
    }

    /// What is asked for the values: one field's or all, of one version or the newest.
    pub(super) fn values(&self, field: Option<&str>, version: Option<u64>) -> String {
        let field = field.map(|field| format!("field={}", encode(field)));
        let version = version.map(|version| format!("version={version}"));
        let query: Vec<String> = field.into_iter().chain(version).collect();
        if query.is_empty() {
            return self.target();
        }
        format!("{}?{}", self.target(), query.join("&"))
    }

    /// Refuses a path that has no versions.
    pub(super) fn has_versions(self) -> Result<Self, Failure> {
        if self.kind == Kind::Kv2 {
            return Ok(self);
        }
        let what = format!("\"{}\" keeps no versions", self.mount);
        Err(Failure::new(Exit::Usage, what).hint("only a mount of KV version 2 does"))
    }
}

/// Asks which mount `path` is in: only the server knows its mounts and which is the default.
pub(super) async fn find_mount(socket: &Socket, path: &str) -> Result<MountedPath, Failure> {
    let found = find_folder(socket, path).await?;
    if found.rest.is_empty() {
        let what = format!("\"{path}\" is a mount, not a secret");
        return Err(Failure::new(Exit::Usage, what).hint("add the secret's path below it"));
    }
    Ok(found)
}

/// As [`find_mount`], where `path` may be a mount itself; nothing is the default mount.
pub(super) async fn find_folder(socket: &Socket, path: &str) -> Result<MountedPath, Failure> {
    let asked = if path.is_empty() { NO_MOUNT } else { path };
    let target = format!(
        "/v1/sys/internal/ui/mounts/{}?default_mount=true",
        encode(asked)
    );
    let answer = socket.get(&target).await?;
    if answer.status != StatusCode::OK {
        return Err(answer.failure());
    }
    let envelope: Envelope<MountInfo> =
        serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    let rest = match path.strip_prefix(&envelope.data.path) {
        Some(rest) => rest,
        None if format!("{path}/") == envelope.data.path => "",
        None => path,
    };
    Ok(MountedPath {
        mount: envelope.data.path.trim_end_matches('/').to_owned(),
        rest: rest.to_owned(),
        kind: Kind::of(&envelope.data),
    })
}

/// Why there is no value, for a person.
pub(super) fn explain(answer: &Answer) -> Failure {
    let gone: Result<Envelope<KvVersion<Option<()>>>, _> = serde_json::from_slice(&answer.body);
    if let Ok(envelope) = gone {
        let metadata = envelope.data.metadata;
        let how = if metadata.destroyed {
            "destroyed"
        } else {
            "deleted"
        };
        let what = format!("version {} of the secret is {how}", metadata.version);
        return Failure::new(Exit::NotFound, what).hint("ask for another version with @NUMBER");
    }
    let failure = answer.failure();
    if failure.hint.is_some() {
        failure
    } else if failure.exit == Exit::Denied {
        failure.hint("ask an operator for a policy that permits it")
    } else if failure.exit == Exit::Unavailable {
        failure.hint("`vaultgram doctor` tells what is wrong")
    } else {
        failure
    }
}

/// Percent-encodes all but what needs none in a path or a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/:,".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_apart() {
        let address = |path: &str, field: Option<&str>, version| {
            Ok(Address {
                path: path.to_owned(),
                field: field.map(str::to_owned),
                version,
            })
        };
        assert_eq!("a/b".parse(), address("a/b", None, None));
        assert_eq!("/a/b@3".parse(), address("a/b", None, Some(3)));
        assert_eq!("a#p@3".parse(), address("a", Some("p"), Some(3)));
        for wrong in ["", "/", "#p", "a#", "a@", "a@0", "a@x", "a@-1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_in_an_address_ends_the_path_or_the_parameter() {
        assert_eq!(encode("a/b-_.~:,"), "a/b-_.~:,");
        assert_eq!(encode("a?b&c#d%e f+ü"), "a%3Fb%26c%23d%25e%20f%2B%C3%BC");
    }

    #[test]
    fn each_kind_of_mount_is_asked_in_its_way() {
        let path = |kind| MountedPath {
            mount: "m".to_owned(),
            rest: "a/b".to_owned(),
            kind,
        };
        assert_eq!(path(Kind::Kv2).values(None, None), "/v1/m/data/a/b");
        assert_eq!(
            path(Kind::Kv2).values(Some("x y"), Some(3)),
            "/v1/m/data/a/b?field=x%20y&version=3"
        );
        assert_eq!(path(Kind::Kv1).values(None, None), "/v1/m/a/b");
        assert_eq!(path(Kind::Kv2).kv2("destroy"), "/v1/m/destroy/a/b");
    }
}
