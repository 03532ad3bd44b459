//! A vaultgram that has everything it can have metrics of: Telegram, Vault, etcd, TLS.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use telegram_dc::Chat;

use crate::certificates::{Authority, Certificate, Request};
use crate::etcd::Etcd;
use crate::openbao::free_port;
use crate::setting;
use crate::stage::{ALICE, BOB, BROKER, Stage};

const POLICY: &str = r#"
@id("developers-read-django")
permit(principal in Group::"developers", action, resource in Path::"secret/django");
@id("payroll-needs-bob") @approvals("1") @approvers("leads")
permit(principal in Person::"alice", action == Action::"read", resource == Path::"secret/payroll/key");
"#;

/// Everything that runs. Ends with this value.
pub(crate) struct World {
    pub(crate) stage: Stage,
    /// Where metrics are scraped: `127.0.0.1:PORT`.
    pub(crate) metrics: String,
    /// What whoever scrapes shows, and whom they trust.
    pub(crate) scraper: Certificate,
    pub(crate) authority: PathBuf,
    etcd: Etcd,
}

impl World {
    pub(crate) async fn start() -> Self {
        let etcd = tokio::task::spawn_blocking(Etcd::start);
        let stage = Stage::build(setting("vaultgram=debug")).await;
        let authority = Authority::new(stage.path("authority"), "monitoring");
        let issue = |name, extended_key_usage| {
            let request = Request {
                common_name: name,
                addresses: &[Ipv4Addr::LOCALHOST],
                key_usage: "digitalSignature",
                extended_key_usage,
            };
            let issued = authority.issue(name, &request);
            let private = PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&issued.key, private).unwrap();
            issued
        };
        let own = issue("metrics", "serverAuth");
        let scraper = issue("prometheus", "clientAuth");
        let mut world = Self {
            stage,
            metrics: format!("127.0.0.1:{}", free_port()),
            scraper,
            authority: authority.trust(),
            etcd: etcd.await.unwrap(),
        };
        world.configure(&own);
        world.spawn().await;
        world
    }

    fn configure(&self, own: &Certificate) {
        let file = self.stage.path("vaultgram.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        let people = "[people]\nalice = [\"telegram:1001\"]\nbob = [\"telegram:1002\"]\n\
                      [groups]\nleads = [\"person:bob\"]\n";
        let config = config.replace("[groups]\n", people);
        let more = format!(
            "[metrics]\nlisten = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\nclient_ca_file = \"{}\"\n\
             [state.etcd]\nendpoints = {:?}\nreplica = \"one\"\n",
            self.metrics,
            own.certificate.display(),
            own.key.display(),
            self.authority.display(),
            self.etcd.endpoints(),
        );
        std::fs::write(&file, config + &more).unwrap();
        std::fs::write(self.stage.path("policy.cedar"), POLICY).unwrap();
        let key = self.stage.path("state.key");
        let keygen = ["state", "keygen", "--out", key.to_str().unwrap()];
        let made = self.stage.vaultgram(&keygen).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    /// Starts vaultgram, and waits until it is in Telegram.
    pub(crate) async fn spawn(&mut self) {
        let before = self.stage.log().len();
        let mut command = self.stage.vaultgram(&["serve"]);
        command.env("VAULTGRAM_STATE_KEY_FILE", self.stage.path("state.key"));
        self.stage.spawn_as(command);
        let stage = &self.stage;
        let connected = || {
            stage
                .log()
                .split_at(before)
                .1
                .contains("telegram.connected")
        };
        stage.wait("vaultgram is connected", connected).await;
        // So that it knows how to write to them.
        for person in [ALICE, BOB] {
            stage.dc.send(person, Chat::User(BROKER), "hello").unwrap();
        }
    }

    /// What a scraper with these arguments of curl is told, with the status before it.
    pub(crate) fn curl(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        let ran = std::process::Command::new("curl")
            .args([
                "--silent",
                "--max-time",
                "20",
                "--write-out",
                "\n%{http_code}",
            ])
            .arg("--cacert")
            .arg(&self.authority)
            .args(arguments)
            .arg(format!("https://{}{path}", self.metrics))
            .output()
            .unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// The same with the scraper's certificate.
    pub(crate) fn scrape(&self, path: &str) -> (u16, String) {
        let (certificate, key) = (&self.scraper.certificate, &self.scraper.key);
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        self.curl(path, &["--cert", certificate, "--key", key])
    }

    /// Asks for what needs Bob, and has him agree.
    pub(crate) async fn approve(&self) {
        let asked = "/request_secret payroll/key fix the payroll";
        let answer = self.stage.ask(ALICE, asked).await;
        let (_, id) = answer
            .split_once("equest ")
            .unwrap_or_else(|| panic!("{answer}"));
        let id: String = id.chars().take(6).collect();
        // What he is shown is no answer to his vote.
        let shown = || self.stage.chat(BOB).iter().any(|it| it.text.contains(&id));
        self.stage.wait("Bob is asked", shown).await;
        let voted = self.stage.ask(BOB, &format!("/approve {id}")).await;
        assert!(voted.contains("granted"), "{voted}");
    }
}
