//! Telegram through a real SOCKS5 proxy that wants a password: with it, without it, wrongly.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::metrics::metrics;
use crate::setting;
use crate::stage::{ALICE, PASSWORD, Stage};

const SECRET: &str = "hunter2-Proxy";

/// A running microsocks.
struct Proxy(Child);

impl Proxy {
    fn start(port: u16) -> Self {
        let child = Command::new("microsocks")
            .args(["-i", "127.0.0.1", "-u", "broker", "-P", SECRET])
            .args(["-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("microsocks is installed: make tools"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `vaultgram` with the proxy in its environment, written to a file as systemd does it.
fn doctor(stage: &Stage, password: &str, port: u16) -> (bool, String) {
    let ran = stage
        .vaultgram(&["doctor"])
        .env(
            "TELEGRAM_PROXY",
            format!("socks5://broker:{password}@localhost:{port}"),
        )
        .output()
        .unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    (ran.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_telegram_goes_through_the_proxy() {
    let mut stage = Stage::build(setting()).await;
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let url = format!("socks5://broker:{SECRET}@localhost:{port}");
    std::fs::write(stage.path(".env"), format!("TELEGRAM_PROXY={url}\n")).unwrap();
    std::fs::set_permissions(
        stage.path(".env"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();

    // Without it there is no way to Telegram, not even the direct one.
    stage.spawn();
    let unreached = || stage.log().contains("cannot be reached");
    stage.wait("the proxy is missed", unreached).await;
    assert_eq!(stage.dc.connections(), 0);
    let reconnecting = "vaultgram_telegram_state{state=\"reconnecting\"} 1";
    assert!(metrics(&stage).contains(reconnecting));

    let proxy = Proxy::start(port);
    let connected = || stage.log().contains("telegram.connected");
    stage.wait("it goes through the proxy", connected).await;
    let answer = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(answer.contains(PASSWORD), "{answer}");
    assert!(stage.dc.connections() > 0);

    // Its end cuts every connection there is.
    drop(proxy);
    stage.wait("the cut", || stage.dc.connections() == 0).await;
    stage
        .wait("it is said", || metrics(&stage).contains(reconnecting))
        .await;
    let _proxy = Proxy::start(port);
    let answer = stage.ask(ALICE, "/help").await;
    assert!(answer.contains("/get_secret"), "{answer}");

    let broker = stage.broker.take().unwrap();
    broker.terminate();
    broker.exit().await;
    let (well, said) = doctor(&stage, SECRET, port);
    assert!(well, "{said}");
    let (well, wrong) = doctor(&stage, "hunter2-wrong", port);
    assert!(!well && wrong.contains("FAIL  telegram"), "{wrong}");
    for text in [said, wrong, stage.log()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
