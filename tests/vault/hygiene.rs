//! Nothing secret in logs, even when every library logs everything.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::format::FmtSpan;

use vaultgram::broker::ports::SecretStore;
use vaultgram::vault::Auth;

use crate::openbao::OpenBao;
use crate::world::{World, app_role, permit, settings, static_token};

/// Collects what is logged.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects everything this thread logs from now on. A subscriber for this thread alone would
/// miss events first met on the threads of other tests, which have none.
fn listen() -> Sink {
    let sink = Sink::default();
    let (us, ours) = (std::thread::current().id(), sink.clone());
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || -> Box<dyn Write> {
            if std::thread::current().id() == us {
                Box::new(ours.clone())
            } else {
                Box::new(std::io::sink())
            }
        })
        .init();
    sink
}

// One thread, so that the libraries' own tasks log here too.
#[tokio::test(flavor = "current_thread")]
async fn no_library_logs_a_secret_at_trace() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "marker-value-7f3a"}));
    let token = bao.token(&json!({"period": "1h"}));
    let auth = app_role(&bao, "logged", &json!({"token_period": "4s"}));
    let Auth::AppRole {
        mount,
        role_id,
        secret_id,
    } = auth
    else {
        panic!("not an AppRole");
    };
    #[expect(clippy::disallowed_methods, reason = "the test looks for it")]
    let secret_id_text = String::from_utf8(secret_id.expose_secret().to_vec()).unwrap();
    let auth = Auth::AppRole {
        mount,
        role_id,
        secret_id,
    };

    let sink = listen();
    for auth in [auth, static_token(&token)] {
        let mut world = World::start(settings(bao.address(), auth));
        assert!(world.read("app").await.is_ok());
        assert!(world.read("none").await.is_err());
        assert!(
            world
                .store
                .read(&permit("elsewhere", "x", None))
                .await
                .is_err()
        );
        // Long enough for a renewal of the first.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        world.stop().await;
    }

    let log = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    // The test listens: it has heard each library that speaks to Vault, and ourselves.
    for target in ["rustify", "vaultrs", "hyper", "reqwest", "vaultgram::vault"] {
        assert!(log.contains(target), "nothing from {target}");
    }
    assert!(log.contains("vault.renewed"));
    // "s." begins every token of the token store.
    for secret in [
        "marker-value-7f3a",
        &token,
        &secret_id_text,
        " s.",
        "\"s.",
        "=s.",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
