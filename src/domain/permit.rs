//! The proof that policy allowed one action.

use time::{Duration, OffsetDateTime};

use crate::domain::approval::ApprovalId;
use crate::domain::{Action, Request, Target, Terms};

/// How long a permit may be used: long enough for one call to a slow Vault.
const LIFETIME: Duration = Duration::seconds(30);

/// A permission to do one thing with one target once, minted by [`crate::domain::policy`] only.
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
///     Permit::mint(request, vec![], Default::default(), None, now)
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    request: Request,
    policies: Vec<String>,
    terms: Terms,
    grant: Option<ApprovalId>,
    expires: OffsetDateTime,
}

impl Permit {
    pub(in crate::domain) fn mint(
        request: Request,
        policies: Vec<String>,
        terms: Terms,
        grant: Option<(ApprovalId, OffsetDateTime)>,
        now: OffsetDateTime,
    ) -> Self {
        let (grant, until) = grant.unzip();
        let expires = now + LIFETIME;
        Self {
            request,
            policies,
            terms,
            grant,
            expires: until.map_or(expires, |until| until.min(expires)),
        }
    }

    /// The request this permit answers.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What may be done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.request.action
    }

    /// With what.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.request.target
    }

    /// The ids of the policies that allowed it.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// What those policies say beyond yes.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What was approved so that it is allowed, where that had to be.
    #[must_use]
    pub fn grant(&self) -> Option<&ApprovalId> {
        self.grant.as_ref()
    }

    /// When it stops being valid.
    #[must_use]
    pub fn expires(&self) -> OffsetDateTime {
        self.expires
    }
}
