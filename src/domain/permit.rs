//! The proof that policy allowed one read.

use time::{Duration, OffsetDateTime};

use crate::domain::{Request, Target};

/// How long a permit may be used: long enough for one read of a slow Vault.
const LIFETIME: Duration = Duration::seconds(30);

/// A permission to read one target once, minted by [`crate::domain::policy`] only.
///
/// It cannot be made, copied or changed anywhere else:
///
/// ```compile_fail
/// use vaultgram::domain::Permit;
/// fn twice(permit: Permit) -> (Permit, Permit) {
///     (permit.clone(), permit)
/// }
/// ```
///
/// ```compile_fail
/// use vaultgram::domain::{Permit, Request};
/// fn forge(request: Request, now: time::OffsetDateTime) -> Permit {
///     Permit::mint(request, vec![], now)
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    request: Request,
    policies: Vec<String>,
    expires: OffsetDateTime,
}

impl Permit {
    pub(in crate::domain) fn mint(
        request: Request,
        policies: Vec<String>,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            request,
            policies,
            expires: now + LIFETIME,
        }
    }

    /// The request this permit answers.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What may be read.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.request.target
    }

    /// The ids of the policies that allowed it.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// When it stops being valid.
    #[must_use]
    pub fn expires(&self) -> OffsetDateTime {
        self.expires
    }
}
