//! Until when a certificate holds: all of it that nothing else here tells.

use time::{Date, Month, OffsetDateTime, Time};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// The version, which a certificate of the first has none of.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When `certificate` (X.509, in DER) ends.
pub(super) fn ends(certificate: &[u8]) -> Option<OffsetDateTime> {
    let (whole, _) = tagged(certificate, SEQUENCE)?;
    let (body, _) = tagged(whole, SEQUENCE)?;
    let body = tagged(body, VERSION).map_or(body, |(_, rest)| rest);
    // Its number, how it is signed, and by whom.
    let mut skipped = [INTEGER, SEQUENCE, SEQUENCE].into_iter();
    let body = skipped.try_fold(body, |body, tag| Some(tagged(body, tag)?.1))?;
    let (validity, _) = tagged(body, SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    let digits = text.strip_suffix(b"Z")?;
    match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            // As RFC 5280 has it.
            let century = if year < 50 { 2000 } else { 1900 };
            time(century + i32::from(year), rest)
        }
        GENERALIZED_TIME => {
            let (century, rest) = digits.split_at_checked(2)?;
            let (year, rest) = rest.split_at_checked(2)?;
            let year = 100 * i32::from(number(century)?) + i32::from(number(year)?);
            time(year, rest)
        }
        _ => None,
    }
}

/// A time of `year`, from the ten digits of the rest.
fn time(year: i32, rest: &[u8]) -> Option<OffsetDateTime> {
    let mut parts = rest.chunks(2).map(number);
    let mut next = || parts.next().flatten();
    let month = Month::try_from(next()?).ok()?;
    let date = Date::from_calendar_date(year, month, next()?).ok()?;
    let time = Time::from_hms(next()?, next()?, next()?).ok()?;
    (rest.len() == 10).then(|| date.with_time(time).assume_utc())
}

fn number(digits: &[u8]) -> Option<u8> {
    let plain = digits.len() == 2 && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

/// The content of the first element, which has this tag, and what follows it.
fn tagged(from: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(from)?;
    (tag == wanted).then_some((content, rest))
}

/// The tag and the content of the first element, and what follows it.
fn element(from: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = from.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(*first - 0x80))?;
        let add = |length: usize, digit: &u8| (length << 8) | usize::from(*digit);
        let length = (digits.len() <= 4).then(|| digits.iter().fold(0, add))?;
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn certificate() -> Vec<u8> {
        let pem = include_bytes!("../identity/tests/keys/server.pem");
        CertificateDer::from_pem_slice(pem).unwrap().to_vec()
    }

    #[test]
    fn a_certificate_ends_when_openssl_says() {
        let ends = ends(&certificate()).unwrap();
        assert_eq!(ends.to_string(), "2126-11-04 22:50:00.0 +00:00:00");
    }

    #[test]
    fn later_times_have_more_digits() {
        let end = |tag: u8, text: &str| {
            let wrap = |tag: u8, content: &[u8]| {
                let mut all = vec![tag, u8::try_from(content.len()).unwrap()];
                all.extend_from_slice(content);
                all
            };
            let times = [wrap(UTC_TIME, b"200101000000Z"), wrap(tag, text.as_bytes())];
            let body = [
                wrap(INTEGER, &[1]),
                wrap(SEQUENCE, &[]),
                wrap(SEQUENCE, &[]),
                wrap(SEQUENCE, &times.concat()),
            ];
            let whole = wrap(SEQUENCE, &wrap(SEQUENCE, &body.concat()));
            ends(&whole).map(OffsetDateTime::unix_timestamp)
        };
        assert_eq!(
            end(GENERALIZED_TIME, "20500101000000Z"),
            Some(2_524_608_000)
        );
        assert_eq!(end(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(end(UTC_TIME, "500101000000Z"), Some(-631_152_000));
        for wrong in [
            "",
            "Z",
            "4912312359Z",
            "491331235959Z",
            "49123123595xZ",
            "491231235959",
        ] {
            assert_eq!(end(UTC_TIME, wrong), None, "{wrong}");
        }
        assert_eq!(end(0x16, "491231235959Z"), None);
    }

    proptest! {
        #[test]
        fn nothing_is_read_beyond_the_end(
            bytes: Vec<u8>, at in 0..400_usize, byte: u8, cut in 0..400_usize
        ) {
            ends(&bytes);
            let mut changed = certificate();
            changed[at] = byte;
            ends(&changed);
            changed.truncate(cut);
            prop_assert_eq!(ends(&changed).filter(|_| cut < 100), None);
        }
    }
}
