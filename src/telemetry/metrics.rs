//! Metrics: what is counted, under which names, and their text in Prometheus' format.
//!
//! Labels come from closed lists in the code. No user, chat or path is ever one: whoever can
//! connect to the socket may read all of this.

use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Gauge, by `state`: 1 for the state the connection to Telegram is in, 0 for the others.
pub const TELEGRAM_STATE: &str = "vaultgram_telegram_state";
/// Gauge: replies that are not sent yet.
pub const REPLIES_WAITING: &str = "vaultgram_telegram_replies_waiting";
/// Gauge: seconds until Telegram takes messages again; 0 when it does.
pub const FLOOD_WAIT: &str = "vaultgram_telegram_flood_wait_seconds";
/// Counter: replies given up; the log says which.
pub const REPLIES_LOST: &str = "vaultgram_telegram_replies_lost_total";
/// Counter: secrets that would have come too late, so that a notice went in their place.
pub const REPLIES_LATE: &str = "vaultgram_telegram_replies_late_total";
/// Counter, by `command` and `answer`: commands taken care of.
pub const COMMANDS: &str = "vaultgram_telegram_commands_total";
/// Counter, by `reason`: calls made again.
pub const CALLS_RETRIED: &str = "vaultgram_telegram_calls_retried_total";
/// Gauge: sent secrets that are still to be deleted.
pub const DELETIONS_PENDING: &str = "vaultgram_telegram_deletions_pending";
/// Counter: devices that signed in to the account.
pub const NEW_DEVICES: &str = "vaultgram_telegram_new_devices_total";
/// Counter: failed tries to tell the admins of a device; each is tried again.
pub const NEW_DEVICES_UNTOLD: &str = "vaultgram_telegram_new_devices_untold_total";
/// Gauge: when the account's devices were last seen, in unix seconds.
pub const DEVICES_LOOKED_AT: &str = "vaultgram_telegram_devices_looked_at_timestamp_seconds";
/// Counter, by `deleted` (`yes`, `not_allowed`, `not_yet`): values found in messages of watched
/// chats.
pub const LEAKS: &str = "vaultgram_telegram_leaks_total";
/// Gauge: whether chat is locked.
pub const CHAT_LOCKED: &str = "vaultgram_telegram_locked";
/// Gauge: whether the secret store serves.
pub const VAULT_READY: &str = "vaultgram_vault_ready";

/// Gauge, by `state`: 1 for the state the secret store is in, 0 for the others.
pub const VAULT_STATE: &str = "vaultgram_vault_state";
/// Gauge: seconds by which the secret store's clock is ahead of ours; NaN while it does not serve.
pub const VAULT_CLOCK_DRIFT: &str = "vaultgram_vault_clock_drift_seconds";
/// Gauge: seconds until our token ends unless it is renewed; 0 while the store does not serve.
pub const VAULT_TOKEN_LEFT: &str = "vaultgram_vault_token_left_seconds";
/// Gauge: leases of dynamic secrets that somebody has.
pub const LEASES: &str = "vaultgram_leases";
/// Counter, by `result` (`renewed`, `failed`): renewals of leases.
pub const LEASE_RENEWALS: &str = "vaultgram_lease_renewals_total";

/// Gauge: requests for approval that wait for votes.
pub const APPROVALS_PENDING: &str = "vaultgram_approvals_pending";
/// Gauge: times that the glass was broken and nobody has looked at it.
pub const APPROVALS_UNREVIEWED: &str = "vaultgram_approvals_unreviewed";
/// Counter, by `result` (`opened`, `granted`, `denied`, `glass_broken`, …): what became of requests
/// for approval.
pub const APPROVALS: &str = "vaultgram_approvals_total";
/// Counter: votes for requests.
pub const VOTES: &str = "vaultgram_approval_votes_total";
/// Counter: seconds that granted requests waited for it, all together.
pub const APPROVAL_SECONDS: &str = "vaultgram_approval_seconds_total";

/// Counter, by `result` (`hit`, `miss`, `stale`): reads of what policy lets be kept.
pub const CACHE_READS: &str = "vaultgram_cache_reads_total";
/// Counter, by `sink` (`journald`, `syslog`): records that a sink did not take, where it need not.
pub const AUDIT_DROPPED: &str = "vaultgram_audit_dropped_total";
/// Counter: failed tries to post the audit's head to its chat; each is tried again.
pub const WITNESS_FAILED: &str = "vaultgram_audit_witness_failed_total";

/// Gauge: secrets that are kept now.
pub const CACHE_ENTRIES: &str = "vaultgram_cache_entries";

/// Counter, by `result` (`ok`, `kept`, `refused`, `limited`, `failed`): requests to GitHub.
pub const GITHUB_REQUESTS: &str = "vaultgram_github_requests_total";
/// Counter, by `result` (`taken`, `ignored`, `signature`, `replayed`, …): webhooks of GitHub's.
pub const WEBHOOKS: &str = "vaultgram_webhooks_total";

/// Gauge: whether the policy in force is older than its files, as something is wrong with them.
pub const POLICY_OUTDATED: &str = "vaultgram_policy_outdated";
/// Counter, by `result` (`loaded`, `unchanged`, `refused`): times the policy was read again.
pub const POLICY_RELOADS: &str = "vaultgram_policy_reloads_total";

/// Counter, by `why` (`rate`, `connections`, `full`, `in_flight`): requests and connections that
/// took more than their user's share.
pub const SOCKET_REFUSED: &str = "vaultgram_socket_refused_total";
/// Counter: idle connections that were closed to make room.
pub const SOCKET_SHED: &str = "vaultgram_socket_shed_total";

/// Counter, by `evidence` (`token`, `signature`, `session`) and `result` (`ok`, `expired`,
/// `replayed`, …): checks of who asks over the network.
pub const IDENTITY_CHECKS: &str = "vaultgram_identity_checks_total";

/// Renders what was recorded; set once.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to record. What was recorded before is lost.
pub fn start() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // Already set only where tests of one process start twice.
    if metrics::set_global_recorder(recorder).is_err() || HANDLE.set(handle).is_err() {
        return;
    }
    describe_telegram();
    describe_vault();
    describe_ourselves();
}

fn describe_telegram() {
    describe_gauge!(
        TELEGRAM_STATE,
        "1 for the state the connection to Telegram is in, 0 for the others."
    );
    describe_gauge!(
        REPLIES_WAITING,
        "Replies that are not sent to Telegram yet."
    );
    describe_gauge!(
        FLOOD_WAIT,
        "Seconds until Telegram takes messages again (flood wait); 0 when it does."
    );
    describe_counter!(
        REPLIES_LOST,
        "Replies given up because Telegram did not take them in time; the log says which."
    );
    describe_counter!(
        REPLIES_LATE,
        "Secrets not sent because they would have come too late; a notice went instead."
    );
    describe_counter!(
        COMMANDS,
        "Commands in Telegram taken care of, by command and by what became of the answer."
    );
    describe_counter!(CALLS_RETRIED, "Calls to Telegram made again, by reason.");
    describe_gauge!(
        DELETIONS_PENDING,
        "Sent secrets that are still to be deleted."
    );
    describe_counter!(
        NEW_DEVICES,
        "Devices that signed in to vaultgram's Telegram account."
    );
    describe_counter!(
        NEW_DEVICES_UNTOLD,
        "Failed tries to tell the admins of a device; each is tried again."
    );
    describe_gauge!(
        DEVICES_LOOKED_AT,
        "When the Telegram account's devices were last seen, in unix seconds."
    );
    describe_counter!(
        LEAKS,
        "Values that were handed out and stood in watched chats, by whether the message was deleted."
    );
    describe_gauge!(
        CHAT_LOCKED,
        "1 while chat is locked because of a new device; vaultgram unlock opens it."
    );
}

fn describe_vault() {
    describe_gauge!(
        VAULT_READY,
        "1 when the secret store serves and lets us in."
    );
    describe_gauge!(
        VAULT_STATE,
        "1 for the state the secret store is in, 0 for the others."
    );
    describe_gauge!(
        VAULT_CLOCK_DRIFT,
        "Seconds by which Vault's clock is ahead of vaultgram's; NaN while Vault does not serve."
    );
    describe_gauge!(
        VAULT_TOKEN_LEFT,
        "Seconds until vaultgram's Vault token ends unless it is renewed; 0 while Vault does not serve."
    );
    describe_gauge!(LEASES, "Leases of dynamic secrets that somebody has.");
    describe_counter!(LEASE_RENEWALS, "Renewals of leases, by what came of them.");
    describe_counter!(
        CACHE_READS,
        "Reads of secrets that policy lets be kept, by where the answer came from."
    );
    describe_gauge!(CACHE_ENTRIES, "Secrets that are kept now.");
}

fn describe_ourselves() {
    describe_gauge!(
        APPROVALS_PENDING,
        "Requests for approval that wait for votes."
    );
    describe_gauge!(
        APPROVALS_UNREVIEWED,
        "Times that the glass was broken and nobody has looked at it."
    );
    describe_counter!(
        APPROVALS,
        "Requests for approval, by what became of them (opened, granted, denied, glass_broken, …)."
    );
    describe_counter!(VOTES, "Votes for requests for approval.");
    describe_counter!(
        APPROVAL_SECONDS,
        "Seconds that granted requests waited until they were, all together."
    );
    describe_counter!(
        AUDIT_DROPPED,
        "Audit records that journald or syslog did not take; the file has them."
    );
    describe_counter!(
        WITNESS_FAILED,
        "Failed tries to post the audit's head to its chat; each is tried again."
    );
    describe_counter!(
        GITHUB_REQUESTS,
        "Requests to GitHub, by what came of them; kept are answers that still held."
    );
    describe_counter!(WEBHOOKS, "Webhooks of GitHub's, by what came of them.");
    describe_gauge!(
        POLICY_OUTDATED,
        "1 while the policy in force is older than its files, as something is wrong with them."
    );
    describe_counter!(
        POLICY_RELOADS,
        "Times the policy was read again, by what came of it."
    );
    describe_counter!(
        SOCKET_REFUSED,
        "Requests and connections refused because their user had taken enough, by what of."
    );
    describe_counter!(
        IDENTITY_CHECKS,
        "Checks of who asks over the network, by what was shown and what came of it."
    );
    describe_counter!(
        SOCKET_SHED,
        "Idle connections on the socket closed to make room for others."
    );
}

/// Everything recorded, in Prometheus' text format; empty before [`start`].
#[must_use]
pub fn render() -> String {
    HANDLE
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}
