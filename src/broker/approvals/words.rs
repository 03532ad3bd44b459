//! What people write beside a request for approval: reasons and notes.

use crate::broker::{ApprovalError, BrokerError};
use crate::domain::demand::MAX_REASON;
use crate::domain::signs::is_invisible;

/// `text` on one line, if it is fit to be shown to others: visible, not too long, and at least so
/// many characters.
pub(in crate::broker) fn words(text: &str, least: usize) -> Result<String, BrokerError> {
    let text = text.trim();
    let length = text.chars().count();
    if length > MAX_REASON || text.contains(is_invisible) {
        return Err(ApprovalError::UnfitReason(MAX_REASON).into());
    }
    // Ten times the same sign is no reason either.
    let mut signs: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
    signs.sort_unstable();
    signs.dedup();
    if length < least || (least > 1 && signs.len() < 2) {
        return Err(ApprovalError::ReasonTooShort(least).into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_said_on_one_line_and_say_something() {
        assert_eq!(
            words("  fix the login  ", 10).as_deref(),
            Ok("fix the login")
        );
        assert_eq!(words("", 0).as_deref(), Ok(""));
        let long = "ab".repeat(250);
        assert!(words(&long, 500).is_ok());
        for text in [
            &format!("{long}c"),
            "two\nlines",
            "a\u{202e}b",
            "a\u{200b}b",
        ] {
            assert_eq!(
                words(text, 0),
                Err(ApprovalError::UnfitReason(500).into()),
                "{text}"
            );
        }
        for text in ["123456789", "..........", "aaaaaaaaaa", "         x"] {
            assert_eq!(
                words(text, 10),
                Err(ApprovalError::ReasonTooShort(10).into()),
                "{text}"
            );
        }
        assert!(words("é", 1).is_ok());
    }
}
