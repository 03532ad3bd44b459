//! Nothing secret in logs, even when every library logs everything.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tracing_subscriber::fmt::format::FmtSpan;

use vaultgram::broker::ports::SecretStore;
use vaultgram::domain::SecretValue;
use vaultgram::vault::SecretId;

use crate::openbao::OpenBao;
use crate::world::{SHIPPED, World, by_app_role, field, permit, secret, settings, static_token};

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
    bao.put("ci/app", &json!({"k": "marker-value-7f3a"}));
    bao.policy("ci", include_str!("../../policies/vault/ci.hcl"));
    bao.must(
        "POST",
        "auth/token/roles/ci",
        &json!({"allowed_policies": "ci"}),
    );
    let token = bao.token(&json!({"period": "1h"}));
    bao.policy("logged", SHIPPED);
    let role = json!({"token_policies": "logged", "token_period": "4s"});
    let (role_id, secret_id_text) = bao.role("logged", &role);
    let auth = by_app_role(role_id, SecretId::Plain(secret(&secret_id_text)));

    let sink = listen();
    let mut tokens = vec![];
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
        // Roles: one that works, one that is not there, one that is not granted.
        assert!(world.read_as("ci", "ci/app").await.is_ok());
        assert!(world.read_as("developers", "app").await.is_err());
        assert!(world.read_as("elsewhere", "app").await.is_err());
        let target = permit("secret", "new", None);
        let written = [field("k", r#""marker-written-91c4""#)];
        world.store.patch(&target, &written, None).await.err();
        let over = world.store.history(&target).await;
        let over = over.map_or(0, |history| history.current);
        world.store.put(&target, &written, over).await.unwrap();
        let wrapped = world.store.wrap(&target, Duration::from_mins(1)).await;
        tokens.push(wrapped.map(|wrapped| text(&wrapped.token)).unwrap());
        // Long enough for a renewal of the first.
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.stop().await;
    }

    let log = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    // The test listens: it has heard us.
    assert!(log.contains("vaultgram::vault"));
    assert!(log.contains("vault.renewed"));
    for advice in [
        "let vaultgram's Vault policy update auth/token/create/elsewhere",
        "make it: bao write auth/token/roles/developers",
    ] {
        assert!(log.contains(advice), "no word on {advice}");
    }
    // "s." begins every token of the token store.
    for secret in [
        "marker-value-7f3a",
        "marker-written-91c4",
        &tokens[0],
        &tokens[1],
        &token,
        &secret_id_text,
        " s.",
        "\"s.",
        "=s.",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[expect(clippy::disallowed_methods, reason = "the test looks for it")]
fn text(value: &SecretValue) -> String {
    String::from_utf8(value.expose_secret().to_vec()).unwrap()
}
