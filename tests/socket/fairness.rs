//! Nobody takes what the others need.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::thread::{Uid, set_thread_res_uid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;
use vaultgram::http::Limits;

use crate::support::{Reply, Server, own_policy, own_uid, serve, text, until_closed};

const HEALTH: &str = "/v1/sys/health";
const SLOW: &[u8] = b"GET /v1/secret/data/slow HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A server with these limits, for everybody.
pub(crate) fn limited(limits: Limits) -> Server {
    let server = serve(&own_policy(), |settings| {
        settings.limits = limits;
        settings.mode = 0o666;
    });
    let folder = server.path.parent().unwrap();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    server
}

/// `count` connections of user `uid`, made by a thread that is that user for good.
pub(crate) fn connections_of(uid: u32, path: &Path, count: usize) -> Vec<UnixStream> {
    let path = path.to_owned();
    let connecting = std::thread::spawn(move || {
        let uid = Uid::from_raw(uid);
        set_thread_res_uid(uid, uid, uid).unwrap();
        let connect = |_| std::os::unix::net::UnixStream::connect(&path).unwrap();
        (0..count).map(connect).collect::<Vec<_>>()
    });
    let connected = connecting.join().unwrap().into_iter().map(|stream| {
        stream.set_nonblocking(true).unwrap();
        UnixStream::from_std(stream).unwrap()
    });
    connected.collect()
}

/// Asks on a connection that stays open; the whole answer.
async fn ask(stream: &mut UnixStream, target: &str) -> Reply {
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    Reply::parse(&text(&answer[..length]))
}

/// A connection on which a request is being worked on.
async fn working(server: &Server) -> UnixStream {
    let mut stream = server.connect().await;
    stream.write_all(SLOW).await.unwrap();
    server.store.slow.0.acquire().await.unwrap().forget();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_all_connections_it_can_get_holds_up_nobody() {
    if own_uid() != 0 {
        // Only root can become somebody else.
        return;
    }
    let server = limited(Limits::of(256));
    let _greedy = connections_of(65_533, &server.path, 300);
    let start = Instant::now();
    for mut stream in connections_of(65_534, &server.path, 10) {
        assert_eq!(ask(&mut stream, HEALTH).await.status, 200);
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_has_taken_everything_gives_way() {
    if own_uid() != 0 {
        return;
    }
    let server = limited(Limits::of(64));
    let _crowd: Vec<_> = (60_000..60_010)
        .map(|uid| connections_of(uid, &server.path, 16))
        .collect();
    let mut newcomer = connections_of(65_534, &server.path, 1).remove(0);
    assert_eq!(ask(&mut newcomer, HEALTH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_closes_the_one_idle_for_longest() {
    let server = limited(Limits {
        connections_per_user: 2,
        ..Limits::of(64)
    });
    let (mut used, mut idle) = (server.connect().await, server.connect().await);
    for stream in [&mut idle, &mut used] {
        assert_eq!(ask(stream, HEALTH).await.status, 200);
        // The answer may be here before the server's thread has noted that all of it is sent.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut third = server.connect().await;
    assert_eq!(ask(&mut third, HEALTH).await.status, 200);
    // Far sooner than it would end anyway.
    let closed = tokio::time::timeout(Duration::from_secs(15), until_closed(&mut idle));
    assert_eq!(closed.await.expect("it is closed"), "");
    assert_eq!(ask(&mut used, HEALTH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_the_middle_of_an_answer_is_not_closed() {
    let server = limited(Limits {
        connections_per_user: 1,
        ..Limits::of(64)
    });
    let mut first = server.connect().await;
    let request = String::from_utf8(SLOW.to_vec())
        .unwrap()
        .replace("slow", "huge");
    first.write_all(request.as_bytes()).await.unwrap();
    first.readable().await.unwrap();
    // The answer is there, and does not fit into the kernel's buffer.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.get(HEALTH).await.status, 503);
    let mut answer = vec![];
    while !answer.ends_with(b"}") {
        let mut piece = vec![0; 1 << 20];
        let read = first.read(&mut piece).await.unwrap();
        assert!(read > 0, "cut short after {} bytes", answer.len());
        answer.extend_from_slice(&piece[..read]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_cap_are_told_so() {
    let server = limited(Limits {
        connections_per_user: 2,
        ..Limits::of(64)
    });
    let busy = [working(&server).await, working(&server).await];
    let decisions = server.decisions();
    let reply = server.get("/v1/secret/data/django/database").await;
    assert_eq!(reply.status, 503, "{}", reply.head);
    assert!(
        reply.head.contains("\r\nretry-after: 1\r\n"),
        "{}",
        reply.head
    );
    let said = reply.json()["errors"][0].as_str().unwrap().to_owned();
    assert!(said.contains("too many connections"), "{said}");
    assert_eq!(server.decisions(), decisions, "nothing is decided");

    // A real client shows the reason.
    let ran = server.bao(&["read", "secret/data/django/database"]).await;
    let said = text(&ran.stderr);
    assert!(
        said.contains("Code: 503") && said.contains("too many connections"),
        "{said}"
    );

    server.store.slow.1.add_permits(2);
    for mut stream in busy {
        stream.readable().await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(until_closed(&mut stream).await.contains("late"));
    }
    assert_eq!(server.get(HEALTH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_progress_are_few_at_once() {
    let server = limited(Limits {
        in_flight_per_user: 1,
        ..Limits::of(64)
    });
    let first = working(&server).await;
    let reply = server.get(HEALTH).await;
    assert_eq!(reply.status, 503);
    assert!(
        reply.head.contains("\r\nretry-after: 1\r\n"),
        "{}",
        reply.head
    );
    let (reply, ()) = tokio::join!(server.get(HEALTH), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.store.slow.1.add_permits(1);
    });
    assert_eq!(reply.status, 200, "it had its turn");
    first.readable().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_has_the_turn_until_the_work_is_done() {
    let server = limited(Limits {
        in_flight_per_user: 1,
        ..Limits::of(64)
    });
    drop(working(&server).await);
    assert_eq!(server.get(HEALTH).await.status, 503);
    server.store.slow.1.add_permits(1);
    assert_eq!(server.get(HEALTH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_rate_are_told_when_to_come_again() {
    let server = limited(Limits {
        rate_per_user: 5,
        ..Limits::of(64)
    });
    let mut stream = server.connect().await;
    // Refused by policy: that counts like any other.
    let target = "/v1/secret/data/private/x";
    for _ in 0..9 {
        assert_eq!(ask(&mut stream, target).await.status, 403);
    }
    let decisions = server.decisions();
    let start = Instant::now();
    let reply = ask(&mut stream, target).await;
    assert_eq!(reply.status, 429, "{}", reply.head);
    assert!(
        reply.head.contains("\r\nretry-after: 1\r\n"),
        "{}",
        reply.head
    );
    assert!(reply.body.contains("rate limit exceeded"), "{}", reply.body);
    assert!(
        start.elapsed() >= Duration::from_millis(100),
        "refusing is not for free"
    );
    assert_eq!(server.decisions(), decisions, "nothing is decided");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&mut stream, target).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connects_too_often_is_told_so() {
    let server = limited(Limits {
        rate_per_user: 5,
        ..Limits::of(64)
    });
    // On a busy machine some of it is paid off meanwhile.
    let reply = loop {
        for _ in 0..10 {
            drop(server.connect().await);
        }
        let reply = server.get(HEALTH).await;
        if reply.status == 429 {
            break reply;
        }
    };
    assert!(
        reply.head.contains("\r\nretry-after: 1\r\n"),
        "{}",
        reply.head
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn subordinate_users_share_what_their_owner_has() {
    if own_uid() != 0 {
        return;
    }
    let server = serve(&own_policy(), |settings| {
        let subuid = settings.path.with_file_name("subuid");
        std::fs::write(subuid, "65533:60000:10\n").unwrap();
        settings.mode = 0o666;
        settings.limits.connections_per_user = 2;
    });
    let folder = server.path.parent().unwrap();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    let mut first = connections_of(60_000, &server.path, 1).remove(0);
    assert_eq!(ask(&mut first, HEALTH).await.status, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _second = connections_of(65_533, &server.path, 1);
    let mut third = connections_of(60_009, &server.path, 1).remove(0);
    assert_eq!(ask(&mut third, HEALTH).await.status, 200);
    let closed = tokio::time::timeout(Duration::from_secs(15), until_closed(&mut first));
    assert_eq!(closed.await.expect("it is closed for the third"), "");
}

#[tokio::test]
async fn whoever_asks_for_much_lets_others_in_between() {
    let server = limited(Limits::of(64));
    let mut client = server.connect().await;
    // So that nothing is left to be found out about its peer.
    assert_eq!(ask(&mut client, HEALTH).await.status, 200);
    let paths: Vec<_> = (0..64).map(|name| format!("secret/data/{name}")).collect();
    let body = serde_json::json!({ "paths": paths }).to_string();
    let length = body.len();
    let target = "/v1/sys/capabilities-self";
    let head = format!("POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}");
    let mut turns = 0;
    let others = async {
        loop {
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    let asking = async {
        let request = format!("{head}\r\n\r\n{body}");
        client.write_all(request.as_bytes()).await.unwrap();
        Reply::parse(&until_closed(&mut client).await)
    };
    let reply = tokio::select! {
        reply = asking => reply,
        () = others => unreachable!(),
    };
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(turns > 3 * paths.len(), "{turns}");
}
