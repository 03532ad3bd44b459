//! Where requests for approval are kept: the open ones, and for a time those that are over.

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

    /// All open ones, as they were within the last second; what was changed here is always seen.
    pub(super) async fn open_ones(&self) -> Result<Arc<[Read]>, CoordinationError> {
        let now = self.now();
        if let Some(all) = self.approvals.just_seen(now) {
            return Ok(all);
        }
        let (before, changes) = {
            let seen = self.approvals.seen();
            (Arc::clone(&seen.all), seen.changes)
        };
        let found = self.ports.coordination.list(OPEN).await?;
        let all = found.into_iter().filter_map(|(key, bytes)| {
            // Most have not changed, and need not be parsed again.
            let id = key.strip_prefix(OPEN)?;
            let known = before.binary_search_by(|read| read.approval.id.as_str().cmp(id));
            let known = known.ok().and_then(|place| before.get(place));
            let known = known.filter(|read| *read.bytes == *bytes).cloned();
            known.or_else(|| parse(&key, bytes))
        });
        let all: Arc<[Read]> = all.collect();
        let mut seen = self.approvals.seen();
        seen.all = Arc::clone(&all);
        seen.at = (seen.changes == changes).then_some(now);
        Ok(all)
    }

    /// `read` as it is in this moment, if it is still among the open ones.
    pub(super) async fn anew(&self, read: &Read) -> Result<Option<Read>, CoordinationError> {
        let key = format!("{OPEN}{}", read.approval.id);
        let bytes = self.ports.coordination.get(&key).await?;
        if bytes.as_deref() == Some(&*read.bytes) {
            return Ok(Some(read.clone()));
        }
        self.approvals.look_again();
        Ok(bytes.and_then(|bytes| parse(&key, bytes)))
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
        let swapped = coordination.swap(&key, before, Some(&bytes)).await;
        // Also where nobody knows whether it was, or somebody else was faster.
        self.approvals.look_again();
        let swapped = swapped?;
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
        self.approvals.look_again();
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
