//! A look at etcd for whoever wants to know how it is: `vaultgram doctor`, `vaultgram status --cluster`.

use crate::coordination::etcd::EtcdClient;
use crate::coordination::etcd::kv::{Compare, Kv, KvError, Op};
use crate::coordination::etcd::nodes::{Again, Patience};

/// How etcd is.
#[derive(Debug)]
pub struct Examined {
    /// Each endpoint, and what it says.
    pub nodes: Vec<(String, Result<NodeFacts, String>)>,
    /// How many members etcd's cluster has, and the name of the one that leads; where it tells.
    pub members: Option<(usize, Option<String>)>,
    /// Something outside of the prefix could be written.
    pub writes_elsewhere: bool,
}

/// What a node says of itself.
#[derive(Debug)]
pub struct NodeFacts {
    /// The version of etcd.
    pub version: String,
    /// What is wrong with it, in etcd's words.
    pub troubles: Vec<String>,
    /// It leads.
    pub leads: bool,
    /// How much its database takes, in bytes.
    pub bytes: u64,
    leader: u64,
}

impl EtcdClient {
    /// Looks at everything. Changes nothing.
    ///
    /// # Errors
    /// When etcd does not answer, or does not let us read what begins with `prefix`.
    pub async fn examine(&self, prefix: &str) -> Result<Examined, KvError> {
        let nodes = self.look().await;
        self.range(&format!("{prefix}members/")).await?;
        let leader = nodes.iter().find_map(|(_, facts)| {
            let leader = facts.as_ref().ok()?.leader;
            (leader != 0).then_some(leader)
        });
        Ok(Examined {
            members: self.members(leader).await,
            writes_elsewhere: self.writes_elsewhere(prefix).await?,
            nodes,
        })
    }

    /// Asks each node how it is.
    pub async fn look(&self) -> Vec<(String, Result<NodeFacts, String>)> {
        let nodes = self.nodes.each(|connection| async move {
            let status = connection.client.clone().status().await?;
            let own = status.header().map(etcd_client::ResponseHeader::member_id);
            Ok(NodeFacts {
                version: status.version().to_owned(),
                troubles: status.errors().to_vec(),
                leads: own == Some(status.leader()),
                bytes: u64::try_from(status.db_size()).unwrap_or_default(),
                leader: status.leader(),
            })
        });
        nodes.await
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
}

impl Examined {
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
        let versions = self
            .nodes
            .iter()
            .filter_map(|(_, facts)| facts.as_ref().ok());
        if let Some(facts) = { versions }.find(|facts| !holds_to_roles(&facts.version)) {
            found.push(format!(
                "etcd {} lets its users go around their roles (GHSA-rfx7-8w68-q57q): use 3.4.44, 3.5.30, 3.6.11 \
                 or newer, or an etcd that nothing else is in",
                facts.version
            ));
        }
        if self.writes_elsewhere {
            found.push(format!(
                "it lets us write outside of {prefix} too; give vaultgram a user and a role of its own"
            ));
        }
        found
    }
}

/// Whether etcd of `version` checks what a transaction within a transaction does. Of one that is not
/// known nobody can say.
fn holds_to_roles(version: &str) -> bool {
    let mut numbers = version.splitn(3, '.').map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok);
    match (next(), next(), next()) {
        (Some(3), Some(4), Some(patch)) => patch >= 44,
        (Some(3), Some(5), Some(patch)) => patch >= 30,
        (Some(3), Some(6), Some(patch)) => patch >= 11,
        (Some(major), Some(minor), _) => (major, minor) > (3, 6),
        (None, ..) | (_, None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ones_do_not_hold_to_roles() {
        for (version, holds) in [
            ("3.4.23", false),
            ("3.4.44", true),
            ("3.5.29", false),
            ("3.5.30", true),
            ("3.6.10", false),
            ("3.6.11", true),
            ("3.3.1", false),
            ("3.7.0", true),
            ("4.0.0", true),
            ("3.7.0-rc.1", true),
            ("new", true),
        ] {
            assert_eq!(holds_to_roles(version), holds, "{version}");
        }
    }
}
