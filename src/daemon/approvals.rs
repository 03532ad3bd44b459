//! What becomes of requests for approval, as metrics: counted by comparing how they are with how they
//! were, whoever changed them and through whichever front end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{counter, gauge};
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::broker::{ApprovalInfo, Broker};
use crate::domain::ApprovalId;
use crate::domain::approval::{Review, State};
use crate::telemetry::metrics::{
    self, APPROVALS, APPROVALS_LONGEST, APPROVALS_PENDING, APPROVALS_UNREVIEWED, VOTES,
};

/// The longest sleep: time alone changes some, and other processes others.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// What happens at once is counted at once.
const GATHER: Duration = Duration::from_secs(1);

/// What was counted of one request.
struct Counted {
    state: &'static str,
    votes: usize,
}

/// Counts until `stop`. What was so before is not counted again.
pub(super) async fn measure(broker: Arc<Broker>, stop: CancellationToken) {
    let mut changed = broker.approvals_changed();
    let mut before: Option<BTreeMap<ApprovalId, Counted>> = None;
    loop {
        changed.mark_unchanged();
        if let Ok(now) = broker.approvals_for_notices().await {
            publish(&now, broker.now());
            if let Some(before) = &before {
                count(before, &now);
            }
            let counted = |it: &ApprovalInfo| Counted {
                state: it.state.name(),
                votes: it.votes.len(),
            };
            let now = now.iter().map(|it| (it.id.clone(), counted(it)));
            before = Some(now.collect());
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changed.changed() => sleep(GATHER).await,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

fn publish(all: &[ApprovalInfo], now: OffsetDateTime) {
    let pending = all.iter().filter(|it| it.state == State::Pending);
    let longest = pending.clone().map(|it| now - it.opened).max();
    let longest = longest.unwrap_or_default().as_seconds_f64();
    gauge!(APPROVALS_LONGEST).set(longest.max(0.0));
    let unseen = |it: &&ApprovalInfo| matches!(it.review, Some(Review::Open { .. }));
    let unseen = all.iter().filter(unseen).count();
    let counts = [
        (APPROVALS_PENDING, pending.count()),
        (APPROVALS_UNREVIEWED, unseen),
    ];
    for (name, count) in counts {
        // Far below where a count is no longer exact.
        gauge!(name).set(u32::try_from(count).unwrap_or(u32::MAX));
    }
}

fn count(before: &BTreeMap<ApprovalId, Counted>, now: &[ApprovalInfo]) {
    for approval in now {
        let known = before.get(&approval.id);
        let votes = approval.votes.len();
        let new = votes.saturating_sub(known.map_or(0, |known| known.votes));
        counter!(VOTES).increment(new.try_into().unwrap_or(u64::MAX));
        if known.is_none() {
            counter!(APPROVALS, "result" => "opened").increment(1);
        }
        let state = approval.state.name();
        if approval.state == State::Pending || known.is_some_and(|known| known.state == state) {
            continue;
        }
        let glass = approval.review.is_some() && approval.state == State::Granted;
        let result = if glass { "glass_broken" } else { state };
        counter!(APPROVALS, "result" => result).increment(1);
        if glass || !matches!(approval.state, State::Granted | State::Denied { .. }) {
            continue;
        }
        // Never below zero, but for clocks that differ.
        let took = (approval.since - approval.opened).try_into();
        metrics::approval(took.unwrap_or_default());
    }
}
