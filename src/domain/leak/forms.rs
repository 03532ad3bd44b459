//! What people make of a value before they paste it: undone, so that it can be found.

use zeroize::Zeroizing;

/// Signs of base64 that are too few for any value.
const SHORTEST_RUN: usize = 11;

/// Shows `look` what `text` says when it was escaped as JSON or for a URL, when it was wrapped
/// into lines, and where it holds base64. What is around a value, such as quotes or `NAME=`, does
/// not hide it.
pub fn forms(text: &str, look: &mut impl FnMut(&[u8])) {
    let bytes = text.as_bytes();
    let unwrapped = text.contains(['\n', '\r']).then(|| without_breaks(bytes));
    if let Some(unwrapped) = &unwrapped {
        look(unwrapped);
    }
    if text.contains('\\') {
        look(&unescaped(bytes));
    }
    if text.contains('%') {
        look(&percent_decoded(bytes));
    }
    let whole = unwrapped.as_ref().map_or(bytes, |bytes| bytes);
    for run in whole.split(|byte| digit(*byte).is_none()) {
        if run.len() < SHORTEST_RUN {
            continue;
        }
        // Where it begins is not known: what stands before it may look like a part of it.
        for from in 0..4 {
            look(&decoded(run.get(from..).unwrap_or_default()));
        }
    }
}

/// As long as it can get, so that it never moves.
fn buffer(text: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(text.len()))
}

/// Lines end where a terminal or a mail program ends them.
fn without_breaks(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = buffer(text);
    out.extend(text.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    out
}

/// Without the escapes of a JSON string; what is none stays.
fn unescaped(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = buffer(text);
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let plain = match after.first() {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(sign @ (b'"' | b'\\' | b'/')) => *sign,
            Some(b'u') => {
                if let Some((sign, after)) = unicode(after) {
                    out.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = after;
                } else {
                    out.push(b'\\');
                }
                continue;
            }
            Some(_) | None => {
                out.push(b'\\');
                continue;
            }
        };
        out.push(plain);
        rest = after.get(1..).unwrap_or_default();
    }
    out
}

/// The sign that `uXXXX`, or two of them, stand for; and what follows.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let unit = |text: &[u8]| {
        let digits = std::str::from_utf8(text.strip_prefix(b"u")?.get(..4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(text)?;
    let after = text.get(5..)?;
    if let Some(sign) = char::from_u32(first) {
        return Some((sign, after));
    }
    let second = unit(after.strip_prefix(b"\\")?)?;
    let (high, low) = (first.checked_sub(0xd800)?, second.checked_sub(0xdc00)?);
    let sign = char::from_u32(0x10000 + (high << 10) + low)?;
    Some((sign, after.get(6..)?))
}

/// Without the encoding of URLs.
fn percent_decoded(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = buffer(text);
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let value = after.first_chunk::<2>().filter(|_| *byte == b'%');
        let value = value.and_then(|digits| {
            let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
            u8::try_from(high? * 16 + low?).ok()
        });
        out.push(value.unwrap_or(*byte));
        rest = match value {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    out
}

/// What a digit of base64 is worth, in either alphabet.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// What digits of base64 stand for; of what is left at the end, the whole bytes.
fn decoded(digits: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = buffer(digits);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in digits {
        bits = (bits << 6) | u32::from(digit(*byte).unwrap_or_default());
        count += 6;
        if count >= 8 {
            count -= 8;
            out.extend_from_slice(&(bits >> count).to_le_bytes()[..1]);
        }
    }
    out
}
