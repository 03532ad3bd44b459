//! The texts in a value: itself, or those inside of its JSON.

use serde_json::Value;

/// The deepest JSON in JSON that is looked into.
const MAX_DEPTH: usize = 4;

/// Shows `take` each text in `json`, a field's value. Freed memory is wiped, so nothing stays.
pub(super) fn leaves(json: &[u8], take: &mut impl FnMut(&str)) {
    if let Ok(value) = serde_json::from_slice(json) {
        walk(&value, 0, take);
    }
}

fn walk(value: &Value, depth: usize, take: &mut impl FnMut(&str)) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => take(&number.to_string()),
        Value::String(text) => {
            take(text);
            // Many secrets are JSON in a string: a service account's key, a configuration.
            if depth < MAX_DEPTH
                && text.trim_start().starts_with(['{', '['])
                && let Ok(inner) = serde_json::from_str(text)
            {
                walk(&inner, depth + 1, take);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, depth, take)),
        Value::Object(members) => members.values().for_each(|value| walk(value, depth, take)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Vec<String> {
        let mut found = vec![];
        leaves(json.as_bytes(), &mut |text| found.push(text.to_owned()));
        found
    }

    #[test]
    fn every_text_is_a_leaf_and_so_is_one_in_json_in_a_text() {
        assert_eq!(found(r#""a\"b""#), ["a\"b"]);
        assert_eq!(
            found(r#"{"a":["b",{"c":"d"}],"e":12345678901234567890,"f":true,"g":null}"#),
            ["b", "d", "12345678901234567890"]
        );
        let inner = r#"{"key":"x"}"#;
        let json = serde_json::to_string(inner).unwrap();
        assert_eq!(found(&json), [inner, "x"]);
        assert_eq!(found("nonsense"), [""; 0]);
        let mut nested = "\"x\"".to_owned();
        for _ in 0..20 {
            nested = serde_json::to_string(&format!("[{nested}]")).unwrap();
        }
        assert_eq!(found(&nested).len(), MAX_DEPTH + 1);
    }
}
