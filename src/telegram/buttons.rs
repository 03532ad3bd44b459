//! A bot's buttons under a question or a request's card, and what pressing one says.

use grammers_session::types::PeerId;
use grammers_tl_types as tl;

use super::reply::Reply;
use crate::domain::recipe::normalise_code;
use crate::domain::{ApprovalId, RequestId};

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
    /// Vote for this request.
    Approve(ApprovalId),
    /// Vote against it.
    Deny(ApprovalId),
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
        let (verb, name) = std::str::from_utf8(&self.data).ok()?.split_once(' ')?;
        match verb {
            "confirm" => Some(Choice::Confirm(normalise_code(name))),
            "cancel" => Some(Choice::Cancel(normalise_code(name))),
            "approve" => ApprovalId::read(name).map(Choice::Approve),
            "deny" => ApprovalId::read(name).map(Choice::Deny),
            _ => None,
        }
    }
}

/// The buttons under `reply`, if it asks something.
pub(super) fn under(reply: &Reply) -> Option<tl::enums::ReplyMarkup> {
    let (name, buttons) = match (&reply.code, &reply.vote) {
        (Some(code), _) => (
            code.as_str(),
            [("Confirm", "confirm"), ("Cancel", "cancel")],
        ),
        (None, Some(id)) => (id.as_str(), [("Approve", "approve"), ("Deny", "deny")]),
        (None, None) => return None,
    };
    let button = |(text, verb): (&str, &str)| {
        let callback = tl::types::InlineButtonTypeCallback {
            requires_password: false,
            data: format!("{verb} {name}").into_bytes(),
        };
        tl::types::KeyboardInlineButton {
            style: None,
            text: text.to_owned(),
            r#type: callback.into(),
        }
        .into()
    };
    let buttons = buttons.map(button).into();
    let markup = tl::types::ReplyInlineMarkup {
        force_reply: false,
        rows: vec![tl::types::KeyboardInlineButtonRow { buttons }.into()],
    };
    Some(markup.into())
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

    fn choices(reply: &Reply) -> Vec<Choice> {
        let Some(tl::enums::ReplyMarkup::ReplyInlineMarkup(markup)) = under(reply) else {
            panic!("inline")
        };
        let tl::enums::KeyboardInlineButtonRow::Row(row) = &markup.rows[0];
        let read = |button: &tl::enums::KeyboardInlineButton| {
            let tl::enums::KeyboardInlineButton::Button(button) = button;
            let tl::enums::InlineButtonType::Callback(callback) = &button.r#type else {
                panic!("callback")
            };
            press(&callback.data).choice().unwrap()
        };
        row.buttons.iter().map(read).collect()
    }

    #[test]
    fn buttons_are_read_back() {
        let code = "R7K2".to_owned();
        let question = Reply {
            code: Some(code.clone()),
            ..Reply::default()
        };
        let expected = [Choice::Confirm(code.clone()), Choice::Cancel(code)];
        assert_eq!(choices(&question), expected);
        let id = ApprovalId::read("R7K2XQ").unwrap();
        let card = Reply {
            vote: Some(id.clone()),
            ..Reply::default()
        };
        let expected = [Choice::Approve(id.clone()), Choice::Deny(id)];
        assert_eq!(choices(&card), expected);
        assert!(under(&Reply::default()).is_none());
    }

    proptest! {
        #[test]
        fn odd_data_is_no_choice(data in any::<Vec<u8>>()) {
            let verbs: [&[u8]; 4] = [b"confirm ", b"cancel ", b"approve ", b"deny "];
            let ours = verbs.iter().any(|verb| data.starts_with(verb));
            prop_assert!(ours || press(&data).choice().is_none());
        }
    }
}
