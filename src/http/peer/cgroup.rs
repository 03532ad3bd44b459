//! Where a process stands in the tree of control groups: its unit, slice, container and pod.
//!
//! What stands first below the slices decides: only systemd (or root) makes that. Everything below
//! it is delegated, and not believed: whoever runs a service with `Delegate=`, a container or a
//! user's own systemd makes folders of any name there, another container's included.

use crate::domain::caller::{is_slice, is_unit};

/// What a control group tells of its processes; each where it is certain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) unit: Option<String>,
    pub(super) slice: Option<String>,
    pub(super) container: Option<String>,
    pub(super) pod: Option<String>,
}

/// How the scopes begin that container runtimes have systemd make; an id follows.
const RUNTIMES: [&str; 4] = ["docker-", "libpod-", "cri-containerd-", "crio-"];

/// What `/proc/PID/cgroup` tells; `None` where the process is outside our own cgroup namespace,
/// from where no path can be understood.
pub(super) fn place(cgroups: &str) -> Option<Place> {
    let path = path(cgroups).unwrap_or_default();
    if path.split('/').any(|name| name == "..") {
        return None;
    }
    // A folder that is gone could have had another's name.
    let certain = path.starts_with('/') && !path.ends_with(" (deleted)");
    Some(if certain {
        read(path)
    } else {
        Place::default()
    })
}

/// The path in version 2's tree, else in systemd's own of version 1.
fn path(cgroups: &str) -> Option<&str> {
    let in_tree = |number: Option<&str>, controllers: &str| {
        cgroups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (found, named, path) = (parts.next()?, parts.next()?, parts.next()?);
            let same = number.is_none_or(|number| number == found) && named == controllers;
            same.then_some(path)
        })
    };
    let unified = in_tree(Some("0"), "").filter(|path| *path != "/");
    unified.or_else(|| in_tree(None, "name=systemd"))
}

fn read(path: &str) -> Place {
    let mut place = Place::default();
    let mut names = path.split('/').skip(1);
    for name in names.by_ref() {
        // systemd puts one before names that mean something to the kernel.
        let plain = name.strip_prefix('_').unwrap_or(name);
        if is_slice(plain) {
            place.pod = pod_of_slice(plain);
            place.slice = Some(plain.to_owned());
        } else if is_unit(plain) {
            place.container = container_of_scope(plain);
            place.unit = Some(plain.to_owned());
            break;
        } else {
            if place.slice.is_none() {
                without_systemd(name, names, &mut place);
            }
            break;
        }
    }
    place
}

fn container_of_scope(unit: &str) -> Option<String> {
    let name = unit.strip_suffix(".scope")?;
    let mut ids = RUNTIMES.iter().filter_map(|kind| name.strip_prefix(kind));
    ids.find_map(id)
}

/// `kubepods-burstable-pod0a1b….slice`, also with another slice's name before it.
fn pod_of_slice(slice: &str) -> Option<String> {
    let (above, uid) = slice.strip_suffix(".slice")?.rsplit_once("-pod")?;
    let above = ["-burstable", "-besteffort"]
        .iter()
        .find_map(|class| above.strip_suffix(class))
        .unwrap_or(above);
    let of_kubernetes = above == "kubepods" || above.ends_with("-kubepods");
    pod(&uid.replace('_', "-")).filter(|_| of_kubernetes)
}

/// What runtimes make that do without systemd; only root can, at the root.
fn without_systemd<'p>(first: &str, mut names: impl Iterator<Item = &'p str>, place: &mut Place) {
    match first {
        "docker" => place.container = names.next().and_then(id),
        "libpod_parent" => {
            let name = names.next().and_then(|name| name.strip_prefix("libpod-"));
            place.container = name.and_then(id);
        }
        "kubepods" => {
            let mut name = names.next();
            if matches!(name, Some("burstable" | "besteffort")) {
                name = names.next();
            }
            place.pod = name.and_then(|name| name.strip_prefix("pod")).and_then(pod);
            place.container = names.next().and_then(id).filter(|_| place.pod.is_some());
        }
        _ => {}
    }
}

/// A container's id.
fn id(text: &str) -> Option<String> {
    (text.len() == 64 && is_hex(text)).then(|| text.to_owned())
}

/// A pod's uid: a UUID or, of a static pod, 32 digits.
fn pod(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let shaped = matches!(lengths.as_slice(), [8, 4, 4, 4, 12] | [32]);
    (shaped && groups.into_iter().all(is_hex)).then(|| text.to_owned())
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "3fd45ff5c5d2d4b0a4ab34bc1d1b1dd5d5e3e4f6c7b8a9908172635445362718";
    const POD: &str = "2c48913c-b29f-11e7-9350-020968147796";

    /// Unit, slice, container, pod.
    type Expected<'e> = [Option<&'e str>; 4];

    fn seen(path: &str) -> Place {
        place(&format!("0::{path}\n")).unwrap()
    }

    #[track_caller]
    fn holds(path: &str, [unit, slice, container, pod]: Expected<'_>) {
        let path = path.replace("ID", ID);
        let path = path.replace("POD_", &POD.replace('-', "_"));
        let path = path.replace("POD", POD);
        let text = |text: Option<&str>| {
            text.map(|text| {
                text.replace("ID", ID)
                    .replace("POD_", &POD.replace('-', "_"))
            })
        };
        let expected = Place {
            unit: text(unit),
            slice: text(slice),
            container: text(container),
            pod: text(pod).map(|pod| pod.replace("POD", POD)),
        };
        assert_eq!(seen(&path), expected, "{path}");
    }

    #[test]
    fn units_are_known_by_what_systemd_made() {
        let user = "/user.slice/user-1000.slice";
        for (path, unit, slice) in [
            ("/system.slice/foo.service", "foo.service", "system.slice"),
            (
                "/system.slice/foo.service/sub/a.service",
                "foo.service",
                "system.slice",
            ),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "getty@tty1.service",
                "system-getty.slice",
            ),
            (
                "/system.slice/system-waldo.slice/_cpu.service",
                "cpu.service",
                "system-waldo.slice",
            ),
            (
                &format!("{user}/session-3.scope"),
                "session-3.scope",
                "user-1000.slice",
            ),
            (
                &format!("{user}/user@1000.service/app.slice/foo.service"),
                "user@1000.service",
                "user-1000.slice",
            ),
            (
                "/machine.slice/systemd-nspawn@h1.service/payload/system.slice/foo.service",
                "systemd-nspawn@h1.service",
                "machine.slice",
            ),
        ] {
            holds(path, [Some(unit), Some(slice), None, None]);
        }
        holds("/init.scope", [Some("init.scope"), None, None, None]);
    }

    #[test]
    fn containers_and_pods_are_known_by_what_their_runtimes_made() {
        let burstable = "kubepods-burstable-podPOD_.slice";
        for (path, expected) in [
            (
                "/system.slice/docker-ID.scope",
                [
                    Some("docker-ID.scope"),
                    Some("system.slice"),
                    Some("ID"),
                    None,
                ],
            ),
            ("/docker/ID", [None, None, Some("ID"), None]),
            (
                "/machine.slice/libpod-ID.scope/container",
                [
                    Some("libpod-ID.scope"),
                    Some("machine.slice"),
                    Some("ID"),
                    None,
                ],
            ),
            ("/libpod_parent/libpod-ID", [None, None, Some("ID"), None]),
            (
                &format!(
                    "/kubepods.slice/kubepods-burstable.slice/{burstable}/cri-containerd-ID.scope"
                ),
                [
                    Some("cri-containerd-ID.scope"),
                    Some(burstable),
                    Some("ID"),
                    Some("POD"),
                ],
            ),
            (
                "/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope",
                [
                    Some("crio-ID.scope"),
                    Some("kubepods-podPOD_.slice"),
                    Some("ID"),
                    Some("POD"),
                ],
            ),
            (
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podPOD_.slice/crio-ID.scope",
                [
                    Some("crio-ID.scope"),
                    Some("kubelet-kubepods-podPOD_.slice"),
                    Some("ID"),
                    Some("POD"),
                ],
            ),
            (
                "/kubepods/besteffort/podPOD/ID",
                [None, None, Some("ID"), Some("POD")],
            ),
            ("/kubepods/podPOD/ID", [None, None, Some("ID"), Some("POD")]),
            // kind: what is inside the outer container, it could have made itself.
            (
                "/system.slice/docker-ID.scope/kubelet.slice/kubepods-podPOD_.slice/crio-ID.scope",
                [
                    Some("docker-ID.scope"),
                    Some("system.slice"),
                    Some("ID"),
                    None,
                ],
            ),
        ] {
            holds(path, expected);
        }
        let hash = "2732ca68f6358eba7703fb6f82a25c94";
        let pod = seen(&format!("/kubepods/burstable/pod{hash}/{ID}")).pod;
        assert_eq!(pod.as_deref(), Some(hash), "a static pod");
    }

    #[test]
    fn what_a_user_or_a_container_can_make_up_is_not_believed() {
        for path in [
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
            "/user.slice/user-1000.slice/user@1000.service/kubepods-podPOD_.slice/crio-ID.scope",
            "/system.slice/docker-ID.service",
            "/system.slice/crio-conmon-ID.scope",
            "/system.slice/docker-IDa.scope",
            "/system.slice/evil-podPOD_.slice/a.scope",
        ] {
            let path = path
                .replace("ID", ID)
                .replace("POD_", &POD.replace('-', "_"));
            let found = seen(&path);
            assert_eq!((&found.container, &found.pod), (&None, &None), "{path}");
        }
        for path in [
            "/",
            "",
            "/lxc.payload.x/system.slice/deploy.service",
            "/x/docker/ID",
            "/system.slice/foo.service (deleted)",
            "/docker/ID (deleted)",
            "/kubepods/evil/ID",
        ] {
            assert_eq!(seen(&path.replace("ID", ID)), Place::default(), "{path}");
        }
        // A folder of no kind ends it: what is below is not systemd's.
        let found = seen("/system.slice/x/deploy.service");
        assert_eq!(
            (found.unit, found.slice.as_deref()),
            (None, Some("system.slice"))
        );
        assert_eq!(place("0::/../../system.slice/deploy.service\n"), None);
    }

    #[test]
    fn the_right_tree_is_read() {
        let unit = |cgroups: &str| place(cgroups).unwrap().unit;
        let hybrid = "9:name=systemd:/system.slice/a.service\n4:memory:/b.service\n0::/\n";
        assert_eq!(unit(hybrid).as_deref(), Some("a.service"));
        let both = "9:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n";
        assert_eq!(unit(both).as_deref(), Some("b.service"));
        assert_eq!(unit("4:memory:/system.slice/a.service\n"), None);
        assert_eq!(unit("12:name=systemd:/x:y/a.service\n"), None);
        assert_eq!(unit(""), None);
    }

    proptest! {
        #[test]
        fn nothing_below_a_unit_changes_anything(
            unit in "[a-z]{1,8}\\.(service|scope)",
            below in "(/(docker-[0-9a-f]{64}\\.scope|kubepods\\.slice|kubepods-pod[0-9a-f]{32}\\.slice|[ -~]{0,9})){0,4}",
        ) {
            let below = below.replace("..", "x").replace(" (deleted)", "");
            let plain = seen(&format!("/system.slice/{unit}"));
            prop_assert_eq!(&plain.unit, &Some(unit.clone()));
            prop_assert_eq!(seen(&format!("/system.slice/{unit}{below}")), plain);
        }

        #[test]
        fn nothing_in_a_file_makes_it_fail_or_name_what_cannot_be(cgroups in "([0-9]:(name=systemd)?:)?[ -~\n]{0,80}") {
            if let Some(found) = place(&cgroups) {
                prop_assert!(found.unit.is_none_or(|unit| is_unit(&unit)));
                prop_assert!(found.slice.is_none_or(|slice| is_slice(&slice)));
            }
        }
    }
}
