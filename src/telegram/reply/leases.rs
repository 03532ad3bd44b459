//! What is written back about leases.

use super::{Reply, changed, shown};
use crate::broker::{Keeping, LeaseInfo};
use crate::domain::span::spoken;
use crate::domain::{Caller, Lease};

/// What is to be known of a lease beside a secret: `lease K7Q2, for 60 min`.
pub(super) fn beside(lease: &Lease) -> String {
    let time = spoken(lease.duration);
    match &lease.code {
        Some(code) => format!("lease {code}, for {time}"),
        None => format!("for {time}"),
    }
}

/// What can be done with a lease, after the message with the secret is gone.
pub(super) fn advice(lease: &Lease) -> String {
    match &lease.code {
        Some(code) if lease.renewable => {
            format!(" The lease stays: /leases, /keep_lease {code} 8h, /revoke_lease {code}")
        }
        Some(code) => format!(" The lease stays: /leases, /revoke_lease {code}"),
        None => String::new(),
    }
}

impl Reply {
    /// `/leases`
    pub(in crate::telegram) fn leases(leases: &[LeaseInfo], caller: &Caller) -> Self {
        if leases.is_empty() {
            return Self::plain("There are no leases.");
        }
        let caller = caller.to_string();
        let lines = leases.iter().map(|lease| {
            let kept = lease
                .kept
                .map(|kept| format!(", kept for {}", spoken(kept)));
            let holder = (lease.holder != caller).then(|| format!(", of {}", lease.holder));
            format!(
                "{}  {}  ends in {}{}{}",
                lease.code,
                shown::name(&lease.path),
                spoken(lease.left),
                kept.unwrap_or_default(),
                holder.unwrap_or_default()
            )
        });
        let head = "Leases (/keep_lease CODE 8h renews one, /revoke_lease CODE ends it):";
        changed::lines_of(head, lines, leases.len()).guarded()
    }

    /// A lease is renewed from now on.
    pub(in crate::telegram) fn lease_kept(kept: &Keeping) -> Self {
        let lease = &kept.lease;
        let LeaseInfo { code, path, .. } = lease;
        let until = spoken(lease.kept.unwrap_or(lease.left));
        let cut = if kept.cut {
            " Vault lets it last no longer."
        } else {
            ""
        };
        let now = spoken(lease.left);
        Self::plain(format!(
            "Lease {code} of {path} is kept for {until}: Vault grants {now} now, and I renew it \
             as needed.{cut}"
        ))
    }

    /// A lease has ended.
    pub(in crate::telegram) fn lease_revoked(lease: &LeaseInfo) -> Self {
        Self::plain(format!(
            "Lease {} of {} is revoked; what hung on it works no more.",
            lease.code, lease.path
        ))
    }
}
