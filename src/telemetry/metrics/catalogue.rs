//! Every metric there is: its explanation for whoever scrapes, and the values of its label.
//!
//! docs/metrics.md lists them too; a test holds it against what a running vaultgram shows.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::{
    APPROVAL_SECONDS, APPROVALS, APPROVALS_LONGEST, APPROVALS_PENDING, APPROVALS_UNREVIEWED,
    AUDIT_DROPPED, AUDIT_FAILED, AUDIT_RECORDS, AUDIT_SYNC_SECONDS, BUILD_INFO, CACHE_ENTRIES,
    CACHE_READS, CALLS_RETRIED, CERTIFICATE_ENDS, CHAT_LOCKED, CHECKS, COMMANDS, DELETIONS_PENDING,
    DEVICES_LOOKED_AT, ETCD_QUORUM, ETCD_SERVERS, FLOOD_WAIT, FRONT_ENDS, GITHUB_REQUESTS,
    IDENTITY_CHECKS, LEAKS, LEASE_RENEWALS, LEASES, NEW_DEVICES, NEW_DEVICES_UNTOLD,
    POLICY_OUTDATED, POLICY_RELOADS, REPLICAS, REPLIES_LATE, REPLIES_LOST, REPLIES_WAITING,
    REQUEST_SECONDS, REQUESTS, SOCKET_REFUSED, SOCKET_SHED, STAGE_SECONDS, STARTED, STATE_CALLS,
    STATE_SECONDS, TELEGRAM_STATE, TRACE_EXPORTS, VAULT_CLOCK_DRIFT, VAULT_EXCHANGES, VAULT_READY,
    VAULT_STATE, VAULT_TOKEN_LEFT, VAULT_TOKEN_TTL, VOTES, WEBHOOKS, WITNESS_FAILED,
};

const COUNTERS: &[(&str, &str)] = &[
    (
        REQUESTS,
        "Requests to the broker, by where they came from, what was decided, and what came of them.",
    ),
    (
        VAULT_EXCHANGES,
        "Exchanges with Vault, by the class of its status; none where no answer came.",
    ),
    (LEASE_RENEWALS, "Renewals of leases, by what came of them."),
    (
        CACHE_READS,
        "Reads of secrets that policy lets be kept, by where the answer came from.",
    ),
    (
        APPROVALS,
        "Requests for approval, by what became of them (opened, granted, denied, glass_broken, …).",
    ),
    (VOTES, "Votes for requests for approval."),
    (AUDIT_RECORDS, "Audit records written."),
    (
        AUDIT_FAILED,
        "Calls to the audit that could not be written, so that nothing was served.",
    ),
    (
        AUDIT_DROPPED,
        "Audit records that journald or syslog did not take; the file has them.",
    ),
    (
        WITNESS_FAILED,
        "Failed tries to post the audit's head to its chat; each is tried again.",
    ),
    (
        STATE_CALLS,
        "Calls to the state store (the file, or etcd), by what came of them.",
    ),
    (
        COMMANDS,
        "Commands in Telegram taken care of, by command and by what became of the answer.",
    ),
    (CALLS_RETRIED, "Calls to Telegram made again, by reason."),
    (
        REPLIES_LOST,
        "Replies given up because Telegram did not take them in time; the log says which.",
    ),
    (
        REPLIES_LATE,
        "Secrets not sent because they would have come too late; a notice went instead.",
    ),
    (
        NEW_DEVICES,
        "Devices that signed in to vaultgram's Telegram account.",
    ),
    (
        NEW_DEVICES_UNTOLD,
        "Failed tries to tell the admins of a device; each is tried again.",
    ),
    (
        LEAKS,
        "Values that were handed out and stood in watched chats, by whether the message was deleted.",
    ),
    (
        GITHUB_REQUESTS,
        "Requests to GitHub, by what came of them; kept are answers that still held.",
    ),
    (WEBHOOKS, "Webhooks of GitHub's, by what came of them."),
    (
        POLICY_RELOADS,
        "Times the policy was read again, by what came of it.",
    ),
    (TRACE_EXPORTS, "Batches of traces sent, by what came of it."),
    (
        SOCKET_REFUSED,
        "Requests and connections refused because their user had taken enough, by what of.",
    ),
    (
        SOCKET_SHED,
        "Idle connections on the socket closed to make room for others.",
    ),
    (
        IDENTITY_CHECKS,
        "Checks of who asks over the network, by what was shown and what came of it.",
    ),
];

const GAUGES: &[(&str, &str)] = &[
    (BUILD_INFO, "1, with the version that runs."),
    (STARTED, "When the process started, in unix seconds."),
    (
        CHECKS,
        "1 for the state that a dependency is in (ok, degraded, down), 0 for the others.",
    ),
    (
        CERTIFICATE_ENDS,
        "When a certificate of vaultgram's own ends, in unix seconds, by what it is for.",
    ),
    (
        VAULT_READY,
        "1 when the secret store serves and lets us in.",
    ),
    (
        VAULT_STATE,
        "1 for the state the secret store is in, 0 for the others.",
    ),
    (
        VAULT_CLOCK_DRIFT,
        "Seconds by which Vault's clock is ahead of vaultgram's; NaN while Vault does not serve.",
    ),
    (
        VAULT_TOKEN_LEFT,
        "Seconds until vaultgram's Vault token ends unless it is renewed; 0 while Vault does not serve.",
    ),
    (
        VAULT_TOKEN_TTL,
        "Seconds that vaultgram's Vault token was last granted for; NaN while Vault does not serve.",
    ),
    (LEASES, "Leases of dynamic secrets that somebody has."),
    (CACHE_ENTRIES, "Secrets that are kept now."),
    (
        APPROVALS_PENDING,
        "Requests for approval that wait for votes.",
    ),
    (
        APPROVALS_LONGEST,
        "Seconds that the request for approval waits that has waited for longest; 0 where none does.",
    ),
    (
        APPROVALS_UNREVIEWED,
        "Times that the glass was broken and nobody has looked at it.",
    ),
    (
        REPLICAS,
        "Replicas that share the state, this one included, as it sees them.",
    ),
    (
        ETCD_SERVERS,
        "etcd servers that are configured, by whether they answer.",
    ),
    (
        ETCD_QUORUM,
        "1 while most etcd servers answer and one of them leads.",
    ),
    (
        TELEGRAM_STATE,
        "1 for the state the connection to Telegram is in, 0 for the others.",
    ),
    (
        REPLIES_WAITING,
        "Replies that are not sent to Telegram yet.",
    ),
    (
        FLOOD_WAIT,
        "Seconds until Telegram takes messages again (flood wait); 0 when it does.",
    ),
    (
        DELETIONS_PENDING,
        "Sent secrets that are still to be deleted.",
    ),
    (
        DEVICES_LOOKED_AT,
        "When the Telegram account's devices were last seen, in unix seconds.",
    ),
    (
        CHAT_LOCKED,
        "1 while chat is locked because of a new device; vaultgram unlock opens it.",
    ),
    (
        POLICY_OUTDATED,
        "1 while the policy in force is older than its files, as something is wrong with them.",
    ),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    (
        REQUEST_SECONDS,
        "How long the broker took for a request, by where it came from.",
    ),
    (
        STAGE_SECONDS,
        "How long what a request goes through took, by stage.",
    ),
    (STATE_SECONDS, "How long a call to the state store took."),
    (
        AUDIT_SYNC_SECONDS,
        "How long the disk took for a sync of the audit.",
    ),
    (
        APPROVAL_SECONDS,
        "How long requests for approval waited until they were granted or denied.",
    ),
];

/// What may become of a request: what was decided, and what came of it.
const ENDS: [(&str, &str); 21] = [
    ("allow", "released"),
    ("allow", "wrapped"),
    ("allow", "sealed"),
    ("allow", "offered"),
    ("allow", "listed"),
    ("allow", "changed"),
    ("allow", "operated"),
    ("allow", "asked"),
    ("allow", "interrupted"),
    ("allow", "mistaken"),
    ("allow", "failed"),
    ("deny", "denied"),
    ("deny", "failed"),
    ("approval", "waiting"),
    ("approval", "denied"),
    ("approval", "interrupted"),
    ("approval", "mistaken"),
    ("approval", "failed"),
    ("none", "interrupted"),
    ("none", "mistaken"),
    ("none", "failed"),
];

/// The values of the label of counters that have one.
const VALUES: &[(&str, &str, &[&str])] = &[
    (
        VAULT_EXCHANGES,
        "status",
        &["2xx", "3xx", "4xx", "5xx", "none"],
    ),
    (LEASE_RENEWALS, "result", &["renewed", "failed"]),
    (CACHE_READS, "result", &["hit", "miss", "stale"]),
    (
        APPROVALS,
        "result",
        &[
            "opened",
            "granted",
            "denied",
            "cancelled",
            "expired",
            "used",
            "revoked",
            "ended",
            "applied",
            "glass_broken",
        ],
    ),
    (AUDIT_DROPPED, "sink", &["journald", "syslog"]),
    (STATE_CALLS, "result", &["ok", "failed"]),
    (TRACE_EXPORTS, "result", &["ok", "failed"]),
    (
        CALLS_RETRIED,
        "reason",
        &["disconnected", "flood", "server"],
    ),
    (LEAKS, "deleted", &["yes", "not_allowed", "not_yet"]),
    (
        GITHUB_REQUESTS,
        "result",
        &["ok", "kept", "refused", "limited", "failed"],
    ),
    (
        WEBHOOKS,
        "result",
        &[
            "taken",
            "ignored",
            "too_large",
            "signature",
            "no_delivery_id",
            "malformed",
            "stale",
            "replayed",
            "elsewhere",
            "unavailable",
        ],
    ),
    (
        POLICY_RELOADS,
        "result",
        &["loaded", "unchanged", "refused"],
    ),
    (
        SOCKET_REFUSED,
        "why",
        &["rate", "connections", "full", "in_flight"],
    ),
];

/// Counters without a label.
const PLAIN: &[&str] = &[
    VOTES,
    AUDIT_RECORDS,
    AUDIT_FAILED,
    WITNESS_FAILED,
    REPLIES_LOST,
    REPLIES_LATE,
    NEW_DEVICES,
    NEW_DEVICES_UNTOLD,
    SOCKET_SHED,
];

/// Has what is scraped explain itself.
pub(super) fn describe() {
    for (name, help) in COUNTERS {
        describe_counter!(*name, *help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(*name, *help);
    }
}

/// Has counters begin at 0, and what is only set when it changes: of one that begins at 1, nobody sees
/// the first. Of two there is only one of many: why proofs are none, and commands.
pub(super) fn begin_at_zero() {
    for name in PLAIN {
        counter!(*name).increment(0);
    }
    for (name, label, values) in VALUES {
        for value in *values {
            counter!(*name, *label => *value).increment(0);
        }
    }
    for front_end in FRONT_ENDS {
        for (decision, outcome) in ENDS {
            let labels = [
                ("front_end", front_end),
                ("decision", decision),
                ("outcome", outcome),
            ];
            counter!(REQUESTS, &labels).increment(0);
        }
    }
    for evidence in ["token", "signature", "session"] {
        counter!(IDENTITY_CHECKS, "evidence" => evidence, "result" => "ok").increment(0);
    }
    for name in [CACHE_ENTRIES, POLICY_OUTDATED] {
        gauge!(name).set(0.0);
    }
    // One that everybody may give.
    counter!(COMMANDS, "command" => "help", "answer" => "private").increment(0);
}

/// The explanation of a histogram.
pub(super) fn help(name: &str) -> &'static str {
    let found = HISTOGRAMS.iter().find(|(of, _)| *of == name);
    found.map_or("", |(_, help)| *help)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn page() -> String {
        let root = env!("CARGO_MANIFEST_DIR");
        std::fs::read_to_string(format!("{root}/docs/metrics.md")).unwrap()
    }

    /// What stands in backticks.
    fn quoted(text: &str) -> BTreeSet<&str> {
        text.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_values_of_labels_are_those_on_the_page() {
        let page = page();
        for (name, label, values) in VALUES {
            let row = format!("| `{name}` | counter | `{label}` |");
            let row = page.lines().find_map(|line| line.strip_prefix(&*row));
            let told = row.unwrap_or_else(|| panic!("no row of {name}, by {label}"));
            assert_eq!(quoted(told), values.iter().copied().collect(), "{name}");
        }
    }

    #[test]
    fn the_ends_of_requests_are_those_on_the_page() {
        let page = page();
        let point = |label: &str| {
            let (_, rest) = page.split_once(&format!("\n- `{label}`: ")).unwrap();
            quoted(
                rest.split("\n- ")
                    .next()
                    .unwrap()
                    .split("\n\n")
                    .next()
                    .unwrap(),
            )
        };
        assert_eq!(point("decision"), ENDS.iter().map(|end| end.0).collect());
        assert_eq!(point("outcome"), ENDS.iter().map(|end| end.1).collect());
        assert_eq!(point("front_end"), FRONT_ENDS.into_iter().collect());
    }
}
