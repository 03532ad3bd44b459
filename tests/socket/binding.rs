//! How the socket appears, and where it must not.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::thread::{Uid, set_thread_res_uid};
use vaultgram::http::{BindError, adopt, bind};

use crate::support::{ordinary, own_uid, settings, skipped};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vaultgram.sock");
    (folder, path)
}

fn refusal(path: &Path) -> BindError {
    match bind(&settings(path.to_owned())) {
        Ok(_) => panic!("bound {}", path.display()),
        Err(error) => error,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A group of ours other than the one files get anyway, where there is one.
fn other_group() -> Option<u32> {
    if own_uid() == 0 {
        return Some(65534);
    }
    let groups = rustix::process::getgroups().unwrap();
    let groups = groups.into_iter().map(rustix::process::Gid::as_raw);
    groups
        .into_iter()
        .find(|gid| *gid != rustix::process::getegid().as_raw())
}

#[test]
fn it_has_its_mode_and_group_from_the_moment_it_appears() {
    let group = other_group();
    for round in 0..50 {
        let (folder, path) = folder();
        let mut settings = settings(path.clone());
        settings.mode = if round % 2 == 0 { 0o660 } else { 0o606 };
        settings.group = group.map(|gid| gid.to_string());
        let ready = AtomicBool::new(false);
        let (first, listener) = std::thread::scope(|scope| {
            let seen = scope.spawn(|| {
                ready.store(true, Ordering::SeqCst);
                loop {
                    if let Ok(status) = fs::symlink_metadata(&path) {
                        break status;
                    }
                }
            });
            while !ready.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let listener = bind(&settings);
            (seen.join().unwrap(), listener)
        });
        let listener = listener.unwrap_or_else(|error| panic!("{error}"));
        assert!(first.file_type().is_socket());
        assert_eq!(first.mode() & 0o7777, settings.mode);
        assert_eq!(first.uid(), own_uid());
        if let Some(gid) = group {
            assert_eq!(first.gid(), gid);
        }
        assert_eq!(
            names(folder.path()),
            ["vaultgram.sock"],
            "nothing is left beside it"
        );
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}

#[test]
fn a_group_can_be_named() {
    let (_folder, path) = folder();
    let mut settings = settings(path.clone());
    let gid = rustix::process::getegid().as_raw();
    let group = nix::unistd::Group::from_gid(gid.into()).unwrap();
    settings.group = Some(group.expect("the test's group has a name").name);
    let _listener = bind(&settings).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fs::metadata(&path).unwrap().gid(), gid);
}

#[test]
fn an_unknown_group_refuses_the_start() {
    let (folder, path) = folder();
    let mut settings = settings(path);
    settings.group = Some("no-such-group-here".to_owned());
    let error = bind(&settings).err().expect("refused");
    assert!(matches!(error, BindError::NoSuchGroup(_)));
    assert!(error.to_string().contains("groupadd"), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_group_that_cannot_be_set_refuses_the_start() {
    if own_uid() == 0 {
        return skipped("nothing is refused to root: run this test as another user");
    }
    let (folder, path) = folder();
    let mut settings = settings(path);
    settings.group = Some("0".to_owned());
    let error = bind(&settings).err().expect("refused");
    assert!(matches!(error, BindError::GroupRefused { .. }), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
    settings.group = None;
    settings.owner = Some("0".to_owned());
    let error = bind(&settings).err().expect("refused");
    assert!(matches!(error, BindError::OwnerRefused { .. }), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn an_owner_is_set_before_it_appears() {
    if own_uid() != 0 {
        return skipped("only root can give a socket away");
    }
    for owner in ["65534", "nobody"] {
        let (_folder, path) = folder();
        let mut settings = settings(path.clone());
        settings.owner = Some(owner.to_owned());
        settings.group = Some("65534".to_owned());
        let listener = bind(&settings).unwrap_or_else(|error| panic!("{error}"));
        let status = fs::metadata(&path).unwrap();
        assert_eq!((status.uid(), status.gid()), (65534, 65534));
        assert_eq!(status.mode() & 0o7777, settings.mode);
        drop(listener);
        assert!(!path.exists());
    }
}

#[test]
fn an_unknown_owner_refuses_the_start() {
    let (folder, path) = folder();
    let mut settings = settings(path);
    settings.owner = Some("no-such-user-here".to_owned());
    let error = bind(&settings).err().expect("refused");
    assert!(matches!(error, BindError::NoSuchUser(_)));
    assert!(error.to_string().contains("useradd"), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_mode_that_is_not_kept_refuses_the_start() {
    let (folder, path) = folder();
    let mut settings = settings(path);
    // No file system keeps this bit.
    settings.mode = 0o10_600;
    let error = bind(&settings).err().expect("refused");
    assert!(
        matches!(error, BindError::NotKept { what: "mode", .. }),
        "{error}"
    );
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_socket_in_use_is_left_alone() {
    let server = ordinary();
    let error = refusal(&server.path);
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    assert!(error.to_string().contains("another vaultgram"), "{error}");
    assert_eq!(server.get("/v1/sys/health").await.status, 200);
}

fn unix_socket() -> OwnedFd {
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    rustix::net::socket_with(family, kind, SocketFlags::NONBLOCK, None).unwrap()
}

#[test]
fn a_stuck_process_on_the_socket_does_not_stick_us() {
    let (_folder, path) = folder();
    let address = SocketAddrUnix::new(&path).unwrap();
    let stuck = unix_socket();
    rustix::net::bind(&stuck, &address).unwrap();
    rustix::net::listen(&stuck, 1).unwrap();
    // Fill its queue: nobody ever accepts.
    let mut waiting = vec![];
    let full = loop {
        let socket = unix_socket();
        match rustix::net::connect(&socket, &address) {
            Ok(()) => waiting.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!(full, rustix::io::Errno::AGAIN);
    assert!(matches!(refusal(&path), BindError::InUse(_)));
}

#[test]
fn a_stale_socket_is_replaced() {
    let (_folder, path) = folder();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _listener = bind(&settings(path.clone())).unwrap_or_else(|error| panic!("{error}"));
    UnixStream::connect(&path).unwrap();
}

#[test]
fn what_is_not_a_socket_is_never_removed() {
    let (folder, path) = folder();
    fs::write(&path, "precious").unwrap();
    assert!(matches!(refusal(&path), BindError::NotASocket(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(refusal(&link), BindError::NotASocket(_)));
    let inner = folder.path().join("folder");
    fs::create_dir(&inner).unwrap();
    assert!(matches!(refusal(&inner), BindError::NotASocket(_)));
    assert!(inner.is_dir());
}

#[test]
fn a_folder_others_can_write_to_is_refused() {
    for mode in [0o777, 0o1777, 0o775, 0o757] {
        let (folder, path) = folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = refusal(&path);
        assert!(
            matches!(error, BindError::OpenFolder(_)),
            "{mode:o}: {error}"
        );
        assert!(error.to_string().contains("chmod 755"), "{error}");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    if own_uid() != 0 {
        return skipped("only root can give a folder away");
    }
    let (folder, path) = folder();
    std::os::unix::fs::chown(folder.path(), Some(65534), None).unwrap();
    let error = refusal(&path);
    assert!(
        matches!(error, BindError::ForeignFolder { owner: 65534, .. }),
        "{error}"
    );
}

#[test]
fn a_missing_folder_is_made_for_the_socket_alone() {
    // What Kubernetes shares between the containers of a pod: anybody may write to it, and what is made
    // in it may be its group's.
    for (parent, expected) in [(0o777, 0o755), (0o2777, 0o2755)] {
        let (folder, _) = folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(parent)).unwrap();
        let path = folder.path().join("socket/vaultgram.sock");
        let _listener = bind(&settings(path.clone())).unwrap_or_else(|error| panic!("{error}"));
        UnixStream::connect(&path).unwrap();
        let mode = fs::metadata(path.parent().unwrap()).unwrap().mode();
        assert_eq!(mode & 0o7777, expected, "{mode:o}");
    }
}

#[test]
fn a_folder_that_is_made_has_its_mode_whatever_the_umask_is() {
    // Of a process, and not of a thread.
    let ran = std::process::Command::new("sh")
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "binding::a_missing_folder_is_made_for_the_socket_alone",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn where_no_folder_can_be_made_it_is_told() {
    let (folder, _) = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let path = folder.path().join("socket/vaultgram.sock");
    let error = std::thread::spawn(move || {
        if own_uid() == 0 {
            // Nothing is refused to root.
            let nobody = Uid::from_raw(65534);
            set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        refusal(&path)
    });
    let error = error.join().unwrap();
    assert!(matches!(error, BindError::NoFolder(_)), "{error}");
    assert!(error.to_string().contains("make it (systemd: "), "{error}");
}

#[test]
fn impossible_paths_are_explained() {
    let (folder, _) = folder();
    let missing = folder.path().join("neither/missing/vaultgram.sock");
    let error = refusal(&missing);
    assert!(matches!(error, BindError::NoFolder(_)));
    assert!(
        error.to_string().contains("does not exist; make it"),
        "{error}"
    );

    // Almost all of it the folder's: what is made beside the socket must fit too.
    let room = 107 - folder.path().as_os_str().len() - "//x".len();
    let long = folder.path().join("f".repeat(room));
    fs::create_dir(&long).unwrap();
    let longest = long.join("x");
    assert_eq!(longest.as_os_str().len(), 107);
    let _listener = bind(&settings(longest.clone())).unwrap_or_else(|error| panic!("{error}"));
    UnixStream::connect(&longest).unwrap();
    let error = refusal(&long.join("xy"));
    assert!(matches!(error, BindError::TooLong(_)));
    assert!(error.to_string().contains("108 bytes"), "{error}");

    for path in ["vaultgram.sock", "", "/"] {
        assert!(
            matches!(refusal(Path::new(path)), BindError::NotAPath(_)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_socket_of_systemds_lets_in_no_more_than_ours_would() {
    let (_folder, path) = folder();
    let made = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let allow = |mode| {
        let bits = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, bits).unwrap();
        adopt(&settings(path.clone()), made.try_clone().unwrap())
    };
    let error = allow(0o666).err().unwrap().to_string();
    assert!(
        error.contains("mode 0666") && error.contains("SocketMode=0600"),
        "{error}"
    );
    assert!(allow(0o600).is_ok());
}
