//! Metrics: what is counted, under which names, and their text in Prometheus' format.
//!
//! Labels come from closed lists in the code. No user, chat or path is ever one: whoever can
//! connect to the socket may read all of this.

mod catalogue;
mod histogram;

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use self::histogram::{Histogram, LONG, SHORT};
use crate::telemetry::stage::Stage;

/// Gauge, by `version` and `arch`: 1.
pub const BUILD_INFO: &str = "vaultgram_build_info";
/// Gauge: when the process started, in unix seconds.
pub const STARTED: &str = "process_start_time_seconds";
/// Gauge, by `check` and `state`: 1 for the state that a dependency is in, 0 for the others.
pub const CHECKS: &str = "vaultgram_check_state";
/// Gauge, by `of`: when the certificate ends that is shown there, in unix seconds.
pub const CERTIFICATE_ENDS: &str = "vaultgram_certificate_expiry_timestamp_seconds";

/// Counter, by `front_end`, `decision` and `outcome`: requests to the broker.
pub const REQUESTS: &str = "vaultgram_requests_total";
/// Histogram, by `front_end`: how long the broker took for them.
pub const REQUEST_SECONDS: &str = "vaultgram_request_duration_seconds";
/// Histogram, by `stage`: how long what they go through took.
pub const STAGE_SECONDS: &str = "vaultgram_stage_duration_seconds";

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
/// Gauge: seconds that our token was granted for when it was last; `+Inf` for one without an end.
pub const VAULT_TOKEN_TTL: &str = "vaultgram_vault_token_ttl_seconds";
/// Counter, by `status` (`2xx`, …, `none`): exchanges with the secret store, by its answer.
pub const VAULT_EXCHANGES: &str = "vaultgram_vault_exchanges_total";
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
/// Histogram: how long requests waited until they were granted or denied.
pub const APPROVAL_SECONDS: &str = "vaultgram_approval_decision_seconds";
/// Gauge: how long the one waits that has waited for longest, in seconds.
pub const APPROVALS_LONGEST: &str = "vaultgram_approvals_longest_wait_seconds";

/// Counter, by `result` (`hit`, `miss`, `stale`): reads of what policy lets be kept.
pub const CACHE_READS: &str = "vaultgram_cache_reads_total";
/// Counter: records of the audit that were written.
pub const AUDIT_RECORDS: &str = "vaultgram_audit_records_total";
/// Counter: calls to the audit that wrote nothing, so that nothing was served.
pub const AUDIT_FAILED: &str = "vaultgram_audit_failures_total";
/// Histogram: how long the disk took for a sync of the audit.
pub const AUDIT_SYNC_SECONDS: &str = "vaultgram_audit_sync_duration_seconds";
/// Counter, by `sink` (`journald`, `syslog`): records that a sink did not take, where it need not.
pub const AUDIT_DROPPED: &str = "vaultgram_audit_dropped_total";
/// Counter: failed tries to post the audit's head to its chat; each is tried again.
pub const WITNESS_FAILED: &str = "vaultgram_audit_witness_failed_total";

/// Counter, by `result` (`ok`, `failed`): calls to the state store.
pub const STATE_CALLS: &str = "vaultgram_state_calls_total";
/// Histogram: how long they took.
pub const STATE_SECONDS: &str = "vaultgram_state_call_duration_seconds";
/// Gauge: replicas that share the state, as this one sees them.
pub const REPLICAS: &str = "vaultgram_replicas";
/// Gauge, by `state` (`answering`, `silent`): the etcd servers that are configured.
pub const ETCD_SERVERS: &str = "vaultgram_etcd_servers";
/// Gauge: whether most etcd servers answer, and one of them leads.
pub const ETCD_QUORUM: &str = "vaultgram_etcd_quorum";

/// Gauge: secrets that are kept now.
pub const CACHE_ENTRIES: &str = "vaultgram_cache_entries";

/// Counter, by `result` (`ok`, `kept`, `refused`, `limited`, `failed`): requests to GitHub.
pub const GITHUB_REQUESTS: &str = "vaultgram_github_requests_total";

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

/// Every front end.
pub const FRONT_ENDS: [&str; 3] = ["telegram", "socket", "https"];

static REQUEST: [Histogram<18>; 3] = [const { Histogram::new(SHORT) }; 3];
static STAGES: [Histogram<18>; 6] = [const { Histogram::new(SHORT) }; 6];
static STATE: Histogram<18> = Histogram::new(SHORT);
static AUDIT_SYNC: Histogram<18> = Histogram::new(SHORT);
static APPROVAL: Histogram<9> = Histogram::new(LONG);

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
    catalogue::describe();
    catalogue::begin_at_zero();
    let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    gauge!(BUILD_INFO, "version" => version, "arch" => arch).set(1.0);
}

/// A request that came by `front_end` ended so, and took so long.
pub fn request(
    front_end: &'static str,
    decision: &'static str,
    outcome: &'static str,
    took: Duration,
) {
    let labels = [
        ("front_end", front_end),
        ("decision", decision),
        ("outcome", outcome),
    ];
    counter!(REQUESTS, &labels).increment(1);
    let all = FRONT_ENDS.iter().zip(&REQUEST);
    for (_, histogram) in all.filter(|(name, _)| **name == front_end) {
        histogram.observe(took);
    }
}

/// A stage took so long.
pub fn stage(stage: Stage, took: Duration) {
    let all = Stage::ALL.iter().zip(&STAGES);
    for (_, histogram) in all.filter(|(of, _)| **of == stage) {
        histogram.observe(took);
    }
}

/// A call to the state store ended so, and took so long.
pub fn state_call(ok: bool, took: Duration) {
    let result = if ok { "ok" } else { "failed" };
    counter!(STATE_CALLS, "result" => result).increment(1);
    STATE.observe(took);
}

/// The disk took so long for a sync of the audit.
pub fn audit_sync(took: Duration) {
    AUDIT_SYNC.observe(took);
}

/// Somebody waited for a decision for so long.
pub fn approval(took: Duration) {
    APPROVAL.observe(took);
}

/// Everything recorded, in Prometheus' text format; empty before [`start`].
#[must_use]
pub fn render() -> String {
    let Some(handle) = HANDLE.get() else {
        return String::new();
    };
    let mut text = handle.render();
    let fronts = FRONT_ENDS.map(|name| format!("front_end=\"{name}\""));
    let stages = Stage::ALL.map(|stage| format!("stage=\"{}\"", stage.name()));
    let alone = |histogram| [(String::new(), histogram)];
    let help = |name| (name, catalogue::help(name));
    histogram::write(
        help(REQUEST_SECONDS),
        fronts.into_iter().zip(&REQUEST),
        &mut text,
    );
    histogram::write(
        help(STAGE_SECONDS),
        stages.into_iter().zip(&STAGES),
        &mut text,
    );
    histogram::write(help(STATE_SECONDS), alone(&STATE), &mut text);
    histogram::write(help(AUDIT_SYNC_SECONDS), alone(&AUDIT_SYNC), &mut text);
    histogram::write(
        help(APPROVAL_SECONDS),
        [(String::new(), &APPROVAL)],
        &mut text,
    );
    text
}
