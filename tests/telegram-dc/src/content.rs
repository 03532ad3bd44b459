//! What a message carries besides its text: documents, buttons, and their answers.

use grammers_tl_types::{enums, types};

/// A file sent as a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// The file's name, as its sender gave it.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// What it is said to be, such as `text/plain`.
    pub mime_type: String,
}

impl Document {
    /// A file of no particular type.
    #[must_use]
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
            mime_type: "application/octet-stream".to_owned(),
        }
    }
}

/// Without the bytes: they may be a secret, and are no help in a failed test.
impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document")
            .field("name", &self.name)
            .field("size", &self.bytes.len())
            .field("mime_type", &self.mime_type)
            .finish_non_exhaustive()
    }
}

/// A button under a bot's message that tells the bot when it is pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// What is written on it.
    pub text: String,
    /// What the bot is told, 1 to 64 bytes.
    pub data: Vec<u8>,
}

impl Button {
    /// A button with this label and data.
    #[must_use]
    pub fn new(text: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self {
            text: text.into(),
            data: data.into(),
        }
    }
}

/// Rows of buttons, as a bot sends them.
pub(crate) fn markup(rows: Vec<Vec<Button>>) -> enums::ReplyMarkup {
    let button = |button: Button| {
        let kind = types::InlineButtonTypeCallback {
            requires_password: false,
            data: button.data,
        };
        types::KeyboardInlineButton {
            style: None,
            text: button.text,
            r#type: kind.into(),
        }
        .into()
    };
    let row = |row: Vec<Button>| {
        let buttons = row.into_iter().map(button).collect();
        types::KeyboardInlineButtonRow { buttons }.into()
    };
    let rows = rows.into_iter().map(row).collect();
    types::ReplyInlineMarkup {
        force_reply: false,
        rows,
    }
    .into()
}

/// The buttons of a message that tell the bot; others are left out, and empty rows.
pub(crate) fn buttons(markup: Option<&enums::ReplyMarkup>) -> Vec<Vec<Button>> {
    let Some(enums::ReplyMarkup::ReplyInlineMarkup(markup)) = markup else {
        return Vec::new();
    };
    let button = |button: &enums::KeyboardInlineButton| {
        let enums::KeyboardInlineButton::Button(button) = button;
        if let enums::InlineButtonType::Callback(callback) = &button.r#type {
            Some(Button::new(button.text.clone(), callback.data.clone()))
        } else {
            None
        }
    };
    let rows = markup.rows.iter().map(|row| {
        let enums::KeyboardInlineButtonRow::Row(row) = row;
        row.buttons.iter().filter_map(button).collect::<Vec<_>>()
    });
    rows.filter(|row| !row.is_empty()).collect()
}
