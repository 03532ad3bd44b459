//! What the caller may choose.

use std::time::Duration;

use thiserror::Error;

/// How a replica takes part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What all keys in etcd start with. Replicas that share it share everything.
    pub prefix: String,
    /// How long after its last sign of life a replica is taken for one that ended.
    pub ttl: Duration,
    /// A name for the Telegram session, of which only one process at a time may have it.
    pub session: Option<String>,
}

/// What is wrong with the settings. `Display` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// Not a prefix.
    #[error(
        "the prefix in etcd must be 1 to 64 characters long, have no others than letters, digits, '/', '-', \
         '_' and '.', and end with a '/'"
    )]
    Prefix,
    /// Not a time to live.
    #[error("a replica's time to live must be 2 to 60 whole seconds")]
    Ttl,
    /// Not a name of a session.
    #[error("the name of a session must be 1 to 128 letters, digits, '-', '_' or '.'")]
    Session,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: "/vaultgram/".into(),
            ttl: Duration::from_secs(2),
            session: None,
        }
    }
}

impl Settings {
    /// Looks at each.
    ///
    /// # Errors
    /// When one is out of bounds.
    pub fn check(&self) -> Result<(), SettingsError> {
        let plain = |text: &str| {
            let sign = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            text.chars().all(sign)
        };
        let prefix = self.prefix.len() <= 64
            && self.prefix.ends_with('/')
            && self.prefix.split('/').all(plain);
        if !prefix {
            return Err(SettingsError::Prefix);
        }
        if !(2..=60).contains(&self.ttl.as_secs()) || self.ttl.subsec_nanos() != 0 {
            return Err(SettingsError::Ttl);
        }
        let named = |name: &String| (1..=128).contains(&name.len()) && plain(name);
        if !self.session.as_ref().is_none_or(named) {
            return Err(SettingsError::Session);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_bounds() {
        assert_eq!(Settings::default().check(), Ok(()));
        for (prefix, good) in [
            ("/a/b-c_d.e/", true),
            ("x/", true),
            ("/", true),
            ("", false),
            ("/a", false),
            ("/a b/", false),
            (&format!("{}/", "a".repeat(64)), false),
        ] {
            let settings = Settings {
                prefix: prefix.into(),
                ..Settings::default()
            };
            assert_eq!(settings.check().is_ok(), good, "{prefix}");
        }
        for (ttl, good) in [
            (1999, false),
            (2000, true),
            (2500, false),
            (60_000, true),
            (61_000, false),
        ] {
            let settings = Settings {
                ttl: Duration::from_millis(ttl),
                ..Settings::default()
            };
            assert_eq!(settings.check().is_ok(), good, "{ttl}");
        }
        for (session, good) in [
            ("a1", true),
            ("", false),
            ("a/b", false),
            (&"a".repeat(129), false),
        ] {
            let settings = Settings {
                session: Some(session.into()),
                ..Settings::default()
            };
            assert_eq!(settings.check().is_ok(), good, "{session}");
        }
    }
}
