//! What was listed is found in every form people paste it in, and nothing else is.

use proptest::prelude::*;

use super::*;

fn list(values: &[&str]) -> Watchlist {
    let key: [u8; 48] = std::array::from_fn(|at| u8::try_from(at * 5 % 251).unwrap() + 1);
    let mut list = Watchlist::new(Zeroizing::new(key));
    for (release, value) in values.iter().enumerate() {
        let owner = owner(release);
        list.add(value.as_bytes(), owner).unwrap();
    }
    list
}

fn owner(release: usize) -> Owner {
    Owner {
        release: release.try_into().unwrap(),
        field: 0,
    }
}

fn base64(bytes: &[u8], alphabet: &[u8; 64], pad: bool) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for digit in 0..=chunk.len() {
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(char::from(alphabet[value as usize]));
        }
        if pad {
            out.extend(std::iter::repeat_n('=', 3 - chunk.len()));
        }
    }
    out
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn for_url(value: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    value.bytes().map(encode).collect()
}

fn for_json(value: &str) -> String {
    let escape = |sign: char| match sign {
        '"' | '\\' => format!("\\{sign}"),
        '\n' => "\\n".to_owned(),
        sign if sign.is_ascii_graphic() || sign == ' ' => sign.to_string(),
        sign => {
            let mut units = [0; 2];
            let units = sign.encode_utf16(&mut units).iter();
            let units = units.map(|unit| format!("\\u{unit:04x}"));
            units.collect::<Vec<_>>().concat()
        }
    };
    value.chars().map(escape).collect()
}

fn wrapped(text: &str, width: usize) -> String {
    let signs: Vec<char> = text.chars().collect();
    let lines = signs.chunks(width).map(|line| line.iter().collect());
    lines.collect::<Vec<String>>().join("\r\n")
}

/// Each way to paste a value that is promised to be found.
fn pasted(value: &str, before: &str, after: &str) -> Vec<String> {
    let encoded = base64(value.as_bytes(), STANDARD, true);
    let basic = base64(format!("user:{value}").as_bytes(), STANDARD, true);
    let ways = [
        value.to_owned(),
        format!("\"{value}\""),
        format!("PASSWORD={value}"),
        format!("```\n{value}\n```"),
        format!("{value}\r\n"),
        wrapped(value, 7),
        for_url(value),
        for_json(value),
        encoded.clone(),
        wrapped(&encoded, 9),
        format!("token={encoded}"),
        base64(value.as_bytes(), FOR_URLS, false),
        format!("Authorization: Basic {basic}"),
        base64(format!("x{value}\n").as_bytes(), STANDARD, true),
        format!("path/{}", base64(value.as_bytes(), STANDARD, false)),
    ];
    let around = |way: String| format!("{before} {way} {after}");
    ways.into_iter().map(around).collect()
}

proptest! {
    #[test]
    fn every_value_is_found_in_every_form(
        value in "[!-~é😀]{8,80}",
        before in "[ -~]{0,40}",
        after in "[ -~é]{0,40}",
    ) {
        // Escapes around it would be undone, and then stand for something else.
        let before = before.replace(['\\', '%'], "");
        let list = list(&["another-Value-1", &value, "and-a-third-2"]);
        for text in pasted(&value, &before, &after) {
            prop_assert!(list.find(&text).contains(&owner(1)), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found(
        values in proptest::collection::vec("[a-zA-Z0-9]{12,40}", 1..50),
        text in "[ -~\n]{0,4000}",
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        prop_assume!(values.iter().all(|value| !text.contains(value)));
        prop_assert_eq!(list(&values).find(&text), BTreeSet::new());
    }

    /// Cut short by a byte at either end, or with one changed, it is another.
    #[test]
    fn a_part_is_not_the_whole(value in "[a-z0-9]{12,40}", at in any::<prop::sample::Index>()) {
        let list = list(&[&value]);
        prop_assert!(list.find(value.get(1..).unwrap()).is_empty());
        prop_assert!(list.find(value.get(..value.len() - 1).unwrap()).is_empty());
        let mut other = value.clone().into_bytes();
        other[at.index(value.len())] ^= 1;
        let other = String::from_utf8(other).unwrap();
        prop_assert!(list.find(&other).is_empty(), "{other}");
    }

    /// Whatever is written, reading it ends well.
    #[test]
    fn nothing_breaks_it(text in any::<String>(), signs in "[\\\\u%d8cAa=\n]{0,200}") {
        let list = list(&["some-Value-1234"]);
        prop_assert!(list.find(&text).is_empty());
        prop_assert!(list.find(&signs).is_empty());
    }
}

#[test]
fn each_owner_is_named_and_what_was_taken_off_is_not() {
    let mut list = list(&["the-Same-Value-1", "the-Same-Value-1", "another-Value-22"]);
    let text = "the-Same-Value-1 and another-Value-22";
    assert_eq!(list.find(text), BTreeSet::from([0, 1, 2].map(owner)));
    let place = list.add(b"the-Same-Value-1", owner(7)).unwrap();
    assert_eq!(list.len(), 4);
    list.remove(0, place);
    list.remove(7, place);
    assert_eq!(list.find(text), BTreeSet::from([1, 2].map(owner)));
    assert_eq!(list.len(), 2);
    list.remove(1, place);
    list.remove(1, place);
    assert_eq!(list.len(), 1);
}

#[test]
fn too_short_a_value_is_not_listed() {
    let mut list = list(&[]);
    assert_eq!(list.add(b"1234567", owner(0)), None);
    assert!(list.find("1234567").is_empty());
}

/// Many values that have their middle in common, and a text full of it.
#[test]
fn a_text_made_to_take_long_takes_as_long_as_is_allowed() {
    let middle = "abcdefgh";
    let values: Vec<String> = (0..MAX_AT_PLACE)
        .map(|extra| format!("{0}{middle}{0}", "x".repeat(extra)))
        .collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let list = list(&values);
    let text = middle.repeat(500);
    assert_eq!(list.find(&text), BTreeSet::from([owner(0)]));
}
