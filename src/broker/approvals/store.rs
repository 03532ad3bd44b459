//! Where requests for approval are kept: the open ones, and for a time those that are over.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Read, wire};
use crate::broker::Broker;
use crate::broker::ports::CoordinationError;
use crate::domain::{Approval, ApprovalId};

/// Where those are that something can still come of.
const OPEN: &str = "approvals/open/";
/// And where the others are.
const PAST: &str = "approvals/past/";

/// A request for approval, where it was found.
pub(in crate::broker) struct Found {
    pub(in crate::broker) read: Read,
    /// Among the open ones; nothing else can change.
    pub(in crate::broker) open: bool,
}

impl Read {
    pub(in crate::broker) fn approval(&self) -> &Arc<Approval> {
        &self.approval
    }
}

impl Broker {
    /// The request `id`, wherever it is.
    pub(in crate::broker) async fn find(
        &self,
        id: &ApprovalId,
    ) -> Result<Option<Found>, CoordinationError> {
        let coordination = &self.ports.coordination;
        for (prefix, open) in [(OPEN, true), (PAST, false)] {
            let key = format!("{prefix}{id}");
            if let Some(bytes) = coordination.get(&key).await? {
                let read = parse(&key, bytes);
                let damaged = || CoordinationError(format!("{key} is damaged"));
                let read = read.ok_or_else(damaged)?;
                return Ok(Some(Found { read, open }));
            }
        }
        Ok(None)
    }

    /// All open ones.
    pub(super) async fn open_ones(&self) -> Result<Vec<Read>, CoordinationError> {
        let found = self.ports.coordination.list(OPEN).await?;
        let before = std::mem::take(&mut *self.approvals.read());
        let mut now = BTreeMap::new();
        for (key, bytes) in found {
            let known = before.get(&key).filter(|read| *read.bytes == *bytes);
            let read = known.cloned().or_else(|| parse(&key, bytes));
            now.extend(read.map(|read| (key, read)));
        }
        let all = now.values().cloned().collect();
        *self.approvals.read() = now;
        Ok(all)
    }

    /// All that are over.
    pub(super) async fn past_ones(&self) -> Result<Vec<Read>, CoordinationError> {
        let found = self.ports.coordination.list(PAST).await?.into_iter();
        Ok(found
            .filter_map(|(key, bytes)| parse(&key, bytes))
            .collect())
    }

    /// Keeps `new` in place of `before`, or as a new one; whether that was still there.
    pub(super) async fn swap(
        &self,
        before: Option<&Read>,
        new: &Approval,
    ) -> Result<bool, CoordinationError> {
        let id = &new.id;
        let bytes = wire::write(new).map_err(|error| CoordinationError(error.to_string()))?;
        let coordination = &self.ports.coordination;
        // Nobody is given the name of one that is over.
        if before.is_none() && coordination.get(&format!("{PAST}{id}")).await?.is_some() {
            return Ok(false);
        }
        let before = before.map(|read| &*read.bytes);
        let key = format!("{OPEN}{id}");
        let swapped = coordination.swap(&key, before, Some(&bytes)).await?;
        if swapped {
            self.approvals.note_change();
        }
        Ok(swapped)
    }

    /// Puts one that is over among the past ones. Where this is cut off, it is done again.
    pub(super) async fn put_away(&self, read: &Read) -> Result<(), CoordinationError> {
        let (coordination, id) = (&self.ports.coordination, &read.approval.id);
        coordination
            .put(&format!("{PAST}{id}"), &read.bytes)
            .await?;
        coordination
            .swap(&format!("{OPEN}{id}"), Some(&read.bytes), None)
            .await?;
        Ok(())
    }

    /// Forgets one that is over.
    pub(super) async fn forget_past(&self, id: &ApprovalId) -> Result<(), CoordinationError> {
        self.ports.coordination.delete(&format!("{PAST}{id}")).await
    }
}

fn parse(key: &str, bytes: Vec<u8>) -> Option<Read> {
    let Some(approval) = wire::read(&bytes) else {
        tracing::error!(event = "broker.approval_damaged", key);
        return None;
    };
    Some(Read {
        bytes: bytes.into(),
        approval: Arc::new(approval),
    })
}
