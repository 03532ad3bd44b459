//! Which values are looked for: those that say something, and nobody writes by chance.

/// No value is shorter.
const LEAST: usize = 8;
/// From so many bytes on, two kinds of signs are enough.
const LONG: usize = 12;
/// From so many bytes on, a value of plain words is a pass phrase.
const PHRASE: usize = 16;
/// The most digits that are a plain number.
const NUMBER: usize = 4;
/// The most pieces of one value.
const MAX_PIECES: usize = 128;

/// What of `value` is worth being looked for: it as a whole, its lines, what follows `NAME=` in
/// them, and the password in a URL.
#[must_use]
pub fn pieces(value: &str) -> Vec<&str> {
    let value = value.trim();
    let mut found = vec![];
    let inside = value.lines().flat_map(|line| {
        let line = line.trim();
        let whole = Some(line).filter(|line| !line.starts_with("-----"));
        let assigned = line.split_once('=').filter(|(name, _)| is_name(name));
        let assigned = assigned.map(|(_, rest)| rest.trim().trim_matches(['"', '\'']));
        [whole, assigned, password(line)]
    });
    for piece in std::iter::once(Some(value)).chain(inside).flatten() {
        if found.len() < MAX_PIECES && says_something(piece) && !found.contains(&piece) {
            found.push(piece);
        }
    }
    found
}

/// What an environment variable can be called.
fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.trim_start_matches("export ").bytes().all(known)
}

/// Of `scheme://user:password@host`, that.
fn password(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let (user, _) = rest.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

/// Whether nobody writes `value` by chance. Of what is made of words and small numbers, hosts,
/// addresses and paths are written every day, and so are single words.
fn says_something(value: &str) -> bool {
    if value.len() < LEAST {
        return false;
    }
    let is_address = value.contains(['.', '/', ':', '@']) && password(value).is_none();
    let mut words = value.split(|sign: char| !sign.is_ascii_alphanumeric());
    if words.all(|word| is_plain(word) || is_address && is_plain(unnumbered(word))) {
        return value.len() >= PHRASE && !is_address;
    }
    value.len() >= LONG || kinds(value) >= 3
}

/// Without the small number at its end, as in `db1` and `v2`.
fn unnumbered(word: &str) -> &str {
    let stem = word.trim_end_matches(|sign: char| sign.is_ascii_digit());
    if word.len() - stem.len() <= NUMBER {
        stem
    } else {
        word
    }
}

/// A word in one case, or capitalised; or a small number.
fn is_plain(word: &str) -> bool {
    let rest = word.strip_prefix(|first: char| first.is_ascii_uppercase());
    let lower = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
    let upper = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase());
    let digits = word.len() <= NUMBER && word.bytes().all(|byte| byte.is_ascii_digit());
    lower(rest.unwrap_or(word)) || upper(word) || digits
}

/// How many kinds of signs there are.
fn kinds(value: &str) -> usize {
    let kinds: [fn(&u8) -> bool; 4] = [
        u8::is_ascii_lowercase,
        u8::is_ascii_uppercase,
        u8::is_ascii_digit,
        |byte| !byte.is_ascii_alphanumeric(),
    ];
    let there = kinds
        .iter()
        .filter(|kind| value.as_bytes().iter().any(kind));
    there.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_every_day_is_not_looked_for() {
        for value in [
            "",
            "true",
            "hunter2",
            "localhost",
            "production",
            "django",
            "postgres.example.com",
            "db-1.eu.example.com:5432",
            "web01.example.com",
            "https://vault.example.com/v1/secret",
            "alice@example.com",
            "/etc/vaultgram/vaultgram.toml",
            "12345678",
            "2026-01-02",
            "us-east-1",
            "Administrator",
            "p4ssw0rd",
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
        ] {
            let lines = pieces(value)
                .into_iter()
                .filter(|piece| !piece.contains('\n'));
            assert_eq!(lines.collect::<Vec<_>>(), [""; 0], "{value}");
        }
    }

    #[test]
    fn what_nobody_writes_by_chance_is() {
        for value in [
            "Tr0ub4dor&3",
            "aB3$xyzw",
            "correct-horse-battery",
            "correct horse battery staple",
            "s.k2j3h4k5j6h7",
            "AKIAIOSFODNN7EXAMPLE",
            "550e8400-e29b-41d4-a716-446655440000",
            "123456789012",
            "пароль-длинный",
            "postgres://app:hunterhunter@db.example.com/app",
        ] {
            assert_eq!(pieces(value).first(), Some(&value), "{value}");
        }
    }

    #[test]
    fn what_is_in_a_value_is_looked_for_too() {
        let found = pieces("  postgres://app:S3cret%9x@db/app\n");
        assert_eq!(found, ["postgres://app:S3cret%9x@db/app", "S3cret%9x"]);
        let found = pieces("# comment\nexport TOKEN='abcDEF123456'\nMODE=debug\n");
        assert!(found.contains(&"abcDEF123456"), "{found:?}");
        assert!(!found.contains(&"debug"), "{found:?}");
        let key =
            "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSj9\n-----END KEY-----";
        let found = pieces(key);
        assert_eq!(
            found,
            [key, "MIIEvQIBADANBgkqhkiG9w0", "BAQEFAASCBKcwggSj9"]
        );
        let many: Vec<String> = (0..1000).map(|n| format!("abcDEF12345{n}")).collect();
        assert_eq!(pieces(&many.join("\n")).len(), MAX_PIECES);
    }
}
