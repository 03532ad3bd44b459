//! The session file: kept, locked, private, never overwritten when damaged.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::age::StoredKey;

fn login() -> Login {
    Login {
        dc: 2,
        address: "127.0.0.1:443".parse().unwrap(),
        auth_key: [7; 256],
        user: Some(1000),
    }
}

/// Always the same key.
fn key() -> SessionKey {
    let text = b"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    match StoredKey::read(text) {
        Ok(StoredKey::Open(key)) => key,
        Ok(StoredKey::Locked(_)) | Err(_) => panic!("a good key"),
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn keeps_what_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let session = FileSession::create(&path, key(), &login()).unwrap();
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

    let session = FileSession::open(&path, key()).unwrap();
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

#[tokio::test]
async fn a_peer_that_could_not_be_read_again_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let session = FileSession::create(&path, key(), &login()).unwrap();
    for id in [0, i64::MAX] {
        session.cache_peer(PeerInfo::Chat { id }).await.unwrap();
    }
    session.changed();
    session.save().unwrap();
    drop(session);
    FileSession::open(&path, key()).unwrap();
}

#[test]
fn writes_only_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let session = FileSession::create(&path, key(), &login()).unwrap();
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
    let first = FileSession::create(&path, key(), &login()).unwrap();
    let error = FileSession::open(&path, key()).err().unwrap().to_string();
    let holder = format!("in use by pid {} (vaultgram-", std::process::id());
    assert!(error.contains(&holder), "{error}");
    drop(first);
    FileSession::open(&path, key()).unwrap();
}

#[test]
fn by_whatever_name_it_is_one_session() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link) = (dir.path().join("a.session"), dir.path().join("link"));
    std::os::unix::fs::symlink("a.session", &link).unwrap();
    // Also before it is there.
    let first = FileSession::create(&link, key(), &login()).unwrap();
    let error = FileSession::open(&path, key()).err().unwrap();
    assert!(matches!(error, SessionError::InUse { .. }), "{error}");
    first.changed();
    first.save().unwrap();
    assert!(link.is_symlink() && !path.is_symlink(), "still");
    drop(first);
    let second = FileSession::open(&path, key()).unwrap();
    let error = FileSession::remove(&link).unwrap_err();
    assert!(matches!(error, SessionError::InUse { .. }), "{error}");
    drop(second);
    FileSession::remove(&link).unwrap();
    assert!(!path.exists());
}

#[test]
fn what_a_crash_left_behind_is_not_written_into() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("a.session"), dir.path().join("other"));
    std::fs::write(&other, "mine").unwrap();
    std::os::unix::fs::symlink(&other, dir.path().join("a.session.new")).unwrap();
    let session = FileSession::create(&path, key(), &login()).unwrap();
    assert_eq!(std::fs::read(&other).unwrap(), b"mine");
    let left = dir.path().join("a.session.new");
    std::fs::write(&left, "half").unwrap();
    std::fs::set_permissions(&left, PermissionsExt::from_mode(0o644)).unwrap();
    session.changed();
    session.save().unwrap();
    assert_eq!(mode(&path), 0o600);
    // It has the same keys.
    std::fs::write(&left, "half").unwrap();
    drop(session);
    FileSession::remove(&path).unwrap();
    assert!(!left.exists() && !path.exists());
}

#[test]
fn a_lock_that_leads_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("a.session"), dir.path().join("other"));
    std::fs::write(&other, "mine").unwrap();
    std::os::unix::fs::symlink(&other, dir.path().join("a.session.lock")).unwrap();
    let error = FileSession::create(&path, key(), &login()).err().unwrap();
    assert!(
        error.to_string().contains("a.session.lock: is a link"),
        "{error}"
    );
    assert_eq!(std::fs::read(&other).unwrap(), b"mine");
}

#[test]
fn refuses_a_file_others_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    drop(FileSession::create(&path, key(), &login()).unwrap());
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let error = FileSession::open(&path, key()).err().unwrap().to_string();
    assert!(
        error.contains("mode 640") && error.contains("chmod 600"),
        "{error}"
    );
}

#[test]
fn refuses_a_file_of_somebody_else() {
    let path = Path::new("a.session");
    assert!(file::owned(path, 1000, 1000).is_ok());
    let error = file::owned(path, 0, 1000).err().unwrap().to_string();
    assert!(
        error.contains("belongs to user 0, and this is user 1000"),
        "{error}"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    drop(FileSession::create(&path, key(), &login()).unwrap());
    // Only root can try it with a real file.
    if std::os::unix::fs::chown(&path, Some(12345), None).is_ok() {
        let error = FileSession::open(&path, key()).err().unwrap();
        assert!(
            matches!(error, SessionError::Owner { owner: 12345, .. }),
            "{error}"
        );
        std::fs::remove_file(dir.path().join("a.session.lock")).unwrap();
        FileSession::remove(&path).unwrap_err();
        let lock = dir.path().join("a.session.lock");
        assert!(!lock.exists(), "it would keep the owner out");
    }
}

#[test]
fn leaves_a_damaged_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    drop(FileSession::create(&path, key(), &login()).unwrap());
    let good = std::fs::read(&path).unwrap();
    let plain = key().decrypt(&good).unwrap();
    let plain = String::from_utf8(plain.to_vec()).unwrap();
    let dc_key = hex::encode([7; 256]);
    assert!(plain.contains(&dc_key), "the notation");
    assert!(!good.windows(8).any(|part| part == b"07070707"));
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let encrypted = |text: String| key().encrypt(text.as_bytes()).unwrap();
    for bad in [
        good[..good.len() / 2].to_vec(),
        good[..10].to_vec(),
        vec![],
        b"\0\x01\x02".to_vec(),
        changed,
        plain.clone().into_bytes(),
        encrypted(plain.replace(&dc_key, "07")),
        encrypted(plain.replace("\"version\":1", "\"version\":9")),
        encrypted(plain.replace(&dc_key, "zz")),
    ] {
        std::fs::write(&path, &bad).unwrap();
        let error = FileSession::open(&path, key()).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, SessionError::Damaged { .. }), "{text}");
        assert!(!text.contains("0707") && text.contains("vaultgram login"));
        assert_eq!(std::fs::read(&path).unwrap(), bad);
    }
}

#[test]
fn another_key_opens_nothing_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    drop(FileSession::create(&path, key(), &login()).unwrap());
    let good = std::fs::read(&path).unwrap();
    let error = FileSession::open(&path, SessionKey::generate()).err();
    let text = error.unwrap().to_string();
    assert!(text.contains("is encrypted to another key"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), good);
    FileSession::open(&path, key()).unwrap();
}

#[test]
fn nothing_is_written_before_the_first_save() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let session = FileSession::create_empty(&path, key()).unwrap();
    assert!(!path.exists());
    assert!(session.save().unwrap() > 0 && path.exists());
    session.forget().unwrap();
    session.save().unwrap();
    assert!(!path.exists(), "forgotten for good");
    drop(session);
    let gone = FileSession::remove(&path).unwrap_err();
    assert!(matches!(gone, SessionError::Missing(_)), "{gone}");
}

#[test]
fn people_see_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let session = FileSession::create(&path, key(), &login()).unwrap();
    let summary = FileSession::peek(&path, &key()).unwrap();
    assert_eq!(summary, session.summary(), "while it is in use");
    assert_eq!((summary.user, summary.home_dc), (Some(1000), 2));
    assert!(summary.dcs[0].has_key);
    assert!(!format!("{summary:?}").contains("7, 7, 7"));
}

/// Three minutes of a busy account that knows many people, second by second.
#[test]
fn a_large_session_that_only_counts_is_written_at_a_bounded_rate() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    let session = FileSession::create(&path, key(), &login()).unwrap();
    let many = i64::try_from(MAX_PEERS).unwrap() - 10;
    session.remember((1..=many).map(|id| PeerInfo::User {
        id: 1_000_000 + id,
        auth: Some(PeerAuth::from_hash(id)),
        bot: None,
        is_self: None,
    }));
    let (mut writes, mut written, mut due) = (0_u32, 0_usize, 0_u64);
    let minutes = 3;
    for second in 0..minutes * 60 {
        session.set_read_until(UpdatesState {
            pts: i32::try_from(second).unwrap(),
            ..UpdatesState::default()
        });
        if second >= due {
            let bytes = session.save().unwrap();
            due = second + pause_after(bytes).as_secs();
            (writes, written) = (writes + 1, written + bytes);
        }
    }
    assert!(written / usize::from(writes > 0) > 1_000_000, "it is large");
    // One write over, for the first came at once.
    let allowed =
        64 * 1024 * 60 * usize::try_from(minutes).unwrap() + 2 * written / writes as usize;
    assert!(written <= allowed, "{written} bytes in {writes} writes");
    assert!(writes > 4, "{writes}");
    assert_eq!(
        pause_after(0),
        pause_after(4000),
        "a small one is not slowed"
    );
}

#[tokio::test]
async fn what_must_not_be_lost_wakes_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let session = FileSession::create(&dir.path().join("a"), key(), &login()).unwrap();
    let woken = async |session: &FileSession| {
        let soon = std::time::Duration::from_millis(50);
        tokio::time::timeout(soon, session.precious()).await.is_ok()
    };
    assert!(!woken(&session).await, "nothing happened");
    let ann = PeerInfo::Chat { id: 5 };
    session.cache_peer(ann).await.unwrap();
    assert!(!woken(&session).await, "a peer can wait");
    let mut dc = session.dc_option(2).unwrap().unwrap();
    (dc.id, dc.auth_key) = (4, Some([8; 256]));
    session.set_dc_option(&dc).await.unwrap();
    assert!(woken(&session).await, "a key cannot");
    session.set_home_dc_id(4).await.unwrap();
    assert!(woken(&session).await, "nor can the home");
}

#[test]
fn a_missing_folder_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("session");
    let error = FileSession::open(&folder.join("a.session"), key())
        .err()
        .unwrap();
    let advice = format!("mkdir -m 700 {}", folder.display());
    assert!(error.to_string().contains(&advice), "{error}");
}

#[test]
fn never_replaces_a_file_by_creating() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.session");
    std::fs::write(&path, "mine").unwrap();
    let error = FileSession::create(&path, key(), &login()).err().unwrap();
    assert!(matches!(error, SessionError::Exists(_)));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert!(matches!(
        FileSession::open(&dir.path().join("b"), key()),
        Err(SessionError::Missing(_))
    ));
}

#[tokio::test]
async fn keeps_the_key_of_a_signed_in_account() {
    let dir = tempfile::tempdir().unwrap();
    let session = FileSession::create(&dir.path().join("a"), key(), &login()).unwrap();
    let mut dc = session.dc_option(2).unwrap().unwrap();
    dc.auth_key = Some([8; 256]);
    assert!(session.set_dc_option(&dc).await.is_err());
    let kept = session.dc_option(2).unwrap().unwrap();
    assert_eq!(kept.auth_key, Some([7; 256]));
}

#[test]
fn forgets_users_when_there_are_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let session = FileSession::create(&dir.path().join("a"), key(), &login()).unwrap();
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
