//! The real etcd, by its v3 API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    CompareOp, GetOptions, KeyValue, LeaseKeepAliveStream, LeaseKeeper, PutOptions, Txn, TxnOp,
    TxnOpResponse, WatchOptions,
};
use tokio::sync::Mutex;

use crate::coordination::etcd::kv::{
    Compare, Done, Entry, Kv, KvError, LeaseId, Op, Range, Revision, Watching,
};
use crate::coordination::etcd::node::Connection;
use crate::coordination::etcd::nodes::{Again, Nodes, Patience};
use crate::coordination::etcd::settings::Reach;
use crate::coordination::etcd::watching::Watch;

/// Entries asked for at once where nobody knows how large they are: of the largest there are (64 KiB and
/// their seal) half a megabyte, which comes in time on a slow line too.
const FEW: usize = 8;
/// And at most.
const MANY: usize = 500;
/// How large a page of others like the largest before may be, in bytes.
const PAGE_BYTES: usize = 512 << 10;

/// etcd.
pub struct EtcdClient {
    pub(super) nodes: Arc<Nodes>,
    /// The nodes again, over connections of their own: a sign of life must not wait behind a large answer,
    /// nor lose its connection to another call that took too long.
    signs: Nodes,
    keeping: Mutex<Option<Keeping>>,
}

/// A stream on which a lease is kept.
struct Keeping {
    lease: LeaseId,
    connection: Arc<Connection>,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

impl EtcdClient {
    /// A client that connects to nothing yet.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        let reach = Arc::new(reach);
        Self {
            nodes: Arc::new(Nodes::new(Arc::clone(&reach))),
            signs: Nodes::new(reach),
            keeping: Mutex::default(),
        }
    }

    /// Looks at the files that TLS needs, and connects to nothing.
    ///
    /// # Errors
    /// When they cannot be used; says what to do.
    pub async fn check(&self) -> Result<(), String> {
        self.nodes.check().await
    }

    async fn page(
        &self,
        (from, end): (&str, &str),
        at: Revision,
        limit: usize,
    ) -> Result<Range, KvError> {
        // What is larger than those before promised may be too much for any try.
        let patience = if limit > FEW {
            Patience::ONCE
        } else {
            Patience::CALL
        };
        let answer = self.nodes.call(Again::Yes, patience, |connection| {
            let options = GetOptions::new()
                .with_range(end)
                .with_limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .with_revision(at);
            async move { connection.kv.clone().get(from, Some(options)).await }
        });
        let answer = answer.await?;
        Ok(Range {
            entries: answer.kvs().iter().map(entry).collect(),
            revision: answer
                .header()
                .map_or(0, etcd_client::ResponseHeader::revision),
        })
    }
}

#[async_trait]
impl Kv for EtcdClient {
    async fn txn(
        &self,
        when: Vec<Compare>,
        then: Vec<Op>,
        otherwise: Vec<Op>,
    ) -> Result<Done, KvError> {
        let transaction = Txn::new()
            .when(when.into_iter().map(compare).collect::<Vec<_>>())
            .and_then(then.into_iter().map(operation).collect::<Vec<_>>())
            .or_else(otherwise.into_iter().map(operation).collect::<Vec<_>>());
        let answer = self.nodes.call(Again::No, Patience::CALL, |connection| {
            let transaction = transaction.clone();
            async move { connection.kv.clone().txn(transaction).await }
        });
        let answer = answer.await?;
        let found = answer.op_responses().into_iter().filter_map(|it| match it {
            TxnOpResponse::Get(got) => Some(got.kvs().first().map(entry)),
            TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
        });
        Ok(Done {
            held: answer.succeeded(),
            found: found.collect(),
            revision: answer
                .header()
                .map_or(0, etcd_client::ResponseHeader::revision),
        })
    }

    async fn range(&self, prefix: &str) -> Result<Range, KvError> {
        let end = after(prefix);
        let mut all = self.page((prefix, &end), 0, FEW).await?;
        let (mut last, mut limit) = (all.entries.len(), FEW);
        while last == limit {
            let Some(entry) = all.entries.last() else {
                break;
            };
            let from = format!("{}\0", entry.key);
            limit = page_after(&all.entries);
            let page = match self.page((&from, &end), all.revision, limit).await {
                Err(KvError::Unclear(_)) if limit > FEW => {
                    limit = FEW;
                    self.page((&from, &end), all.revision, limit).await
                }
                page => page,
            };
            let page = page?;
            last = page.entries.len();
            all.entries.extend(page.entries);
        }
        Ok(all)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, KvError> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        // One that nobody knows of ends by itself.
        let granted = self
            .nodes
            .call(Again::Yes, Patience::CALL, |connection| async move {
                connection.lease.clone().grant(seconds, None).await
            });
        Ok(granted.await?.id())
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<bool, KvError> {
        self.signs
            .call(Again::Yes, Patience::KEEP, |connection| {
                self.keep(lease, connection)
            })
            .await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), KvError> {
        self.nodes
            .call(Again::Yes, Patience::CALL, |connection| async move {
                match connection.lease.clone().revoke(lease).await {
                    Err(etcd_client::Error::GRpcStatus(status))
                        if status.code() == tonic::Code::NotFound =>
                    {
                        Ok(())
                    }
                    done => done.map(drop),
                }
            })
            .await
    }

    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Box<dyn Watching>, KvError> {
        let opened = self
            .nodes
            .call(Again::Yes, Patience::CALL, |connection| async move {
                let options = WatchOptions::new()
                    .with_prefix()
                    .with_start_revision(revision)
                    .with_fragment();
                let stream = connection
                    .watch
                    .clone()
                    .watch(prefix, Some(options))
                    .await?;
                Ok((connection, stream))
            });
        let (connection, stream) = opened.await?;
        Ok(Box::new(Watch::new(
            Arc::clone(&self.nodes),
            connection,
            stream,
        )))
    }
}

impl EtcdClient {
    /// Keeps `lease` once more, on the stream of before where it is still of use.
    async fn keep(
        &self,
        lease: LeaseId,
        connection: Arc<Connection>,
    ) -> Result<bool, etcd_client::Error> {
        let mut keeping = self.keeping.lock().await;
        // Taken out meanwhile: a late answer must not be taken for that of the next try.
        let usable = keeping
            .take()
            .filter(|it| it.lease == lease && Arc::ptr_eq(&it.connection, &connection));
        let (keeper, answers) = match usable {
            None => match connection.lease.clone().keep_alive(lease).await {
                // What the client makes of a lease that is not there.
                Err(etcd_client::Error::LeaseKeepAliveError(_)) => return Ok(false),
                opened => opened?,
            },
            Some(mut it) => {
                it.keeper.keep_alive().await?;
                match it.answers.message().await? {
                    Some(answer) if answer.ttl() > 0 => (it.keeper, it.answers),
                    Some(_) => return Ok(false),
                    None => {
                        let what = "the stream was ended".to_owned();
                        return Err(etcd_client::Error::WatchError(what));
                    }
                }
            }
        };
        *keeping = Some(Keeping {
            lease,
            connection,
            keeper,
            answers,
        });
        Ok(true)
    }
}

pub(super) fn entry(found: &KeyValue) -> Entry {
    Entry {
        key: String::from_utf8_lossy(found.key()).into_owned(),
        value: found.value().to_vec(),
        changed: found.mod_revision(),
        lease: Some(found.lease()).filter(|lease| *lease != 0),
    }
}

fn compare(condition: Compare) -> etcd_client::Compare {
    match condition {
        Compare::Absent(key) => etcd_client::Compare::create_revision(key, CompareOp::Equal, 0),
        Compare::Present(key) => etcd_client::Compare::create_revision(key, CompareOp::Greater, 0),
        Compare::At(key, revision) => {
            etcd_client::Compare::mod_revision(key, CompareOp::Equal, revision)
        }
    }
}

fn operation(operation: Op) -> TxnOp {
    match operation {
        Op::Get(key) => TxnOp::get(key, None),
        Op::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease));
            TxnOp::put(key, value, options)
        }
        Op::Delete(key) => TxnOp::delete(key, None),
    }
}

/// How many entries to ask for after `entries`.
fn page_after(entries: &[Entry]) -> usize {
    let size = |entry: &Entry| entry.key.len() + entry.value.len();
    let largest = entries.iter().map(size).max().unwrap_or_default();
    (PAGE_BYTES / largest.max(1)).clamp(FEW, MANY)
}

/// The first key after all that start with `prefix`.
fn after(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Over the gap of surrogates, and past the last there is.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return end;
        }
    }
    "\0".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_large_as_the_values_before_let_it_be() {
        let entries = |sizes: &[usize]| {
            let entries = sizes.iter().map(|size| Entry {
                key: String::new(),
                value: vec![0; *size],
                changed: 1,
                lease: None,
            });
            entries.collect::<Vec<_>>()
        };
        for (sizes, page) in [
            (&[][..], MANY),
            (&[300, 1000], MANY),
            (&[300, 10_000, 300], 52),
            (&[70_000], FEW),
        ] {
            assert_eq!(page_after(&entries(sizes)), page, "{sizes:?}");
        }
    }

    #[test]
    fn what_comes_after_a_prefix_is_found() {
        assert_eq!(after("/vaultgram/"), "/vaultgram0");
        assert_eq!(after("a\u{7f}"), "a\u{80}");
        assert_eq!(after("a\u{d7ff}"), "a\u{e000}");
        assert_eq!(after("a\u{10ffff}"), "b");
        assert_eq!(after(""), "\0");
    }
}
