//! The chat bot that vaultgram is measured beside.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use telegram_dc::User;

use crate::CROWD;
use crate::openbao::bao;
use crate::stage::Stage;

/// The account of the Telethon bot.
pub(crate) const BOT: i64 = 5001;
const PHONE: &str = "+9996615001";

/// A Telethon + hvac bot, killed with this value.
pub(crate) struct TelethonBot(Child);

impl TelethonBot {
    pub(crate) fn start(stage: &Stage) -> Self {
        stage.dc.add_user(User::new(BOT, "bot").phone(PHONE));
        let policies = json!({"policies": ["vaultgram-broker"]});
        let settings = json!({
            "public_key": stage.dc.public_key_pem(),
            "dc": stage.dc.id(),
            "port": stage.dc.address().port(),
            "phone": PHONE,
            "code": stage.dc.login_code(PHONE),
            "allowed": CROWD.collect::<Vec<_>>(),
            "vault": stage.bao.address(),
            "token": tokio::task::block_in_place(|| stage.bao.token(&policies)),
        });
        // Beside the `bao` in bin/ stands the environment that it came in.
        let python = bao().ancestors().nth(2).unwrap().join("venv/bin/python");
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/system/telethon_hvac_bot.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(settings.to_string().as_bytes())
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        tokio::task::block_in_place(|| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n", "the bot did not start");
        });
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for TelethonBot {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
