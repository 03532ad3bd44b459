//! What counts once, for all replicas together.

use time::OffsetDateTime;

use crate::broker::ports::{Claim, Coordination};
use crate::identity::IdentityError;

/// Takes `name`, until `until` has passed.
///
/// # Errors
/// When it was taken before, or nobody can tell.
pub(super) async fn once(
    coordination: &dyn Coordination,
    name: &str,
    until: OffsetDateTime,
) -> Result<(), IdentityError> {
    match coordination.claim(name, until).await? {
        Claim::Ours => Ok(coordination.finish(name).await?),
        // Whoever is taken for ended may only have hung, and go on as if it were theirs.
        Claim::Abandoned => {
            coordination.finish(name).await?;
            Err(IdentityError::Replayed)
        }
        Claim::Taken | Claim::Done => Err(IdentityError::Replayed),
    }
}
