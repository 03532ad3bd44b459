//! Signs that nobody sees, or that move what is around them; and how to show them all the same.

use std::fmt::Write;

/// Controls, line ends and marks of direction, and what takes no room at all: Unicode's control
/// and format characters and those it says to ignore. Not the variation selectors, which only
/// choose between the looks of the sign before them, as many emoji have one.
#[must_use]
pub fn is_invisible(sign: char) -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is what stands in for it")]
    let is_control = sign.is_control();
    is_control
        || matches!(
            sign,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e00ff}'
                | '\u{e01f0}'..='\u{e0fff}'
        )
}

/// `text` on one line, with a space in place of what is invisible: fit for a terminal.
#[must_use]
pub fn one_line(text: &str) -> String {
    let parts = text.split(is_invisible).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

/// JSON that means the same, in which everything invisible but line ends and tabs is escaped.
/// Those two stand in JSON only between its parts.
#[must_use]
pub fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for sign in json.chars() {
        if is_invisible(sign) && !matches!(sign, '\n' | '\t') {
            for unit in sign.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                write!(text, "\\u{unit:04x}").unwrap_or_default();
            }
        } else {
            text.push(sign);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_told_from_what_is_not() {
        for sign in "aé😀 \u{a0}ק\u{fe0f}\u{e0100}。".chars() {
            assert!(!is_invisible(sign), "{sign:?}");
        }
        for sign in
            "\n\t\r\u{1b}\u{7f}\u{9b}\u{ad}\u{200b}\u{202e}\u{2028}\u{2066}\u{feff}\u{e0041}"
                .chars()
        {
            assert!(is_invisible(sign), "{sign:?}");
        }
    }

    #[test]
    fn shown_as_one_line_or_as_json_that_means_the_same() {
        assert_eq!(one_line("\n\u{1b}[31ma\u{202e}\r\nb\n"), "[31ma b");
        let json = "\"a\u{202e}\u{9b}\u{e0041}é\"";
        assert_eq!(escaped(json), r#""a\u202e\u009b\udb40\udc41é""#);
    }
}
