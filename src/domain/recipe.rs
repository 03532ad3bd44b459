//! Random values by a named recipe, and short codes for people to type. Randomness is an argument.

use crate::domain::SecretValue;

/// A source of random bytes.
pub type Fill<'a> = &'a mut dyn FnMut(&mut [u8]);

const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const ALPHANUMERIC: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Nothing here has a meaning in JSON, in a shell's double quotes, in a URL or in a YAML string.
const PASSWORD: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.~";
/// Crockford's Base32: no letter that could be taken for another sign.
pub(in crate::domain) const CODE: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How a new value is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// 32 letters, digits and `-_.~`: 193 bits.
    #[default]
    Password,
    /// 32 letters and digits: 190 bits.
    Alphanumeric,
    /// 64 hexadecimal digits: 256 bits.
    Hex,
    /// 8 digits: 26 bits, for what only takes a PIN.
    Pin,
}

impl Recipe {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Password, Self::Alphanumeric, Self::Hex, Self::Pin];

    /// The name people use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Alphanumeric => "alphanumeric",
            Self::Hex => "hex",
            Self::Pin => "pin",
        }
    }

    /// The recipe of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|recipe| recipe.name() == name)
    }

    /// A new value, as the text of a JSON string.
    #[must_use]
    pub fn make(self, fill: Fill<'_>) -> SecretValue {
        let (alphabet, count) = match self {
            Self::Password => (PASSWORD, 32),
            Self::Alphanumeric => (ALPHANUMERIC, 32),
            Self::Hex => (HEX, 64),
            Self::Pin => (DIGITS, 8),
        };
        // Never grown, so that no half of it is left behind.
        let mut json = Vec::with_capacity(count + 2);
        json.push(b'"');
        pick(alphabet, count, fill, |sign| json.push(sign));
        json.push(b'"');
        SecretValue::new(json)
    }
}

/// A code of `length` signs, for people to type.
#[must_use]
pub fn code(length: usize, fill: Fill<'_>) -> String {
    let mut code = String::with_capacity(length);
    pick(CODE, length, fill, |sign| code.push(char::from(sign)));
    code
}

/// A code as it was typed: without regard to case, and with `O` for 0 and `I` or `L` for 1.
#[must_use]
pub fn normalise_code(text: &str) -> String {
    let sign = |c: char| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    text.chars().map(sign).collect()
}

/// `count` signs of `alphabet`, each as likely as any other.
fn pick(alphabet: &str, count: usize, fill: Fill<'_>, mut take: impl FnMut(u8)) {
    let mask = alphabet.len().next_power_of_two() - 1;
    let mut left = count;
    while left > 0 {
        let mut byte = [0];
        fill(&mut byte);
        // Beyond the end of the alphabet: draw again, for a remainder would favour its beginning.
        if let Some(sign) = alphabet.as_bytes().get(usize::from(byte[0]) & mask) {
            take(*sign);
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every byte in turn.
    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0u8;
        move |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the value is what is tested")]
    fn values_have_their_length_and_signs() {
        for (recipe, length, signs) in [
            (Recipe::Password, 32, PASSWORD),
            (Recipe::Alphanumeric, 32, ALPHANUMERIC),
            (Recipe::Hex, 64, HEX),
            (Recipe::Pin, 8, DIGITS),
        ] {
            assert_eq!(Recipe::named(recipe.name()), Some(recipe));
            let value = recipe.make(&mut counting());
            let text = std::str::from_utf8(value.expose_secret()).unwrap();
            let text = text.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            assert_eq!(text.len(), length, "{}", recipe.name());
            assert!(text.chars().all(|c| signs.contains(c)), "{}", recipe.name());
        }
        assert_eq!(Recipe::named("none"), None);
    }

    #[test]
    fn every_sign_is_as_likely_as_any_other() {
        let mut seen = BTreeMap::new();
        pick(DIGITS, 10_000, &mut counting(), |sign| {
            *seen.entry(sign).or_insert(0) += 1;
        });
        assert_eq!(seen.len(), 10);
        assert!(
            seen.values().all(|count| (990..=1010).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn codes_read_back_as_people_type_them() {
        let code = code(6, &mut counting());
        assert_eq!(code, "012345");
        assert_eq!(normalise_code("oi2l45"), "012145");
        assert_eq!(normalise_code("r7k2"), "R7K2");
    }
}
