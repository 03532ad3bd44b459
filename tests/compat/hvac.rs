//! hvac, the Python client of Vault: every call comes to the same.

use std::process::Command;

use serde_json::Value;

use crate::openbao::bao;
use crate::pair::{Pair, Side};
use crate::replay::settled;

#[test]
fn hvac_is_told_the_same() {
    let pair = Pair::start();
    let [real, ours] = [Side::Real, Side::Ours].map(|side| called(&pair, side));
    let names: Vec<&String> = real.as_object().unwrap().keys().collect();
    assert!(names.len() > 30, "{names:?}");
    let mut wrong = vec![];
    for name in names {
        let (real, ours) = (&real[name], &ours[name]);
        if settled(real) != settled(ours) {
            wrong.push(format!("{name}\n  {real}\n  {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn called(pair: &Pair, side: Side) -> Value {
    let url = match side {
        Side::Real => pair.real.address(),
        Side::Ours => {
            let socket = pair.socket.display().to_string();
            format!("http+unix://{}", socket.replace('/', "%2F"))
        }
    };
    let (_, token) = pair.address(side);
    let ran = Command::new(bao().with_file_name("../venv/bin/python"))
        .env_clear()
        // Where whoever runs the tests may have a token.
        .env("HOME", "/nonexistent")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/compat/hvac_calls.py"
        ))
        .args([&url, token.unwrap_or_default()])
        .output()
        .unwrap();
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
}
