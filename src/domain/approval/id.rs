//! What a request for approval is called.

use std::fmt;

use crate::domain::recipe::{CODE, normalise_code};

/// How many signs it has.
pub const LENGTH: usize = 6;

/// The name of a request for approval, and of the grant that comes of it: `R7K2XQ`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(String);

impl ApprovalId {
    /// Reads it as people type it; `None` where it cannot be one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let code = normalise_code(text);
        let fits = code.len() == LENGTH && code.chars().all(|sign| CODE.contains(sign));
        fits.then_some(Self(code))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_people_type_it() {
        assert_eq!(ApprovalId::read("r7koxl").unwrap().as_str(), "R7K0X1");
        for text in ["", "R7K2X", "R7K2XQA", "R7K2X/", "R7K2XU", "R7K2X\u{e9}"] {
            assert_eq!(ApprovalId::read(text), None, "{text}");
        }
    }
}
