//! Why the store did not do what it was asked.

use thiserror::Error;

use crate::domain::VersionFacts;

/// Why the store did not do it. `Display` is fit for the caller, who was permitted to, wherever
/// they ask; what they can do about it there, each front adds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// No such secret.
    #[error("there is no secret at this path")]
    NotFound,
    /// The secret exists, that version does not.
    #[error("the secret has no such version")]
    NoSuchVersion,
    /// That version was deleted, and can be undeleted.
    #[error("version {} of the secret is deleted", .0.number)]
    Deleted(VersionFacts),
    /// That version is not deleted, so there is nothing to undelete.
    #[error("version {version} of the secret is not deleted")]
    NotDeleted {
        /// The version.
        version: u64,
    },
    /// That version was destroyed for good.
    #[error("version {} of the secret is destroyed", .0.number)]
    Destroyed(VersionFacts),
    /// Somebody wrote it meanwhile, or it exists where it must not.
    #[error("{}", conflict(*.current))]
    Conflict {
        /// The newest version; 0 when Vault did not say.
        current: u64,
    },
    /// It is written only by who says over which version, and nobody did.
    #[error("this secret is only written over a version that is named")]
    CasRequired,
    /// The token wraps nothing: it was used, has run out, or never was one.
    #[error("wrapping token is not valid or does not exist")]
    NotWrapped,
    /// There is no such thing to be done there.
    #[error("this path cannot do that; another may: some are only read, some only invoked")]
    Unsupported,
    /// Vault's own policies refuse it to our token.
    #[error("Vault refuses vaultgram this path; its Vault policy must allow it")]
    Forbidden,
    /// Vault gives us no token of the role that the policy names, and none other is used.
    #[error(
        "Vault refuses vaultgram the token role of this policy; an operator finds in vaultgram's \
         log what to grant"
    )]
    RoleRefused,
    /// Vault takes no such change: too large, or against a rule of the mount.
    #[error("Vault refuses the change; an operator finds why in vaultgram's log")]
    Refused,
    /// An engine takes no such parameters: its own words, without the parameters' values.
    #[error("Vault refuses the request: {0}")]
    Rejected(String),
    /// What is mounted there is not what the configuration says.
    #[error(
        "what is mounted there is not what vaultgram's configuration says; an operator finds in \
         vaultgram's log what to write"
    )]
    WrongMount,
    /// Sealed, or not initialised.
    #[error("Vault is sealed; try again when it is unsealed")]
    Sealed,
    /// Vault refuses our login: it is there, and nothing of it is for us any more.
    #[error("Vault does not let vaultgram in; an operator finds why in its log")]
    LoggedOut,
    /// Not reachable, or no answer in time, or the first login has not ended.
    #[error("Vault cannot be reached now; try again in a moment")]
    Unavailable,
    /// It was sent, and no answer came that says whether it was done.
    #[error(
        "Vault did not answer, so nobody knows whether it was done; look at what is there before \
         you ask again"
    )]
    Unclear,
    /// An answer that is not what this path should hold, or over the size limit.
    #[error("Vault's answer is not what this path should hold, or too large")]
    Invalid,
}

fn conflict(current: u64) -> String {
    match current {
        0 => "somebody else changed the secret meanwhile".to_owned(),
        current => format!("the secret is at version {current} by now"),
    }
}

impl StoreError {
    /// Whether what was to be done to a version is so already, or there is no such version.
    #[must_use]
    pub fn nothing_to_do(&self) -> bool {
        matches!(
            self,
            Self::NotFound
                | Self::NoSuchVersion
                | Self::Deleted(_)
                | Self::NotDeleted { .. }
                | Self::Destroyed(_)
        )
    }

    /// The name in audit and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoSuchVersion => "no_such_version",
            Self::Deleted(_) => "deleted",
            Self::NotDeleted { .. } => "not_deleted",
            Self::Destroyed(_) => "destroyed",
            Self::Conflict { .. } => "store_conflict",
            Self::CasRequired => "store_cas_required",
            Self::NotWrapped => "not_wrapped",
            Self::Unsupported => "store_unsupported",
            Self::Forbidden => "store_forbidden",
            Self::RoleRefused => "store_role_refused",
            Self::Refused => "store_refused",
            Self::Rejected(_) => "store_rejected",
            Self::WrongMount => "wrong_mount",
            Self::Sealed => "store_sealed",
            Self::LoggedOut => "store_logged_out",
            Self::Unavailable => "store_unavailable",
            Self::Unclear => "store_unclear",
            Self::Invalid => "store_answer_invalid",
        }
    }
}
