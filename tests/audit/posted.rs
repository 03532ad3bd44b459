//! Heads that stand in a chat, held against an audit that was replaced by who has its key and may
//! write in that chat.

use std::path::PathBuf;
use std::sync::Arc;

use vaultgram::audit::AuditFile;
use vaultgram::audit::key::SigningKey;
use vaultgram::audit::posted::read_chat;
use vaultgram::audit::verify::{Chat, Demands};
use vaultgram::broker::ports::{AuditHead, AuditSink};

use crate::{check, entry, key, of_keys, records, signing};

/// An audit of two records, the line of its head, and its chain.
struct Audit {
    folder: tempfile::TempDir,
    line: String,
    chain: String,
}

impl Audit {
    async fn new(first: i32, key: &Arc<SigningKey>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = AuditFile::open(signing(&path, key)).unwrap();
        for number in [first, first + 1] {
            audit.record(entry(number)).await.unwrap();
        }
        let line = audit.head().await.unwrap().unwrap().line;
        audit.close().await.unwrap();
        let chain = records(&path)[0]["hash"].as_str().unwrap().to_owned();
        assert!(line.contains(&format!(" chain:{chain} ")), "{line}");
        Self {
            folder,
            line,
            chain,
        }
    }

    /// The line as it was posted before chains were named.
    fn unnamed(&self) -> String {
        self.line.replace(&format!(" chain:{}", self.chain), "")
    }

    /// What became of the heads in `chat`, or what is wrong.
    fn against(&self, chat: &[&str], demands: Demands) -> Result<Chat, &'static str> {
        let path: PathBuf = self.folder.path().join("audit.jsonl");
        let demands = Demands {
            posted: read_chat(&chat.join("\n")),
            ..demands
        };
        let found = check(&[path], demands).map_err(|(_, _, flaw)| flaw)?;
        assert_eq!(found.chain.as_ref(), Some(&self.chain));
        Ok(found.chat)
    }
}

#[tokio::test]
async fn a_replaced_audit_is_not_proved_by_a_new_head() {
    let key = key();
    let (first, second) = (Audit::new(1, &key).await, Audit::new(5, &key).await);
    let both = [first.line.as_str(), second.line.as_str()];
    for keys in [vec![], vec![key.public()]] {
        let refused = |chat: &[&str]| second.against(chat, of_keys(&keys, false));
        assert_eq!(refused(&both), Err("posted_elsewhere"));
        assert_eq!(refused(&both[..1]), Err("posted_elsewhere"));
        let expected = |chat: &[&str]| {
            let demands = Demands {
                other_chains: vec![first.chain.clone()],
                ..of_keys(&keys, false)
            };
            second.against(chat, demands)
        };
        let (found, elsewhere) = (1, 1);
        let counted = Chat {
            found,
            elsewhere,
            ..Chat::default()
        };
        assert_eq!(expected(&both), Ok(counted));
        assert_eq!(expected(&both[..1]), Err("none_posted"));
    }
}

#[tokio::test]
async fn another_chains_head_cannot_be_given_this_ones_name() {
    let key = key();
    let (first, second) = (Audit::new(1, &key).await, Audit::new(5, &key).await);
    let renamed = first.line.replace(&first.chain, &second.chain);
    let keys = || of_keys(&[key.public()], false);
    assert_eq!(second.against(&[&renamed], keys()), Err("none_posted"));
    let found = second.against(&[&renamed, &second.line], keys());
    assert_eq!(found.map(|chat| (chat.found, chat.passed_over)), Ok((1, 1)));
    let plain = second.against(&[&renamed], Demands::default());
    assert_eq!(plain, Err("posted_differs"));
}

#[tokio::test]
async fn heads_that_name_no_chain_are_told_apart() {
    let key = key();
    let (first, second) = (Audit::new(1, &key).await, Audit::new(5, &key).await);
    let keys = || of_keys(&[key.public()], false);
    for demands in [keys(), Demands::default()] {
        let unnamed = Chat {
            unnamed: 1,
            ..Chat::default()
        };
        assert_eq!(second.against(&[&second.unnamed()], demands), Ok(unnamed));
    }
    // It may be of an audit that this one replaced, and nobody can tell.
    let found = second.against(&[&first.unnamed(), &second.line], keys());
    let unclear = Chat {
        found: 1,
        passed_over: 1,
        unclear: 1,
        ..Chat::default()
    };
    assert_eq!(found, Ok(unclear));
    let alone = second.against(&[&first.unnamed()], keys());
    assert_eq!(alone, Err("none_posted"));
    let plain = second.against(&[&first.unnamed(), &second.line], Demands::default());
    assert_eq!(plain, Err("posted_differs"));
}

#[tokio::test]
async fn what_anybody_wrote_of_another_chain_does_not_count_beside_a_key() {
    let (ours, theirs) = (key(), key());
    let (audit, other) = (Audit::new(1, &ours).await, Audit::new(5, &theirs).await);
    let found = audit.against(
        &[&audit.line, &other.line],
        of_keys(&[ours.public()], false),
    );
    assert_eq!(found.map(|chat| (chat.found, chat.passed_over)), Ok((1, 1)));
}
