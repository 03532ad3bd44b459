//! Devices of an account: carried over to another datacenter, listed, ended.

use grammers_tl_types::functions::account::{
    ChangeAuthorizationSettings, GetAuthorizations, ResetAuthorization,
};
use grammers_tl_types::functions::auth::{
    ExportAuthorization, ImportAuthorization, ResetAuthorizations,
};
use grammers_tl_types::{enums, types};

use super::auth::authorization;
use super::{Answer, Context, Standing};
use crate::model::Refusal;

/// After so many days without a sign of life a device is signed out.
const LIFETIME_DAYS: i32 = 180;

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

/// The device that asks comes first, and is called 0.
pub(super) fn list(
    context: &mut Context<'_>,
    _: GetAuthorizations,
) -> Answer<enums::account::Authorizations> {
    for_people(context)?;
    let mut keys = context.world.devices_of(context.account);
    keys.sort_by_key(|key| *key != context.key);
    let authorizations = keys.into_iter().filter_map(|key| one(context, key));
    Ok(types::account::Authorizations {
        authorization_ttl_days: LIFETIME_DAYS,
        authorizations: authorizations.collect(),
    }
    .into())
}

fn one(context: &Context<'_>, key: i64) -> Option<enums::Authorization> {
    let device = context.world.keys.get(key)?;
    let about = device.about.clone();
    let current = key == context.key;
    let authorization = types::Authorization {
        current,
        official_app: false,
        password_pending: matches!(device.standing, Standing::PasswordDue(_)),
        encrypted_requests_disabled: device.no_secret_chats,
        call_requests_disabled: device.no_calls,
        unconfirmed: device.unconfirmed,
        hash: if current { 0 } else { key },
        device_model: about.model,
        platform: about.platform,
        system_version: about.system,
        api_id: device.api_id,
        app_name: about.app,
        app_version: about.app_version,
        date_created: device.created,
        date_active: device.active,
        ip: about.ip,
        country: about.country,
        region: about.region,
    };
    Some(authorization.into())
}

pub(super) fn reset(context: &mut Context<'_>, request: ResetAuthorization) -> Answer<bool> {
    for_people(context)?;
    let hash = other(context, request.hash)?;
    not_fresh(context)?;
    Ok(context.world.end_authorization(context.account, hash))
}

pub(super) fn reset_all(context: &mut Context<'_>, _: ResetAuthorizations) -> Answer<bool> {
    for_people(context)?;
    not_fresh(context)?;
    context
        .world
        .end_other_authorizations(context.account, context.key);
    Ok(true)
}

pub(super) fn change_settings(
    context: &mut Context<'_>,
    request: ChangeAuthorizationSettings,
) -> Answer<bool> {
    for_people(context)?;
    let hash = match request.hash {
        0 => context.key,
        hash => other(context, hash)?,
    };
    if let Some(device) = context.world.keys.get_mut(hash) {
        device.unconfirmed &= !request.confirmed;
        device.no_secret_chats = request
            .encrypted_requests_disabled
            .unwrap_or(device.no_secret_chats);
        device.no_calls = request.call_requests_disabled.unwrap_or(device.no_calls);
    }
    Ok(true)
}

/// A hash that names another device of the account.
fn other(context: &Context<'_>, hash: i64) -> Answer<i64> {
    let known = context.world.devices_of(context.account).contains(&hash);
    if known && hash != context.key {
        Ok(hash)
    } else {
        Err(Refusal::bad("HASH_INVALID"))
    }
}

fn not_fresh(context: &Context<'_>) -> Answer<()> {
    if context.world.is_fresh(context.key) {
        return Err(Refusal {
            code: 406,
            text: "FRESH_RESET_AUTHORISATION_FORBIDDEN".to_owned(),
        });
    }
    Ok(())
}

fn for_people(context: &Context<'_>) -> Answer<()> {
    if context.world.is_bot(context.account) {
        return Err(Refusal::bad("BOT_METHOD_INVALID"));
    }
    Ok(())
}
