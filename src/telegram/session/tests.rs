//! The session file: kept, locked, private, never overwritten when damaged.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn login() -> Login {
    Login {
        dc: 2,
        address: "127.0.0.1:443".parse().unwrap(),
        auth_key: [7; 256],
        user: Some(1000),
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn keeps_what_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let session = FileSession::create(&path, &login()).unwrap();
    let ann = PeerInfo::User {
        id: 5,
        auth: Some(PeerAuth::from_hash(-9)),
        bot: Some(false),
        is_self: Some(false),
    };
    session.cache_peer(ann.clone()).await.unwrap();
    let group = UpdateState::Channel { id: 8, pts: 3 };
    session.set_update_state(group).await.unwrap();
    session.save().unwrap();
    drop(session);

    let session = FileSession::open(&path).unwrap();
    assert_eq!(session.user(), Some(1000));
    assert_eq!(session.home_dc_id().unwrap(), 2);
    let dc = session.dc_option(2).unwrap().unwrap();
    assert_eq!(dc.auth_key, Some([7; 256]));
    assert_eq!(dc.ipv4.port(), 443);
    assert_eq!(session.peer(ann.id()).await.unwrap(), Some(ann));
    let me = session.peer(PeerId::self_user()).await.unwrap().unwrap();
    assert_eq!(me.id(), PeerId::user(1000).unwrap());
    assert_eq!(session.read_until().channels.len(), 1);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        2,
        "file and lock"
    );
}

#[test]
fn writes_only_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let session = FileSession::create(&path, &login()).unwrap();
    std::fs::remove_file(&path).unwrap();
    session.save().unwrap();
    assert!(!path.exists(), "nothing changed");
    session.set_read_until(UpdatesState {
        pts: 4,
        ..UpdatesState::default()
    });
    session.save().unwrap();
    assert!(path.exists());
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let first = FileSession::create(&path, &login()).unwrap();
    let error = FileSession::open(&path).err().unwrap().to_string();
    assert!(error.contains(&format!("in use by pid {}", std::process::id())));
    drop(first);
    FileSession::open(&path).unwrap();
}

#[test]
fn refuses_a_file_others_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    drop(FileSession::create(&path, &login()).unwrap());
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let error = FileSession::open(&path).err().unwrap().to_string();
    assert!(
        error.contains("mode 640") && error.contains("chmod 600"),
        "{error}"
    );
}

#[test]
fn leaves_a_damaged_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    drop(FileSession::create(&path, &login()).unwrap());
    let good = std::fs::read(&path).unwrap();
    let key = hex::encode([7; 256]);
    let text = String::from_utf8(good.clone()).unwrap();
    for bad in [
        good[..good.len() / 2].to_vec(),
        vec![],
        b"\0\x01\x02".to_vec(),
        text.replace(&key, "07").into_bytes(),
        text.replace("\"version\":1", "\"version\":9").into_bytes(),
        text.replace(&key, "zz").into_bytes(),
    ] {
        std::fs::write(&path, &bad).unwrap();
        let error = FileSession::open(&path).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, SessionError::Damaged { .. }), "{text}");
        assert!(!text.contains("0707") && text.contains("vaultgram login"));
        assert_eq!(std::fs::read(&path).unwrap(), bad);
    }
}

#[test]
fn a_missing_folder_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("session");
    let error = FileSession::open(&folder.join("a.session")).err().unwrap();
    let advice = format!("mkdir -m 700 {}", folder.display());
    assert!(error.to_string().contains(&advice), "{error}");
}

#[test]
fn never_replaces_a_file_by_creating() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    std::fs::write(&path, "mine").unwrap();
    let error = FileSession::create(&path, &login()).err().unwrap();
    assert!(matches!(error, SessionError::Exists(_)));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert!(matches!(
        FileSession::open(&dir.path().join("b")),
        Err(SessionError::Missing(_))
    ));
}

#[tokio::test]
async fn keeps_the_key_of_a_signed_in_account() {
    let dir = tempfile::tempdir().unwrap();
    let session = FileSession::create(&dir.path().join("a"), &login()).unwrap();
    let mut dc = session.dc_option(2).unwrap().unwrap();
    dc.auth_key = Some([8; 256]);
    assert!(session.set_dc_option(&dc).await.is_err());
    let kept = session.dc_option(2).unwrap().unwrap();
    assert_eq!(kept.auth_key, Some([7; 256]));
}

#[test]
fn forgets_users_when_there_are_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let session = FileSession::create(&dir.path().join("a"), &login()).unwrap();
    let many = i64::try_from(2 * MAX_PEERS).unwrap();
    session.remember((1..=many).map(|id| PeerInfo::User {
        id: 1_000_000 + id,
        auth: Some(PeerAuth::from_hash(id)),
        bot: None,
        is_self: None,
    }));
    let data = session.data();
    assert!(data.peers.len() <= MAX_PEERS);
    assert!(data.peers.contains_key(&PeerId::user(1000).unwrap()));
}
