//! A bot's buttons under a question, and what pressing one says.

use grammers_session::types::PeerId;
use grammers_tl_types as tl;

use crate::domain::RequestId;
use crate::domain::recipe::normalise_code;

/// A pressed button, as Telegram tells a bot.
pub(super) struct Press {
    /// Names the press, for the answer to it.
    pub(super) query: i64,
    /// Who pressed.
    pub(super) user: i64,
    /// The chat.
    pub(super) chat: PeerId,
    /// The message with the buttons.
    pub(super) message: i32,
    /// What the button says to us; anybody can send anything.
    pub(super) data: Vec<u8>,
}

/// What a button says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// Go on with what was asked about under this code.
    Confirm(String),
    /// Let go of it.
    Cancel(String),
}

impl Press {
    /// The request's name: that of the question, which can be answered once.
    pub(super) fn request_id(&self) -> Option<RequestId> {
        Some(RequestId::Message {
            chat: self.chat.bot_api_dialog_id()?,
            message: self.message,
        })
    }

    /// What the button says; `None` when it is none of ours.
    pub(super) fn choice(&self) -> Option<Choice> {
        let (verb, code) = std::str::from_utf8(&self.data).ok()?.split_once(' ')?;
        let code = normalise_code(code);
        match verb {
            "confirm" => Some(Choice::Confirm(code)),
            "cancel" => Some(Choice::Cancel(code)),
            _ => None,
        }
    }
}

/// The buttons under a question.
pub(super) fn markup(code: &str) -> tl::enums::ReplyMarkup {
    let button = |text: &str, verb: &str| {
        let callback = tl::types::InlineButtonTypeCallback {
            requires_password: false,
            data: format!("{verb} {code}").into_bytes(),
        };
        tl::types::KeyboardInlineButton {
            style: None,
            text: text.to_owned(),
            r#type: callback.into(),
        }
        .into()
    };
    let buttons = vec![button("Confirm", "confirm"), button("Cancel", "cancel")];
    tl::types::ReplyInlineMarkup {
        force_reply: false,
        rows: vec![tl::types::KeyboardInlineButtonRow { buttons }.into()],
    }
    .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(data: &[u8]) -> Press {
        Press {
            query: 1,
            user: 2,
            chat: PeerId::user(2).unwrap(),
            message: 3,
            data: data.to_vec(),
        }
    }

    #[test]
    fn buttons_are_read_back() {
        let tl::enums::ReplyMarkup::ReplyInlineMarkup(markup) = markup("R7K2") else {
            panic!("inline")
        };
        let tl::enums::KeyboardInlineButtonRow::Row(row) = &markup.rows[0];
        let choices: Vec<_> = row
            .buttons
            .iter()
            .map(|button| {
                let tl::enums::KeyboardInlineButton::Button(button) = button;
                let tl::enums::InlineButtonType::Callback(callback) = &button.r#type else {
                    panic!("callback")
                };
                press(&callback.data).choice().unwrap()
            })
            .collect();
        let code = "R7K2".to_owned();
        assert_eq!(
            choices,
            [Choice::Confirm(code.clone()), Choice::Cancel(code)]
        );
    }

    proptest! {
        #[test]
        fn odd_data_is_no_choice(data in any::<Vec<u8>>()) {
            let ours = data.starts_with(b"confirm ") || data.starts_with(b"cancel ");
            prop_assert!(ours || press(&data).choice().is_none());
        }
    }
}
