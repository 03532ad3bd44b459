//! Whatever comes, it is refused and nothing breaks.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::memory::{Memory, Set};
use super::signing_keys;
use super::world::{NOW, settings};
use crate::broker::ports::{Clock, SystemRandom};
use crate::identity::claims::Claims;
use crate::identity::jwks::Keys;
use crate::identity::token::Token;
use crate::identity::{IdentityError, Sessions, Signed};

/// JSON of any shape, with names that mean something among them.
fn json() -> impl Strategy<Value = Value> {
    let name =
        || "iss|aud|exp|iat|nbf|sub|jti|ref|kubernetes.io|pod|name|alg|kid|keys|kty|n|e|.{0,4}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just("RS256"), Just("RSA"), Just("k")].prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..8)
                .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// What `future` comes to.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #[test]
    fn texts_are_no_tokens(text in ".{0,200}|[A-Za-z0-9._-]{0,200}") {
        prop_assert!(Token::read(&text).is_err());
    }

    #[test]
    fn tokens_of_anything_are_read_or_refused(header in json(), payload in json(), rest in ".{0,9}") {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.{rest}", part(&header), part(&payload));
        if let Ok(token) = Token::read(&text) {
            prop_assert!(!rest.contains('.') && !token.is_from(""));
        }
    }

    #[test]
    fn claims_of_anything_are_read_or_refused(payload in json()) {
        let claims = Claims {
            text: "a.b.c",
            payload: payload.as_object().cloned().unwrap_or_default(),
        };
        let settings = settings("https://token.example.org");
        prop_assert!(claims.check(&settings, Set::at(NOW).now()).is_err());
        claims.job(&settings).ok();
        prop_assert_eq!(claims.id().len(), 64);
    }

    #[test]
    fn times_of_anything_are_read_or_refused(time in json(), other in json()) {
        let payload = json!({"iss": "i", "aud": "vaultgram", "exp": time, "iat": other, "nbf": time});
        let claims = Claims { text: "a.b.c", payload: payload.as_object().unwrap().clone() };
        claims.check(&settings("i"), Set::at(NOW).now()).ok();
    }

    #[test]
    fn key_sets_of_anything_are_read_or_refused(set in json(), bytes: Vec<u8>) {
        Keys::parse(&bytes).ok();
        Keys::parse(set.to_string().as_bytes()).ok();
        let keys = json!({"keys": [set, {"kty": "RSA", "kid": "k", "n": set, "e": set}]});
        Keys::parse(keys.to_string().as_bytes()).ok();
    }

    #[test]
    fn texts_are_no_sessions(text in ".{0,60}|vgs\\.[A-Za-z0-9_-]{43}") {
        let memory = Arc::new(Memory::default());
        let sessions = Sessions::new(memory, Arc::new(Set::at(NOW)), Arc::new(SystemRandom));
        prop_assert_eq!(wait(sessions.find(&text)), Err(IdentityError::NoSession));
    }

    #[test]
    fn texts_are_no_signatures(
        key in "acme/k1|.{0,70}",
        id in "[A-Za-z0-9._-]{1,64}|.{0,70}",
        timestamp in "1800000000|[0-9]{0,20}|.{0,20}",
        signatures in "(v1,[A-Za-z0-9+/]{0,44} ?){0,3}|.{0,99}",
        content: Vec<u8>,
    ) {
        let request = Signed {
            key: &key,
            id: &id,
            timestamp: &timestamp,
            signatures: &signatures,
            content: &[&content],
        };
        let world = signing_keys::World::new();
        prop_assert!(wait(world.verify(request)).is_err());
    }
}
