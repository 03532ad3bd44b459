//! Replies that carry no plaintext: a token to unwrap, a sealed answer, an offer to collect.

use super::{Builder, Document, MAX_LENGTH, Reply, SECRET_MARK, Terms, shown};
use crate::broker::ports::Wrapped;
use crate::broker::{Offer, Sealed};
use crate::domain::Target;
use crate::domain::span::spoken;

/// Reads the token without showing it, and hands it over in the environment: it is in no
/// argument that others could list, and in no shell history. For bash and zsh.
const UNWRAP: &str = "(read -rs T && BAO_TOKEN=$T VAULT_TOKEN=$T bao unwrap)";

impl Reply {
    /// A token that unwraps the secret, once; gone from the chat no later than it dies.
    pub(super) fn wrapped(wrapped: &Wrapped, target: &Target, terms: &Terms<'_>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the delivery: the token goes into the message for its requester"
        )]
        let token = wrapped.token.expose_secret();
        let mut message = Builder::default();
        message.plain(SECRET_MARK);
        message.plain(&format!(
            "{} waits in Vault. This token unwraps it, once, for {}:\n",
            target,
            spoken(wrapped.facts.ttl)
        ));
        message.hidden(&String::from_utf8_lossy(token));
        message.plain("\n\nRun this, then paste the token and press Enter; nothing is shown:\n");
        message.preformatted(UNWRAP);
        match terms.vault {
            Some(address) => message.plain(&format!("\nVault is at {address}")),
            None => message.plain("\nwith BAO_ADDR set to your Vault's address"),
        }
        message.plain(
            " (HashiCorp's command is vault unwrap). If it says that the token is not valid \
             before you have used it, somebody else has: tell an operator.\n",
        );
        let lasts = terms.delete_after.min(wrapped.facts.ttl);
        message.plain(&format!("Deleted in {}.", spoken(lasts)));
        Self {
            lasts: Some(lasts),
            ..message.into_copied()
        }
    }

    /// The secret, encrypted: as text where it fits, else as a file.
    pub(super) fn sealed(sealed: &Sealed, target: &Target, terms: &Terms<'_>) -> Self {
        let keys = match sealed.keys {
            1 => "your key".to_owned(),
            keys => format!("your {keys} keys"),
        };
        let source = shown::source(&sealed.origin, sealed.age);
        let head = format!("{target}{source}, sealed to {keys}. ");
        let end = format!("Deleted in {}.", spoken(terms.delete_after));
        let mut message = Builder::default();
        message.plain(SECRET_MARK);
        message.plain(&head);
        message.plain("Copy this message, run vaultgram open, paste it, then press Ctrl-D.\n");
        message.preformatted(sealed.text.trim_end());
        message.plain("\n");
        message.plain(&end);
        let mut document = None;
        if message.length > MAX_LENGTH {
            let name = file_name(target);
            message = Builder::default();
            message.plain(SECRET_MARK);
            message.plain(&head);
            message.plain("Save the file, then run: vaultgram open FILE\n");
            message.plain(&end);
            document = Some(Document {
                name,
                bytes: sealed.text.clone().into_bytes(),
            });
        }
        Self {
            lease: sealed.origin.lease().and_then(|lease| lease.code.clone()),
            document,
            ..message.into_copied()
        }
    }

    /// Where the secret waits, for whom and until when. Holds nothing secret: the code is of use
    /// to nobody else.
    pub(super) fn offered(offer: &Offer, target: &Target, terms: &Terms<'_>) -> Self {
        // To the next minute: some of the first has passed already.
        let left = (offer.expires - terms.now).whole_seconds();
        let minutes = u64::try_from(left).unwrap_or_default().div_ceil(60);
        let mut message = Builder::default();
        message.plain(&format!(
            "{target} waits for you. Collect it on vaultgram's host within {minutes} min, once, as \
             Unix user {}:\n",
            offer.uid
        ));
        message.preformatted(&format!("vaultgram collect {}", offer.code));
        Self {
            text: message.text,
            entities: message.entities,
            ..Self::default()
        }
    }
}

/// The last part of the path, with what makes no trouble in file names.
fn file_name(target: &Target) -> String {
    let path = target.path.path();
    let last = path.rsplit('/').next().unwrap_or(path);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = last.chars().take(40).map(plain).collect();
    format!("{}.age", name.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use grammers_tl_types as tl;
    use time::OffsetDateTime;

    use super::*;
    use crate::broker::ports::WrappedFacts;
    use crate::domain::secret_path::{MAX_FIELD, MAX_PATH};
    use crate::domain::{Age, Mounts, Origin, SecretValue, VersionFacts};

    fn target(path: &str) -> Target {
        let mounts = Mounts::new(vec!["secret".into()]).unwrap();
        mounts.parse(path).unwrap()
    }

    fn terms(vault: Option<&'static str>) -> Terms<'static> {
        Terms {
            delete_after: Duration::from_mins(1),
            vault,
            now: OffsetDateTime::UNIX_EPOCH,
            action: crate::domain::Action::List,
        }
    }

    /// What an entity covers, by UTF-16 units as Telegram counts.
    fn covered(reply: &Reply) -> Vec<(&'static str, String)> {
        let units: Vec<u16> = reply.text.encode_utf16().collect();
        let cut = |offset: i32, length: i32| {
            let (from, length) = (usize::try_from(offset), usize::try_from(length));
            let (from, length) = (from.unwrap(), length.unwrap());
            String::from_utf16(&units[from..from + length]).unwrap()
        };
        let each = |entity: &tl::enums::MessageEntity| {
            if let tl::enums::MessageEntity::Spoiler(it) = entity {
                return ("spoiler", cut(it.offset, it.length));
            }
            let tl::enums::MessageEntity::Pre(it) = entity else {
                panic!("{entity:?}");
            };
            ("pre", cut(it.offset, it.length))
        };
        reply.entities.iter().map(each).collect()
    }

    fn wrapped(ttl: u64) -> Wrapped {
        Wrapped {
            token: SecretValue::new(b"s.token".to_vec()),
            accessor: "accessor".to_owned(),
            facts: WrappedFacts {
                path: String::new(),
                created: String::new(),
                ttl: Duration::from_secs(ttl),
            },
        }
    }

    #[test]
    fn a_token_is_hidden_and_the_command_is_not() {
        let reply = Reply::wrapped(&wrapped(300), &target("a/b"), &terms(None));
        let expected = vec![
            ("spoiler", "s.token".to_owned()),
            ("pre", UNWRAP.to_owned()),
        ];
        assert_eq!(covered(&reply), expected);
        assert!(reply.secret && reply.to_copy);
        assert!(reply.text.starts_with("🔑 secret/a/b waits in Vault."));
        assert!(reply.text.contains("once, for 5 min:"), "{}", reply.text);
        assert!(reply.text.contains("BAO_ADDR set to your Vault's address"));
        assert_eq!(reply.text.matches("s.token").count(), 1);
        let terms = terms(Some("https://vault.example.org"));
        let reply = Reply::wrapped(&wrapped(300), &target("a"), &terms);
        assert!(reply.text.contains("Vault is at https://vault.example.org"));
    }

    #[test]
    fn a_token_goes_no_later_than_it_dies() {
        for (ttl, lasts) in [(300, 60), (20, 20)] {
            let reply = Reply::wrapped(&wrapped(ttl), &target("a"), &terms(None));
            assert_eq!(reply.lasts, Some(Duration::from_secs(lasts)));
            assert!(reply.text.ends_with(&format!("Deleted in {lasts} s.")));
        }
    }

    fn version(number: u64) -> Origin {
        Origin::Version(VersionFacts {
            number,
            ..VersionFacts::default()
        })
    }

    fn sealed(length: usize, target: &Target) -> Reply {
        let sealed = Sealed {
            text: "x".repeat(length),
            origin: version(3),
            age: None,
            keys: 2,
        };
        Reply::sealed(&sealed, target, &terms(None))
    }

    #[test]
    fn a_sealed_answer_says_how_old_it_is() {
        let (since, stale) = (Duration::from_mins(12), true);
        for length in [1, 5000] {
            let sealed = Sealed {
                text: "x".repeat(length),
                origin: version(3),
                age: Some(Age { since, stale }),
                keys: 1,
            };
            let reply = Reply::sealed(&sealed, &target("a"), &terms(None));
            let head = "secret/a (version 3, 12 min old, Vault does not answer), sealed to your";
            assert!(reply.text.contains(head), "{}", reply.text);
        }
    }

    #[test]
    fn a_sealed_answer_is_text_to_the_last_unit_and_then_a_file() {
        let target = target("team/creds.prod#f");
        let frame = sealed(1, &target).text.encode_utf16().count() - 1;
        let fits = sealed(MAX_LENGTH - frame, &target);
        assert_eq!(fits.text.encode_utf16().count(), MAX_LENGTH);
        assert!(fits.document.is_none() && fits.secret && fits.to_copy);
        assert_eq!(covered(&fits), [("pre", "x".repeat(MAX_LENGTH - frame))]);
        assert!(fits.text.contains("(version 3), sealed to your 2 keys."));

        let long = sealed(MAX_LENGTH - frame + 1, &target);
        assert!(long.text.starts_with(SECRET_MARK) && !long.text.contains("xx"));
        assert!(long.secret && long.entities.is_empty());
        let document = long.document.unwrap();
        assert_eq!(document.name, "creds.prod.age");
        assert_eq!(document.bytes.len(), MAX_LENGTH - frame + 1);
    }

    #[test]
    fn a_caption_fits_whatever_the_path_is() {
        let path = "p".repeat(MAX_PATH - "secret/".len());
        let longest = format!("secret/{path}#{}@{}", "f".repeat(MAX_FIELD), u64::MAX);
        let (since, stale) = (Duration::from_secs(59 * 60 + 59), true);
        let sealed = Sealed {
            text: "x".repeat(5000),
            origin: version(u64::MAX),
            age: Some(Age { since, stale }),
            keys: 2,
        };
        let reply = Reply::sealed(&sealed, &target(&longest), &terms(None));
        assert!(reply.document.is_some());
        assert!(
            reply.text.encode_utf16().count() <= 1024,
            "Telegram's limit"
        );
    }

    #[test]
    fn an_offer_names_code_user_and_time_and_is_no_secret() {
        let offer = Offer {
            code: "R7K2XY".to_owned(),
            uid: 990,
            expires: OffsetDateTime::UNIX_EPOCH + time::Duration::minutes(10),
        };
        let reply = Reply::offered(&offer, &target("a"), &terms(None));
        assert_eq!(
            covered(&reply),
            [("pre", "vaultgram collect R7K2XY".to_owned())]
        );
        assert!(reply.text.contains("within 10 min, once, as Unix user 990"));
        assert!(!reply.secret && !reply.text.starts_with(SECRET_MARK));
    }
}
