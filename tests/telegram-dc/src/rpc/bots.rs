//! What bots may not do, and what their buttons have to be like.

use grammers_tl_types::{Identifiable, enums, functions};

use super::{Answer, Context};
use crate::model::Refusal;

/// The longest data of a button, in bytes.
const MAX_DATA: usize = 64;

/// Methods that are for people alone.
const PEOPLE_ONLY: &[u32] = &[
    functions::account::GetAuthorizations::CONSTRUCTOR_ID,
    functions::account::UpdateStatus::CONSTRUCTOR_ID,
    functions::channels::ReadHistory::CONSTRUCTOR_ID,
    functions::contacts::GetContacts::CONSTRUCTOR_ID,
    functions::messages::GetBotCallbackAnswer::CONSTRUCTOR_ID,
    functions::messages::GetDialogs::CONSTRUCTOR_ID,
    functions::messages::GetHistory::CONSTRUCTOR_ID,
    functions::messages::GetMessagesReactions::CONSTRUCTOR_ID,
    functions::messages::GetPeerDialogs::CONSTRUCTOR_ID,
    functions::messages::ReadHistory::CONSTRUCTOR_ID,
    functions::messages::Search::CONSTRUCTOR_ID,
    functions::messages::SetHistoryTtl::CONSTRUCTOR_ID,
];

/// Refuses bots what is for people alone.
pub(super) fn check_method(context: &Context<'_>, constructor: u32) -> Answer<()> {
    if context.is_bot() && PEOPLE_ONLY.contains(&constructor) {
        return Err(Refusal::bad("BOT_METHOD_INVALID"));
    }
    Ok(())
}

/// Buttons as a bot may send them; a person's are dropped without a word.
pub(super) fn markup(
    context: &Context<'_>,
    markup: Option<enums::ReplyMarkup>,
) -> Answer<Option<enums::ReplyMarkup>> {
    let Some(markup) = markup.filter(|_| context.is_bot()) else {
        return Ok(None);
    };
    let fits = crate::content::buttons(Some(&markup))
        .iter()
        .flatten()
        .all(|button| (1..=MAX_DATA).contains(&button.data.len()));
    if fits {
        Ok(Some(markup))
    } else {
        Err(Refusal::bad("BUTTON_DATA_INVALID"))
    }
}
