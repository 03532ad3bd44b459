//! No token and no key stands in a log or an error, whatever goes wrong.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;
use vaultgram::actions::github::Credentials;
use vaultgram::broker::ports::Pipelines;
use vaultgram::broker::ports::pipelines::RunFilter;
use vaultgram::domain::SecretValue;

use crate::github::{AppKey, Fault};
use crate::setting::{
    Ahead, REPOSITORY, TOKEN, client, client_with, file, github, id, inputs, main, repository,
};

/// All that is logged, by whomever.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let layer = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
        tracing::subscriber::set_default(layer.with_writer(self.clone()).finish())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn faults() -> Vec<Fault> {
    vec![
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(418),
        Fault::Says(422, "no"),
        Fault::Spent(600),
        Fault::Dropped,
        Fault::Lost,
        Fault::Huge(5 << 20),
        Fault::Garbage,
        Fault::Moved(301, "https://elsewhere.example.org/x".to_owned()),
        Fault::Slow(Duration::from_secs(3)),
    ]
}

#[tokio::test]
async fn the_token_of_an_account_is_in_no_log_and_no_error() {
    let log = Log::default();
    let _logging = log.start();
    let mut errors = String::new();
    for fault in faults() {
        let github = github().await;
        let client = client(&github);
        let run = github
            .world()
            .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
        let declared = client
            .workflow(&repository(), &file(), &main())
            .await
            .unwrap();
        github.fault("POST", fault.clone());
        if let Err(error) = client.cancel(&repository(), id(run)).await {
            writeln!(errors, "{error} {error:?}").unwrap();
        }
        for _ in 0..4 {
            github.fault("GET", fault.clone());
        }
        if let Err(error) = client.runs(&repository(), &RunFilter::default()).await {
            writeln!(errors, "{error} {error:?}").unwrap();
        }
        let given = inputs(&declared);
        drop(
            client
                .dispatch(&repository(), &file(), &main(), &given)
                .await,
        );
        assert!(
            github
                .calls("")
                .iter()
                .all(|call| call.authorization.contains(TOKEN))
        );
    }
    let log = log.text();
    assert!(
        log.contains("github.call_failed") && log.contains("github.call_refused"),
        "{log}"
    );
    assert!(!errors.is_empty());
    for text in [&log, &errors] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn nor_are_the_key_of_an_app_its_proof_and_its_tokens() {
    let log = Log::default();
    let _logging = log.start();
    let key = AppKey::new();
    let pem = String::from_utf8(key.pem.clone()).unwrap();
    let mut secrets: Vec<String> = pem.lines().skip(1).take(10).map(str::to_owned).collect();
    let mut errors = String::new();
    let github = github().await;
    github.world().app = Some(("4".to_owned(), "vaultgram".to_owned(), key));
    for fault in faults() {
        let app = Credentials::App {
            id: "4".to_owned(),
            key: SecretValue::new(pem.clone().into_bytes()),
        };
        let client = client_with(github.url(), app, Arc::new(Ahead::default()));
        for which in ["/installation", "/access_tokens", "/actions/runs"] {
            github.world().left = 5000;
            github.world().faults.clear();
            for _ in 0..4 {
                github.fault(which, fault.clone());
            }
            if let Err(error) = client.runs(&repository(), &RunFilter::default()).await {
                writeln!(errors, "{error} {error:?}").unwrap();
            }
        }
    }
    secrets.extend(github.world().installed.keys().cloned());
    let sent = github.calls("");
    secrets.extend(
        sent.iter()
            .map(|call| call.authorization["Bearer ".len()..].to_owned()),
    );
    assert!(secrets.len() > 30 && !errors.is_empty());
    let log = log.text();
    for secret in secrets {
        assert!(secret.len() > 30, "{secret}");
        assert!(!log.contains(&secret), "{secret} in {log}");
        assert!(!errors.contains(&secret), "{errors}");
    }
}
