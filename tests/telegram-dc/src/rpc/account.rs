//! `account.*`: the two-step password, being online.

use grammers_tl_types::functions::account::{GetPassword, UpdateStatus};
use grammers_tl_types::{enums, types};

use super::{Answer, Context, Standing};
use crate::model::Refusal;
use crate::tl;

pub(super) fn get_password(
    context: &mut Context<'_>,
    _: GetPassword,
) -> Answer<enums::account::Password> {
    let id = match context.standing() {
        Standing::PasswordDue(id) | Standing::SignedIn(id) => id,
        Standing::Fresh | Standing::Ended(_) => {
            return Err(Refusal::unauthorized("AUTH_KEY_UNREGISTERED"));
        }
    };
    let none = tl::password(crate::random::bytes::<256>().to_vec());
    let Some(verifier) = &mut context.world.account_mut(id)?.password else {
        return Ok(none.into());
    };
    let question = verifier.ask();
    let password = types::account::Password {
        has_password: true,
        current_algo: Some(question.algorithm.into()),
        srp_b: Some(question.srp_b),
        srp_id: Some(question.srp_id),
        ..none
    };
    Ok(password.into())
}

pub(super) fn update_status(_: &mut Context<'_>, _: UpdateStatus) -> Answer<bool> {
    Ok(true)
}
