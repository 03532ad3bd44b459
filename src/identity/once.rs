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
        // Who had it and ended has answered nobody.
        Claim::Ours | Claim::Abandoned => Ok(coordination.finish(name).await?),
        Claim::Taken | Claim::Done => Err(IdentityError::Replayed),
    }
}
