//! Devices of an account: carried over to another datacenter, listed, ended.

use grammers_tl_types::functions::auth::{ExportAuthorization, ImportAuthorization};
use grammers_tl_types::{enums, types};

use super::auth::authorization;
use super::{Answer, Context};

pub(super) fn export(
    context: &mut Context<'_>,
    request: ExportAuthorization,
) -> Answer<enums::auth::ExportedAuthorization> {
    let (id, bytes) = context.world.export(context.key, request.dc_id)?;
    let bytes = bytes.to_vec();
    Ok(types::auth::ExportedAuthorization { id, bytes }.into())
}

pub(super) fn import(
    context: &mut Context<'_>,
    request: ImportAuthorization,
) -> Answer<enums::auth::Authorization> {
    let (id, bytes) = (request.id, &request.bytes);
    let account = context.world.import(context.key, id, bytes)?;
    authorization(context, account)
}
