//! A look at etcd for whoever wants to know how it is: `vaultgram doctor`.

use std::time::Duration;

use etcd_client::GetOptions;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::coordination::etcd::EtcdClient;
use crate::coordination::etcd::kv::{Compare, Kv, KvError, Op};
use crate::coordination::etcd::nodes::{Again, Patience};

/// The header in which servers say the time.
const DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// How etcd is.
#[derive(Debug)]
pub struct Examined {
    /// Each endpoint, and what it says.
    pub nodes: Vec<(String, Result<NodeFacts, String>)>,
    /// How many members etcd's cluster has, and the name of the one that leads; where it tells.
    pub members: Option<(usize, Option<String>)>,
    /// Something outside of the prefix could be written.
    pub writes_elsewhere: bool,
    /// By how much its clock is ahead of ours (behind, where negative), where it says the time.
    pub drift: Option<time::Duration>,
}

/// What a node says of itself.
#[derive(Debug)]
pub struct NodeFacts {
    /// The version of etcd.
    pub version: String,
    /// What is wrong with it, in etcd's words.
    pub troubles: Vec<String>,
    leader: u64,
}

impl EtcdClient {
    /// Looks at everything. Changes nothing.
    ///
    /// # Errors
    /// When etcd does not answer, or does not let us read what begins with `prefix`.
    pub async fn examine(&self, prefix: &str, now: OffsetDateTime) -> Result<Examined, KvError> {
        let nodes = self.nodes.each(|connection| async move {
            let status = connection.client.clone().status().await?;
            Ok(NodeFacts {
                version: status.version().to_owned(),
                troubles: status.errors().to_vec(),
                leader: status.leader(),
            })
        });
        let nodes = nodes.await;
        self.range(&format!("{prefix}members/")).await?;
        let leader = nodes.iter().find_map(|(_, facts)| {
            let leader = facts.as_ref().ok()?.leader;
            (leader != 0).then_some(leader)
        });
        Ok(Examined {
            members: self.members(leader).await,
            writes_elsewhere: self.writes_elsewhere(prefix).await?,
            drift: self.drift(prefix, now).await,
            nodes,
        })
    }

    async fn members(&self, leader: Option<u64>) -> Option<(usize, Option<String>)> {
        let listed = self
            .nodes
            .call(Again::Yes, Patience::CALL, |connection| async move {
                connection.client.clone().member_list().await
            });
        // Newer ones tell only those who may know.
        let listed = listed.await.ok()?;
        let members = listed.members();
        let leads = members.iter().find(|member| Some(member.id()) == leader);
        Some((members.len(), leads.map(|member| member.name().to_owned())))
    }

    /// Asks for a change that has a condition which never holds: whether one may is checked first.
    async fn writes_elsewhere(&self, prefix: &str) -> Result<bool, KvError> {
        let never = vec![Compare::At(format!("{prefix}doctor"), -1)];
        let elsewhere = Op::Put {
            key: format!("{}-doctor", prefix.trim_end_matches('/')),
            value: vec![],
            lease: None,
        };
        match self.txn(never, vec![elsewhere], vec![]).await {
            Ok(_) => Ok(true),
            Err(KvError::Refused(why)) if why.contains("permission denied") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What answers a mistake says the time, where TLS is spoken.
    async fn drift(&self, prefix: &str, now: OffsetDateTime) -> Option<time::Duration> {
        let (_, asked) = self
            .nodes
            .each(|connection| async move {
                let future = GetOptions::new().with_revision(i64::MAX);
                match connection.kv.clone().get(prefix, Some(future)).await {
                    Err(etcd_client::Error::GRpcStatus(status)) => {
                        let date = status
                            .metadata()
                            .get("date")
                            .and_then(|it| it.to_str().ok());
                        Ok(date.and_then(read_date))
                    }
                    _ => Ok(None),
                }
            })
            .await
            .into_iter()
            .find(|(_, said)| matches!(said, Ok(Some(_))))?;
        let said = asked.ok().flatten()?;
        // The header has whole seconds.
        let drift = said - now.replace_nanosecond(0).ok()?;
        Some(drift)
    }
}

fn read_date(text: &str) -> Option<OffsetDateTime> {
    let said = time::PrimitiveDateTime::parse(text, DATE).ok()?;
    Some(said.assume_utc())
}

impl Examined {
    /// Clocks further apart than this are worth a word: claims end by them.
    const MAX_DRIFT: Duration = Duration::from_secs(5);

    /// What somebody should look at, though it works.
    #[must_use]
    pub fn warnings(&self, prefix: &str) -> Vec<String> {
        let mut found = vec![];
        for (endpoint, facts) in &self.nodes {
            match facts {
                Ok(facts) => {
                    let troubles = facts.troubles.iter();
                    found.extend(troubles.map(|it| format!("{endpoint}: {it}")));
                }
                Err(error) => found.push(error.clone()),
            }
        }
        if self.writes_elsewhere {
            found.push(format!(
                "it lets us write outside of {prefix} too; give vaultgram a user and a role of its own"
            ));
        }
        if let Some(drift) = self.drift.filter(|it| it.unsigned_abs() > Self::MAX_DRIFT) {
            let how = if drift.is_positive() {
                "ahead of"
            } else {
                "behind"
            };
            let seconds = drift.whole_seconds().unsigned_abs();
            found.push(format!(
                "its clock is {seconds} s {how} vaultgram's; set both by NTP"
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_server_says_the_time() {
        let said = read_date("Sat, 28 Nov 2026 19:45:06 GMT");
        assert_eq!(said, Some(datetime!(2026-11-28 19:45:06 UTC)));
        assert_eq!(read_date("yesterday"), None);
    }
}
