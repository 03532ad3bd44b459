//! `auth.*`: signing in and out.

use grammers_tl_types::functions::auth::{
    CheckPassword, ImportBotAuthorization, LogOut, ResendCode, SendCode, SignIn,
};
use grammers_tl_types::{enums, types};

use super::{Answer, Context, Standing};
use crate::model::Refusal;
use crate::srp::Wrong;

pub(super) fn send_code(
    context: &mut Context<'_>,
    request: SendCode,
) -> Answer<enums::auth::SentCode> {
    let id = by_phone(context, &request.phone_number)?;
    sent_code(context, id)
}

pub(super) fn resend_code(
    context: &mut Context<'_>,
    request: ResendCode,
) -> Answer<enums::auth::SentCode> {
    let id = by_phone(context, &request.phone_number)?;
    if context.world.account(id)?.code_hash() != Some(request.phone_code_hash.as_str()) {
        return Err(Refusal::bad("PHONE_CODE_HASH_INVALID"));
    }
    sent_code(context, id)
}

pub(super) fn sign_in(
    context: &mut Context<'_>,
    request: SignIn,
) -> Answer<enums::auth::Authorization> {
    let id = by_phone(context, &request.phone_number)?;
    let now = context.shared.clock.unix();
    let code = request.phone_code.unwrap_or_default();
    let account = context.world.account_mut(id)?;
    account.check_code(&request.phone_code_hash, &code, now)?;
    if account.password.is_some() {
        context
            .world
            .set_standing(context.key, Standing::PasswordDue(id));
        return Err(Refusal::unauthorized("SESSION_PASSWORD_NEEDED"));
    }
    welcome(context, id)
}

pub(super) fn check_password(
    context: &mut Context<'_>,
    request: CheckPassword,
) -> Answer<enums::auth::Authorization> {
    let Standing::PasswordDue(id) = context.standing() else {
        return Err(Refusal::unauthorized("AUTH_KEY_UNREGISTERED"));
    };
    let enums::InputCheckPasswordSrp::Srp(proof) = request.password else {
        return Err(Refusal::bad("PASSWORD_HASH_INVALID"));
    };
    let verifier = context.world.account_mut(id)?.password.as_mut();
    let verifier = verifier.ok_or_else(|| Refusal::bad("PASSWORD_HASH_INVALID"))?;
    verifier.check(&proof).map_err(|wrong| match wrong {
        Wrong::Stale => Refusal::bad("SRP_ID_INVALID"),
        Wrong::Password => Refusal::bad("PASSWORD_HASH_INVALID"),
    })?;
    welcome(context, id)
}

pub(super) fn import_bot(
    context: &mut Context<'_>,
    request: ImportBotAuthorization,
) -> Answer<enums::auth::Authorization> {
    let id = context.world.by_bot_token(&request.bot_auth_token)?;
    at_home(context, id, "USER")?;
    welcome(context, id)
}

pub(super) fn log_out(context: &mut Context<'_>, _: LogOut) -> Answer<enums::auth::LoggedOut> {
    if context.account == 0 {
        return Err(Refusal::unauthorized("AUTH_KEY_UNREGISTERED"));
    }
    context.world.set_standing(context.key, Standing::Fresh);
    Ok(types::auth::LoggedOut {
        future_auth_token: None,
    }
    .into())
}

fn by_phone(context: &Context<'_>, phone: &str) -> Answer<i64> {
    let id = context.world.signs_in_with(phone)?;
    at_home(context, id, "PHONE")?;
    Ok(id)
}

/// Sends those to their own datacenter who live in another.
fn at_home(context: &Context<'_>, id: i64, why: &str) -> Answer<()> {
    match context.world.home(id) {
        home if home == context.shared.dc_id => Ok(()),
        home => Err(Refusal::elsewhere(why, home)),
    }
}

fn sent_code(context: &mut Context<'_>, id: i64) -> Answer<enums::auth::SentCode> {
    let now = context.shared.clock.unix();
    let account = context.world.account_mut(id)?;
    let (code, phone_code_hash) = (account.login_code(), account.send_code(now));
    let length = i32::try_from(code.len()).unwrap_or(5);
    let r#type = if context.world.tell_code(id, &code) {
        types::auth::SentCodeTypeApp { length }.into()
    } else {
        types::auth::SentCodeTypeSms { length }.into()
    };
    let sent = types::auth::SentCode {
        r#type,
        phone_code_hash,
        next_type: None,
        timeout: None,
    };
    Ok(sent.into())
}

fn welcome(context: &mut Context<'_>, id: i64) -> Answer<enums::auth::Authorization> {
    context.world.sign_in(context.key, id);
    authorization(context, id)
}

/// The answer to somebody who is signed in now.
pub(super) fn authorization(context: &Context<'_>, id: i64) -> Answer<enums::auth::Authorization> {
    let user = context
        .world
        .tl_user(id, id)
        .ok_or_else(|| Refusal::bad("USER_ID_INVALID"))?;
    let authorization = types::auth::Authorization {
        setup_password_required: false,
        otherwise_relogin_days: None,
        tmp_sessions: None,
        future_auth_token: None,
        user,
    };
    Ok(authorization.into())
}
