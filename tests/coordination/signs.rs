//! Signs of life come through, whatever else is asked of etcd.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use vaultgram::coordination::etcd::kv::{Kv, Op};
use vaultgram::coordination::etcd::{EtcdClient, Reach};

use crate::etcd::Etcd;

/// Between two packets of 16 KB that come from a server: about a megabyte a second.
const SLOWLY: Duration = Duration::from_millis(16);
/// By when a lease must have been kept: before a try at it is given up.
const SOON: Duration = Duration::from_millis(400);

/// A line to `server` on which every connection is slow.
async fn slow_line(server: SocketAddr, tasks: &TaskTracker) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(carry(client, server));
        }
    });
    address
}

async fn carry(mut client: TcpStream, server: SocketAddr) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let ((mut asked, mut to_client), (mut answered, mut to_server)) =
        (client.split(), server.split());
    let answers = async {
        let mut packet = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = answered.read(&mut packet).await {
            if to_client.write_all(&packet[..length]).await.is_err() {
                return;
            }
            sleep(SLOWLY).await;
        }
    };
    tokio::select! {
        _ = copy(&mut asked, &mut to_server) => {}
        () = answers => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_values_come_over_a_slow_line_and_a_lease_is_kept_meanwhile() {
    let etcd = Etcd::start();
    let reach = |endpoints| Reach {
        endpoints,
        tls: None,
        user: None,
    };
    let direct = EtcdClient::new(reach(etcd.endpoints()));
    // Small ones first, so that large ones are not expected.
    for number in 0..100 {
        let large = Op::Put {
            key: format!("/large/{number:02}"),
            value: vec![7; if number < 10 { 10 } else { 60_000 }],
            lease: None,
        };
        direct.txn(vec![], vec![large], vec![]).await.unwrap();
    }

    let tasks = TaskTracker::new();
    let line = slow_line(etcd.sockets()[0], &tasks).await;
    let slow = EtcdClient::new(reach(vec![format!("http://{line}")]));
    let lease = slow.grant(Duration::from_secs(2)).await.unwrap();
    assert_eq!(slow.keep_alive(lease).await, Ok(true));
    let keeping = async {
        for sign in 0..8 {
            sleep(SOON).await;
            let kept = timeout(SOON, slow.keep_alive(lease)).await;
            assert_eq!(kept, Ok(Ok(true)), "sign {sign}");
        }
    };
    let coming = async {
        let listed = slow.range("/large/").await.unwrap();
        assert_eq!(listed.entries.len(), 100);
        Instant::now()
    };
    let (((), kept), came) = tokio::join!(async { (keeping.await, Instant::now()) }, coming);
    assert!(kept < came, "it came too soon");
}
