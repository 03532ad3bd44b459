//! Buttons: a user presses, the bot answers.

use grammers_tl_types::functions::messages::{GetBotCallbackAnswer, SetBotCallbackAnswer};
use grammers_tl_types::{Deserializable, Identifiable, types};
use tokio::time::Instant;

use super::{Answer, Call, Context};
use crate::model::Refusal;
use crate::world::Presser;

/// The longest answer, in characters.
const MAX_ANSWER: usize = 200;

/// Whether a call presses a button: its answer comes when the bot answers.
pub(super) fn is_press(call: &Call) -> bool {
    call.constructor == GetBotCallbackAnswer::CONSTRUCTOR_ID
}

pub(super) fn press(context: &mut Context<'_>, call: &Call, request: Option<i64>) -> Answer<()> {
    let asked = GetBotCallbackAnswer::from_bytes(&call.body)
        .map_err(|_| Refusal::bad("INPUT_REQUEST_TOO_SHORT"))?;
    let chat = context.chat(&asked.peer)?;
    let (user, link) = (context.account, context.link);
    let presser = match request {
        Some(request) => Presser::Client { link, request },
        None => Presser::Nobody,
    };
    let data = asked.data.unwrap_or_default();
    context
        .world
        .press(user, chat, asked.msg_id, &data, presser, Instant::now())
}

pub(super) fn answer(context: &mut Context<'_>, request: SetBotCallbackAnswer) -> Answer<bool> {
    if !context.is_bot() {
        return Err(Refusal::bad("USER_BOT_REQUIRED"));
    }
    let message = request.message.filter(|message| !message.is_empty());
    if message
        .as_ref()
        .is_some_and(|message| message.chars().count() > MAX_ANSWER)
    {
        return Err(Refusal::bad("MESSAGE_TOO_LONG"));
    }
    let answer = types::messages::BotCallbackAnswer {
        alert: request.alert,
        has_url: request.url.is_some(),
        native_ui: true,
        message,
        url: request.url,
        cache_time: request.cache_time,
    };
    context
        .world
        .answer_press(context.account, request.query_id, answer)?;
    Ok(true)
}
