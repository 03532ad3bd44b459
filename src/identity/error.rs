//! Why evidence is not taken.

use thiserror::Error;

use crate::broker::ports::CoordinationError;

/// Why evidence is not taken. `Display` is fit for who brought it: it helps with clocks and
/// settings, and does not tell a key that is not known from a signature that is wrong.
/// [`IdentityError::name`] does, for the audit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Not of the form it should have.
    #[error("this cannot be read: {0}")]
    Malformed(&'static str),
    /// Signed with an algorithm that is not taken, or not with the one its key is for.
    #[error("{UNPROVEN}")]
    Algorithm,
    /// No key of that name.
    #[error("{UNPROVEN}")]
    KeyUnknown,
    /// Not by that key, or not of this.
    #[error("{UNPROVEN}")]
    Signature,
    /// No such issuer, or another one's token.
    #[error(
        "the token is not from a trusted issuer of that name; the role is the issuer's name in \
         vaultgram's configuration"
    )]
    Issuer,
    /// For somebody else.
    #[error(
        "the token is for another audience; ask its issuer for one with the audience that \
         vaultgram is configured with"
    )]
    Audience,
    /// Over.
    #[error("this has run out; make a new one, and see that the clocks on both sides are right")]
    Expired,
    /// From the future.
    #[error("this is not valid yet: one of the clocks is wrong; set both by NTP")]
    NotYet,
    /// It lasts too long.
    #[error("the token lasts longer than a day; ask its issuer for one that lasts minutes")]
    Lifetime,
    /// From an account that does not speak for the signer.
    #[error("this is signed by another than the account it comes from may send for")]
    Sender,
    /// Not as it was sent first: changed since, forwarded, or sent in somebody's name.
    #[error("a signed message counts only as its sender wrote it, not edited or forwarded")]
    SecondHand,
    /// It was used.
    #[error("this was used before, and counts once; get a new token, or sign with a new id")]
    Replayed,
    /// No session, or one that has ended. In Vault's words, by which clients know to sign in again.
    #[error("permission denied: this is no session, or it has ended; sign in again")]
    NoSession,
    /// An issuer's keys cannot be had. The cause is for the log.
    #[error("the issuer's keys cannot be fetched now; ask again in a minute")]
    JwksDown,
    /// The keys of those who sign cannot be had. The cause is for the log.
    #[error("the signing keys cannot be read now; ask again in a minute")]
    KeysDown,
    /// Too many sessions.
    #[error("too many jobs have signed in; ask again in a minute")]
    Full,
    /// What must be remembered cannot be. The cause is for the log.
    #[error("vaultgram cannot reach its state store, so nobody can sign in; tell an operator")]
    Store(#[from] CoordinationError),
}

/// All that is told of a proof that proves nothing.
const UNPROVEN: &str = "the signature proves nothing: the key is not known here, or signed something \
                        else; see that issuer or key are right and nothing changed on the way";

impl IdentityError {
    /// One word for the audit and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Algorithm => "algorithm",
            Self::KeyUnknown => "key_unknown",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Lifetime => "lifetime",
            Self::Sender => "sender",
            Self::SecondHand => "second_hand",
            Self::Replayed => "replayed",
            Self::NoSession => "no_session",
            Self::JwksDown => "jwks_down",
            Self::KeysDown => "keys_down",
            Self::Full => "full",
            Self::Store(_) => "store",
        }
    }

    /// Whether it is no fault of what was brought, so that the same may be taken later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::JwksDown | Self::KeysDown | Self::Full | Self::Store(_) => true,
            Self::Malformed(_)
            | Self::Algorithm
            | Self::KeyUnknown
            | Self::Signature
            | Self::Issuer
            | Self::Audience
            | Self::Expired
            | Self::NotYet
            | Self::Lifetime
            | Self::Sender
            | Self::SecondHand
            | Self::Replayed
            | Self::NoSession => false,
        }
    }
}
