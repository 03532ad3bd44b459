//! What is looked for: every eight bytes in a row of some values, in every form they can take.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use crate::snapshot::{Part, Snapshot};

/// Bytes in a row that are a find.
const WINDOW: usize = 8;
/// Signs a value is made of; six bits each.
const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Signs that JSON escapes, each in its own way: Go writes `<` as `\u003c`.
const ESCAPED: &[u8; 3] = b"\"\\<";

/// A random value of `len` signs. With `escapes`, some of them are ones that JSON escapes.
pub(crate) fn value(len: usize, escapes: bool) -> String {
    let mut random = vec![0_u8; len];
    rand::fill(random.as_mut_slice());
    let signs = random.iter().enumerate().map(|(at, random)| {
        let odd = escapes && at % 11 == 5;
        let sign = if odd {
            ESCAPED[at / 11 % 3]
        } else {
            SIGNS[usize::from(random % 64)]
        };
        char::from(sign)
    });
    signs.collect()
}

/// One form of one window.
struct Needle {
    label: usize,
    form: &'static str,
    /// All of it, in [`Needles::forms`].
    from: usize,
    len: usize,
}

/// What is looked for.
#[derive(Default)]
pub(crate) struct Needles {
    labels: Vec<String>,
    /// By their first eight bytes.
    known: HashMap<u64, Vec<Needle>>,
    forms: Vec<u8>,
    /// A bit for each that may be known: most places end here.
    sieve: Vec<u64>,
}

impl Needles {
    /// Looks for `value`, called `label`, from now on.
    pub(crate) fn add(&mut self, label: &str, value: &str) {
        self.sieve.resize(1 << 18, 0);
        let number = self.labels.len();
        self.labels.push(label.to_owned());
        assert!(value.is_ascii() && value.len() >= WINDOW, "{label}");
        for window in value.as_bytes().windows(WINDOW) {
            for (form, bytes) in forms(window) {
                self.insert(number, form, &bytes);
            }
        }
    }

    fn insert(&mut self, label: usize, form: &'static str, bytes: &[u8]) {
        let key = key(bytes);
        let (word, bit) = place(key);
        self.sieve[word] |= bit;
        let from = self.forms.len();
        self.forms.extend_from_slice(bytes);
        let len = bytes.len();
        self.known.entry(key).or_default().push(Needle {
            label,
            form,
            from,
            len,
        });
    }

    /// What of it lies in `snapshot`: one line for each place, and nothing of the value.
    pub(crate) fn find(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut found: BTreeMap<_, (u64, usize)> = BTreeMap::new();
        for part in &snapshot.parts {
            for (at, needle) in self.hits(part) {
                let key = (&part.name, &self.labels[needle.label], needle.form);
                let place = part.start + at as u64;
                found.entry(key).or_insert((place, 0)).1 += 1;
            }
        }
        let line = |((place, label, form), (first, count)): ((&String, &String, &str), _)| {
            let mut line = String::new();
            let (first, count): (u64, usize) = (first, count);
            write!(
                line,
                "{label}, {form}: {count} windows of {WINDOW} in {place}, first at {first:#x}"
            )
            .unwrap();
            line
        };
        found.into_iter().map(line).collect()
    }

    fn hits<'s>(&'s self, part: &'s Part) -> impl Iterator<Item = (usize, &'s Needle)> {
        let starts = part.bytes.windows(8).enumerate();
        let maybe = starts.filter_map(|(at, window)| {
            let key = key(window);
            let (word, bit) = place(key);
            (self.sieve[word] & bit != 0).then_some((at, key))
        });
        maybe.flat_map(move |(at, key)| {
            let needles = self.known.get(&key).into_iter().flatten();
            needles
                .filter(move |needle| {
                    let bytes = &self.forms[needle.from..needle.from + needle.len];
                    part.bytes[at..].starts_with(bytes)
                })
                .map(move |needle| (at, needle))
        })
    }
}

fn key(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

fn place(key: u64) -> (usize, u64) {
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (usize::try_from(hash >> 6).unwrap(), 1 << (hash & 63))
}

/// A window in every form, each at least eight bytes long.
fn forms(window: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![("raw", window.to_vec())];
    let json = escaped(window, "<");
    let html = escaped(window, "\\u003c");
    if html != json {
        forms.push(("JSON as Go writes it", html));
    }
    if json != window {
        forms.push(("JSON", json));
    }
    let hex = hex::encode(window);
    forms.push(("hex", hex.to_uppercase().into_bytes()));
    forms.push(("hex", hex.into_bytes()));
    forms.push((
        "UTF-16",
        window.iter().flat_map(|byte| [*byte, 0]).collect(),
    ));
    forms.push((
        "UTF-16 BE",
        window.iter().flat_map(|byte| [0, *byte]).collect(),
    ));
    for before in 0..3 {
        let standard = base64(window, before);
        let url: Vec<u8> = standard
            .iter()
            .map(|sign| match sign {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        if url != standard {
            forms.push(("base64url", url));
        }
        forms.push(("base64", standard));
    }
    forms.retain(|(_, bytes)| bytes.len() >= 8);
    forms
}

fn escaped(window: &[u8], less: &str) -> Vec<u8> {
    let mut text = vec![];
    for byte in window {
        match byte {
            b'<' => text.extend_from_slice(less.as_bytes()),
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            other => text.push(*other),
        }
    }
    text
}

/// `value` in base64; it is whole groups long.
pub(crate) fn encoded(value: &str) -> String {
    assert!(value.len().is_multiple_of(3));
    String::from_utf8(base64(value.as_bytes(), 0)).unwrap()
}

/// The signs that `window` alone decides, where `before` bytes stand before it in its group.
fn base64(window: &[u8], before: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = std::iter::repeat_n(&0, before)
        .chain(window)
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let signs = bits.chunks_exact(6).map(|six| {
        let number = six
            .iter()
            .fold(0, |number, bit| number << 1 | usize::from(*bit));
        ALPHABET[number]
    });
    signs.skip((before * 8).div_ceil(6)).collect()
}

#[test]
fn each_form_is_found_wherever_it_begins() {
    let value = value(40, true);
    let mut needles = Needles::default();
    needles.add("marker", &value);
    let json = serde_json::to_string(&value).unwrap();
    for (form, text) in [
        ("raw", value.clone().into_bytes()),
        ("JSON", json.clone().into_bytes()),
        (
            "JSON as Go writes it",
            json.replace('<', "\\u003c").into_bytes(),
        ),
        ("hex", hex::encode(&value).into_bytes()),
        (
            "UTF-16",
            value.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
        ("base64", base64(value.as_bytes(), 0)),
    ] {
        for shift in 0..9 {
            let mut bytes = vec![b'.'; shift];
            bytes.extend_from_slice(&text);
            let part = Part {
                name: "here".to_owned(),
                start: 0,
                bytes,
            };
            let count = needles
                .hits(&part)
                .filter(|(_, hit)| hit.form == form)
                .count();
            assert!(count >= 8, "{form}, {shift} bytes in: {count}");
        }
    }
    let part = Part {
        name: "here".to_owned(),
        start: 0,
        bytes: json.as_bytes()[4..11].to_vec(),
    };
    assert_eq!(needles.hits(&part).count(), 0, "seven bytes are no find");
}
