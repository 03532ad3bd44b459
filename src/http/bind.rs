//! Making the socket: with its final mode and owner before anybody can connect, and never over
//! something that is not ours.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;

use crate::http::socket::{Listener, Settings};

/// Longest path the kernel takes for a Unix socket, in bytes (`sun_path` less its final NUL).
const MAX_PATH: usize = 107;

/// Of a folder that is made for the socket: anybody may go through it, only we put something there.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// The socket's name inside the private folder, before it is moved into place.
const DRAFT: &str = "socket";

/// Why there is no socket. Each begins with the setting that is wrong, and says what to do.
#[derive(Debug, Error)]
pub enum BindError {
    /// The path has no file name, or is relative.
    #[error("path: {} is not a file's absolute path; write it like \"/run/vaultgram/vaultgram.sock\"", .0.display())]
    NotAPath(PathBuf),
    /// Longer than the kernel takes.
    #[error("path: {} has {} bytes, and a Unix socket's path at most {MAX_PATH}; choose a shorter one", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// The folder does not exist, and cannot be made: the one that it would be in does not exist either,
    /// or is not ours to write to.
    #[error("path: the folder {} does not exist; make it (systemd: RuntimeDirectory=vaultgram)", .0.display())]
    NoFolder(PathBuf),
    /// Others could put a socket of their own in place of ours.
    #[error("path: users other than its owner can write to the folder {folder}, and so could replace the socket; run `chmod 755 {folder}`, or choose another folder", folder = .0.display())]
    OpenFolder(PathBuf),
    /// Somebody else owns the folder, and could replace the socket.
    #[error("path: the folder {} belongs to user {owner}, who could replace the socket; choose a folder of root's or of vaultgram's own user", folder.display())]
    ForeignFolder {
        /// The folder.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// A live process answers there.
    #[error("path: {} is in use: a process answers there, probably another vaultgram; stop it, or choose another path", .0.display())]
    InUse(PathBuf),
    /// A file of another kind is there; it is left alone.
    #[error("path: {} exists and is not a socket; move it away, or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// systemd's socket lets more in than ours would.
    #[error("mode: systemd made {} with mode {found:04o}, which lets more in than {wanted:04o}; write SocketMode={wanted:04o} in its unit", path.display())]
    Wider {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        found: u32,
        /// Those of the configuration.
        wanted: u32,
    },
    /// The configured owner does not exist.
    #[error("owner: there is no user \"{name}\"; create it (`useradd --system {name}`), or name another", name = .0.escape_debug())]
    NoSuchUser(String),
    /// The configured group does not exist.
    #[error("group: there is no group \"{name}\"; create it (`groupadd --system {name}`), or name another", name = .0.escape_debug())]
    NoSuchGroup(String),
    /// The group may not be given to the socket.
    #[error("group: \"{}\" cannot be given to the socket ({cause}); start vaultgram as root, or as a member of that group", group.escape_debug())]
    GroupRefused {
        /// The group.
        group: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The socket may not be given to the owner.
    #[error("owner: the socket cannot be given to \"{}\" ({cause}); start vaultgram as root, or leave the owner out", owner.escape_debug())]
    OwnerRefused {
        /// The owner.
        owner: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The file system took mode or owner without a word, and did something else.
    #[error("path: {}: the file system does not keep what a socket needs: its {what} is not as asked; choose a folder on another one, such as /run", path.display())]
    NotKept {
        /// The socket's path.
        path: PathBuf,
        /// What was not kept.
        what: &'static str,
    },
    /// systemd made it in another place.
    #[error("path: is {}, and systemd made the socket at {}; write the same path here and into ListenStream= of its .socket unit", path.display(), made.display())]
    Elsewhere {
        /// The socket's path.
        path: PathBuf,
        /// Where it is.
        made: PathBuf,
    },
    /// The system refused something else.
    #[error("path: {}: cannot {action}: {cause}; check that vaultgram's user can write to the folder", path.display())]
    System {
        /// The socket's path.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        cause: io::Error,
    },
}

/// Makes the socket. It appears at its path complete: bound, listening, with its mode, owner and
/// group, which were looked at.
///
/// # Errors
/// See [`BindError`]; nothing is left behind.
pub fn bind(settings: &Settings) -> Result<Listener, BindError> {
    let path = &settings.path;
    let system = |action| {
        move |cause: Errno| BindError::System {
            path: path.clone(),
            action,
            cause: cause.into(),
        }
    };
    let (Some(folder), Some(name), true) = (path.parent(), path.file_name(), path.is_absolute())
    else {
        return Err(BindError::NotAPath(path.clone()));
    };
    if path.as_os_str().len() > MAX_PATH {
        return Err(BindError::TooLong(path.clone()));
    }
    let owner = settings.owner.as_deref().map(user_id).transpose()?;
    let group = settings.group.as_deref().map(group_id).transpose()?;
    let folder = open_folder(folder, path)?;
    check_vacant(&folder, name, path)?;

    let private = PrivateFolder::new(&folder).map_err(system("make a private folder beside it"))?;
    // Through the descriptor: the private folder's own path could be over the kernel's limit.
    let draft = format!("/proc/self/fd/{}/{DRAFT}", private.inside.as_raw_fd());
    let listener = UnixListener::bind(draft).map_err(|cause| BindError::System {
        path: path.clone(),
        action: "bind it (is /proc mounted?)",
        cause,
    })?;
    listener
        .set_nonblocking(true)
        .map_err(|cause| BindError::System {
            path: path.clone(),
            action: "set it up",
            cause,
        })?;
    rustix::fs::chmodat(
        &private.inside,
        DRAFT,
        Mode::from_raw_mode(settings.mode),
        AtFlags::empty(),
    )
    .map_err(system("set its mode"))?;
    let give = |user, group| {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&private.inside, DRAFT, user, group, flags)
    };
    // The group first: once it is another's, it may not be ours to change.
    if let (Some(gid), Some(group)) = (group, &settings.group) {
        give(None, Some(gid)).map_err(|cause| BindError::GroupRefused {
            group: group.clone(),
            cause: cause.into(),
        })?;
    }
    if let (Some(uid), Some(owner)) = (owner, &settings.owner) {
        give(Some(uid), None).map_err(|cause| BindError::OwnerRefused {
            owner: owner.clone(),
            cause: cause.into(),
        })?;
    }
    let status = rustix::fs::statat(&private.inside, DRAFT, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(system("look at it"))?;
    let owner = owner.unwrap_or_else(rustix::process::geteuid);
    for (what, kept) in [
        ("mode", status.st_mode & 0o7777 == settings.mode),
        ("owner", status.st_uid == owner.as_raw()),
        (
            "group",
            group.is_none_or(|gid| status.st_gid == gid.as_raw()),
        ),
    ] {
        if !kept {
            let path = path.clone();
            return Err(BindError::NotKept { path, what });
        }
    }
    rustix::fs::renameat(&private.inside, DRAFT, &folder, name)
        .map_err(system("move it into place"))?;
    drop(private);
    Ok(Listener {
        name: settings.name.clone(),
        socket: listener,
        path: path.clone(),
        file: Some(SocketFile::new(path.clone(), &status)),
        limits: settings.limits,
        timeouts: settings.timeouts,
    })
}

/// Takes over a socket that systemd made; its owner and group are systemd's affair.
///
/// # Errors
/// When it is in another place than the settings say, where no client would look for it, or lets
/// more in than they say.
pub fn adopt(settings: &Settings, socket: UnixListener) -> Result<Listener, BindError> {
    let path = settings.path.clone();
    let system = |cause| BindError::System {
        path: path.clone(),
        action: "take it over from systemd",
        cause,
    };
    socket.set_nonblocking(true).map_err(system)?;
    let address = socket.local_addr().map_err(system)?;
    let made = address.as_pathname().unwrap_or(Path::new("(no path)"));
    if made != path {
        let made = made.to_owned();
        return Err(BindError::Elsewhere { path, made });
    }
    let status = rustix::fs::stat(&path).map_err(|error| system(error.into()))?;
    let found = status.st_mode & 0o777;
    if found & !settings.mode != 0 {
        let wanted = settings.mode;
        return Err(BindError::Wider {
            path,
            found,
            wanted,
        });
    }
    Ok(Listener {
        name: settings.name.clone(),
        socket,
        path,
        file: None,
        limits: settings.limits,
        timeouts: settings.timeouts,
    })
}

/// Whether somebody listens at the socket at `path`, found out without a connection: systemd would
/// start whom it listens for.
#[must_use]
pub fn is_listened_at(path: &Path) -> bool {
    // The flag of a socket that listens (SO_ACCEPTCON).
    const LISTENS: u32 = 1 << 16;
    let Ok(wanted) = rustix::fs::stat(path) else {
        return false;
    };
    // Names need not be UTF-8; those of sockets we make are asked for as they were given.
    let all = std::fs::read("/proc/net/unix").unwrap_or_default();
    String::from_utf8_lossy(&all).lines().any(|line| {
        let flags = line.split_whitespace().nth(3);
        let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok());
        let listens = flags.is_some_and(|flags| flags & LISTENS != 0);
        let place = line.find(" /").filter(|_| listens);
        // Another name can lead to it too.
        let place = place.and_then(|at| line.get(at + 1..));
        let found = place.and_then(|place| rustix::fs::stat(place).ok());
        found.is_some_and(|found| (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino))
    })
}

/// The user's id, from its name or number.
fn user_id(name: &str) -> Result<rustix::fs::Uid, BindError> {
    if let Ok(number) = name.parse() {
        return Ok(rustix::fs::Uid::from_raw(number));
    }
    match nix::unistd::User::from_name(name) {
        Ok(Some(user)) => Ok(rustix::fs::Uid::from_raw(user.uid.as_raw())),
        Ok(None) | Err(_) => Err(BindError::NoSuchUser(name.to_owned())),
    }
}

/// The group's id, from its name or number.
fn group_id(name: &str) -> Result<rustix::fs::Gid, BindError> {
    if let Ok(number) = name.parse() {
        return Ok(rustix::fs::Gid::from_raw(number));
    }
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(rustix::fs::Gid::from_raw(group.gid.as_raw())),
        Ok(None) | Err(_) => Err(BindError::NoSuchGroup(name.to_owned())),
    }
}

/// Opens the folder the socket is to be in, and refuses one where others could replace it. One that is
/// missing is made: what Kubernetes and Docker share between containers anybody may write to, so the
/// socket is in a folder of ours there.
fn open_folder(folder: &Path, path: &Path) -> Result<OwnedFd, BindError> {
    let system = |cause: Errno| BindError::System {
        path: path.to_owned(),
        action: "open its folder",
        cause: cause.into(),
    };
    let made = match rustix::fs::mkdirat(CWD, folder, FOLDER_MODE) {
        Ok(()) => true,
        // Where it may not be made, it may be there.
        Err(Errno::EXIST | Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::ROFS) => false,
        Err(cause) => {
            return Err(BindError::System {
                path: path.to_owned(),
                action: "make its folder",
                cause: cause.into(),
            });
        }
    };
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // What we made is no link.
    flags.set(OFlags::NOFOLLOW, made);
    let opened = match rustix::fs::openat(CWD, folder, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(BindError::NoFolder(folder.to_owned())),
        result => result.map_err(system)?,
    };
    let us = rustix::process::geteuid().as_raw();
    let mut status = rustix::fs::fstat(&opened).map_err(system)?;
    if made && status.st_uid == us {
        // Whatever the umask is; what is made in it has its group where Kubernetes wants that.
        let group = Mode::from_raw_mode(status.st_mode) & Mode::SGID;
        rustix::fs::fchmod(&opened, FOLDER_MODE | group).map_err(system)?;
        status = rustix::fs::fstat(&opened).map_err(system)?;
    }
    if status.st_mode & 0o022 != 0 {
        return Err(BindError::OpenFolder(folder.to_owned()));
    }
    if status.st_uid != 0 && status.st_uid != us {
        return Err(BindError::ForeignFolder {
            folder: folder.to_owned(),
            owner: status.st_uid,
        });
    }
    Ok(opened)
}

/// Makes sure that nothing is at the path but, at most, a socket nobody listens on.
fn check_vacant(folder: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), BindError> {
    let status = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        result => result.map_err(|cause| BindError::System {
            path: path.to_owned(),
            action: "look at it",
            cause: cause.into(),
        })?,
    };
    if FileType::from_raw_mode(status.st_mode) != FileType::Socket {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    match try_connect(path) {
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        // Again: it listens, and its queue is full.
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::InUse(path.to_owned())),
        Err(cause) => Err(BindError::System {
            path: path.to_owned(),
            action: "find out whether the socket there is in use",
            cause: cause.into(),
        }),
    }
}

/// Connects without waiting: a stuck process must not stop us from saying so.
fn try_connect(path: &Path) -> Result<(), Errno> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    let address = SocketAddrUnix::new(path.as_os_str().as_bytes())?;
    rustix::net::connect(&socket, &address)
}

/// A folder beside the socket that only we can enter; gone, with what is in it, when dropped.
struct PrivateFolder<'f> {
    folder: &'f OwnedFd,
    name: String,
    inside: OwnedFd,
}

impl<'f> PrivateFolder<'f> {
    fn new(folder: &'f OwnedFd) -> Result<Self, Errno> {
        let name = format!(".vaultgram-{:016x}", rand::random::<u64>());
        rustix::fs::mkdirat(folder, &name, Mode::RWXU)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(folder, &name, flags, Mode::empty()) {
            Ok(inside) => Ok(Self {
                folder,
                name,
                inside,
            }),
            Err(error) => {
                rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR).ok();
                Err(error)
            }
        }
    }
}

impl Drop for PrivateFolder<'_> {
    fn drop(&mut self) {
        // What cannot be removed is empty or a socket in a folder nobody else can enter.
        rustix::fs::unlinkat(&self.inside, DRAFT, AtFlags::empty()).ok();
        rustix::fs::unlinkat(self.folder, &self.name, AtFlags::REMOVEDIR).ok();
    }
}

/// The socket's file, removed when dropped if it is still ours.
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: PathBuf, status: &Stat) -> Self {
        Self {
            path,
            device: status.st_dev,
            inode: status.st_ino,
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = rustix::fs::lstat(&self.path)
            .is_ok_and(|now| (now.st_dev, now.st_ino) == (self.device, self.inode));
        if !ours {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            // Harmless: the next start replaces a socket nobody listens on.
            tracing::warn!(
                event = "socket.left_behind",
                path = %self.path.display(),
                %error
            );
        }
    }
}
