//! What systemd asks for with `LoadCredential=ID:SOCKET`: whose credential, and which.

use crate::domain::caller::is_unit;

/// Longest name of a credential, in bytes: that of a file.
const MAX_ID: usize = 255;

/// A credential of a systemd unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credential {
    /// The unit that is to have it: `app.service`.
    pub unit: String,
    /// What it is called there.
    pub id: String,
}

impl Credential {
    /// Reads the abstract address (less its first NUL) that systemd connects from:
    /// `3f81b0c2d4e5a697/unit/app.service/db-password`. It proves nothing: everybody may bind it.
    #[must_use]
    pub fn of_address(address: &[u8]) -> Option<Self> {
        let (random, named) = std::str::from_utf8(address).ok()?.split_once("/unit/")?;
        let (unit, id) = named.split_once('/')?;
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let shaped = (1..=16).contains(&random.len()) && random.bytes().all(hex);
        (shaped && is_unit(unit) && is_id(id)).then(|| Self {
            unit: unit.to_owned(),
            id: id.to_owned(),
        })
    }
}

/// Whether systemd takes this for a credential's name.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let known = |c: char| c.is_ascii_graphic() && !"/:".contains(c) || c == ' ';
    (1..=MAX_ID).contains(&text.len()) && text != "." && text != ".." && text.chars().all(known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_systemd_sends_is_understood() {
        let found = Credential::of_address(b"85e0a5ec90d42c7/unit/x\\x2dy@1.service/db.password");
        let expected = Credential {
            unit: "x\\x2dy@1.service".to_owned(),
            id: "db.password".to_owned(),
        };
        assert_eq!(found, Some(expected));
        for (what, address) in [
            ("nothing", ""),
            ("no number", "/unit/a.service/x"),
            ("a long number", "0123456789abcdef0/unit/a.service/x"),
            ("no hexadecimal", "0g/unit/a.service/x"),
            ("no unit", "0a/unit//x"),
            ("a template", "0a/unit/a@.service/x"),
            ("no kind", "0a/unit/a/x"),
            ("no credential", "0a/unit/a.service/"),
            ("nor a slash", "0a/unit/a.service"),
            ("a folder", "0a/unit/a.service/x/y"),
            ("the folder above", "0a/unit/a.service/.."),
            ("a user's", "0a/user/a.service/x"),
            ("a NUL at the end", "0a/unit/a.service/x\0"),
            ("an escape", "0a/unit/a.service/\u{1b}[1m"),
        ] {
            assert_eq!(Credential::of_address(address.as_bytes()), None, "{what}");
        }
        assert_eq!(Credential::of_address(b"0a/unit/a.service/\xff"), None);
    }

    proptest! {
        #[test]
        fn what_is_understood_is_what_was_sent(
            address in "[0-9a-f]{0,17}/unit/[ -~]{0,12}(\\.service)?/[ -~\u{0}]{0,9}"
        ) {
            if let Some(Credential { unit, id }) = Credential::of_address(address.as_bytes()) {
                let end = format!("/unit/{unit}/{id}");
                prop_assert!(address.ends_with(&end) && is_unit(&unit) && !id.contains('/'));
            }
        }
    }
}
