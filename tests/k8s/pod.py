#!/usr/bin/env python3
"""Runs a pod of a rendered StatefulSet as a kubelet would, without Kubernetes.

The image's files are the root, read-only; each volume is laid out with the owners and modes that a kubelet
gives it; the container's user, groups and security context hold. It has a network of its own in which
the names of /etc/hosts are on this machine.

    pod.py check ROOT MANIFESTS WORLD    `vaultgram check` in it, for each overlay
    pod.py serve ROOT MANIFESTS WORLD    serves; its probes, a sidecar, and its end (against a real OpenBao)

WORLD is a folder with what is not in the manifests: a folder for each Secret and ConfigMap that they refer
to, with a file for each key. Run it as root, by `unshare --mount --net`.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, LAST_CAPABILITY = 24, 38, 40
PATIENCE = 60


def run(*words, **options):
    subprocess.run(words, check=True, **options)


def mount(*words):
    run("mount", *words)


class Pod:
    """One pod, laid out below `folder`."""

    def __init__(self, root, manifests, world, folder):
        with open(manifests) as file:
            documents = [document for document in yaml.safe_load_all(file) if document]
        self.config_maps = {
            document["metadata"]["name"]: document.get("data", {})
            for document in documents
            if document["kind"] == "ConfigMap"
        }
        (stateful,) = [it for it in documents if it["kind"] == "StatefulSet"]
        self.claims = [it["metadata"]["name"] for it in stateful["spec"]["volumeClaimTemplates"]]
        self.spec = stateful["spec"]["template"]["spec"]
        (self.container,) = self.spec["containers"]
        self.world, self.folder = world, folder
        self.user = self.spec["securityContext"]
        self.root = os.path.join(folder, "root")
        self.hold_to_the_profile()
        self.mount_root(root)
        self.volumes = {volume["name"]: self.volume(volume) for volume in self.spec["volumes"]}
        for claim in self.claims:
            self.volumes[claim] = self.writable(claim, 0o775)
        for place in self.container["volumeMounts"]:
            self.mount_volume(self.root, place)
        # What a kubelet lays over each container.
        for name, text in [("hosts", HOSTS), ("hostname", "vaultgram-0\n")]:
            path = os.path.join(folder, name)
            with open(path, "w") as file:
                file.write(text)
            self.bind(path, os.path.join(self.root, "etc", name))
        self.seal()

    def hold_to_the_profile(self):
        """What is enforced here is what the manifest says, so it must say it."""
        own = self.container["securityContext"]
        assert self.user["runAsNonRoot"] and self.user["runAsUser"] > 0, self.user
        assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"], own
        assert own["capabilities"] == {"drop": ["ALL"]}, own
        assert self.user["seccompProfile"] == {"type": "RuntimeDefault"}, self.user
        assert self.spec["automountServiceAccountToken"] is False

    def mount_root(self, image):
        # A copy: places for volumes are made in it, as a container's runtime does.
        shutil.copytree(image, self.root, symlinks=True)
        self.bind(self.root, self.root)
        for path in ["proc", "dev", "etc"]:
            os.makedirs(os.path.join(self.root, path), exist_ok=True)
        self.bind("/proc", os.path.join(self.root, "proc"))
        self.bind("/dev", os.path.join(self.root, "dev"))

    def bind(self, source, target, read_only=False):
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        elif not os.path.exists(target):
            open(target, "w").close()
        mount("--rbind", source, target)
        if read_only:
            mount("-o", "remount,bind,ro", target)

    def volume(self, volume):
        name = volume["name"]
        if "emptyDir" in volume:
            return self.writable(name, 0o777)
        if "configMap" in volume:
            of = volume["configMap"]["name"]
            content = self.config_maps.get(of) or self.given(of)
            return self.projected(name, content, volume["configMap"].get("defaultMode", 0o644))
        if "secret" in volume:
            content = self.given(volume["secret"]["secretName"])
            return self.projected(name, content, volume["secret"]["defaultMode"])
        (source,) = volume["projected"]["sources"]
        token = source["serviceAccountToken"]
        # Where a pod has an fsGroup, such a token is 0600 and then opened to that group.
        return self.projected(name, {token["path"]: "header.payload.signature"}, 0o640)

    def given(self, name):
        folder = os.path.join(self.world, name)
        return {key: open(os.path.join(folder, key), "rb").read() for key in os.listdir(folder)}

    def writable(self, name, mode):
        """A volume that is given to the group, as a kubelet does for fsGroup."""
        path = os.path.join(self.folder, "volumes", name)
        os.makedirs(path)
        os.chown(path, 0, self.user["fsGroup"])
        os.chmod(path, 0o2000 | mode)
        return path

    def projected(self, name, content, mode):
        """Files as a kubelet writes them: links to links to a folder that is replaced as a whole."""
        path = self.writable(name, 0o777)
        inside = os.path.join(path, "..2026_11_29")
        os.makedirs(inside)
        for key, value in content.items():
            file = os.path.join(inside, key)
            with open(file, "wb") as out:
                out.write(value if isinstance(value, bytes) else value.encode())
            # An fsGroup may read what is projected.
            os.chown(file, 0, self.user["fsGroup"])
            os.chmod(file, mode | 0o440)
            os.symlink(os.path.join("..data", key), os.path.join(path, key))
        os.symlink("..2026_11_29", os.path.join(path, "..data"))
        return path

    def mount_volume(self, root, place, read_only=False):
        target = root + place["mountPath"]
        self.bind(self.volumes[place["name"]], target, read_only or place.get("readOnly", False))

    def seal(self):
        mount("-o", "remount,bind,ro", self.root)

    def variables(self):
        """The image's variables, and the manifest's."""
        variables = {"VAULTGRAM_CONFIG": "/etc/vaultgram/vaultgram.toml"}
        variables.update({it["name"]: it["value"] for it in self.container["env"]})
        return variables

    def start(self, words, root=None, uid=None, **options):
        """Starts a command as the container's user, with its rights."""
        uid = self.user["runAsUser"] if uid is None else uid
        gid = self.user["runAsGroup"] if uid == self.user["runAsUser"] else uid
        root, groups = root or self.root, [self.user["fsGroup"]]

        def become():
            libc = ctypes.CDLL(None, use_errno=True)
            os.chroot(root)
            os.chdir("/")
            for capability in range(LAST_CAPABILITY + 1):
                libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0

        return subprocess.Popen(
            words, preexec_fn=become, env=self.variables(), text=True, close_fds=True, **options
        )

    def output(self, words, **options):
        child = self.start(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        out, err = child.communicate(timeout=PATIENCE)
        return child.returncode, out, err

    def probe(self, name):
        code, out, err = self.output(self.container[name]["exec"]["command"])
        return code, (out + err).strip()


HOSTS = "127.0.0.1 localhost\n127.0.0.1 vault.vault.svc\n"


def check(root, manifests, world):
    with tempfile.TemporaryDirectory() as folder:
        pod = Pod(root, manifests, world, folder)
        code, out, err = pod.output(["/usr/bin/vaultgram", "check"])
        sys.stdout.write(out)
        sys.stderr.write(err)
        assert code == 0, "the configuration is refused"
        unmount(folder)


def serve(root, manifests, world):
    with tempfile.TemporaryDirectory() as folder:
        pod = Pod(root, manifests, world, folder)
        log = open(manifests + ".log", "w")
        child = pod.start(["/usr/bin/vaultgram", *pod.container["args"]], stderr=log)
        try:
            served(pod, child)
        except BaseException:
            sys.stderr.write(open(manifests + ".log").read())
            raise
        finally:
            child.kill()
            child.wait()
            unmount(folder)


def served(pod, child):
    wait_for("the startup probe", lambda: pod.probe("startupProbe")[0] == 0)
    wait_for("the readiness probe", lambda: pod.probe("readinessProbe")[0] == 0)
    assert pod.probe("livenessProbe") == (0, "live")
    print("pod: its probes are well")

    # A sidecar of another user, which has the socket's volume read-only and nothing else.
    beside = os.path.join(pod.folder, "sidecar")
    os.makedirs(beside)
    for path in ["usr/bin", "proc", "dev"]:
        pod.bind(os.path.join(pod.root, path), os.path.join(beside, path))
    pod.mount_volume(beside, {"name": "socket", "mountPath": "/run/vaultgram"}, read_only=True)
    get = ["/usr/bin/vaultgram", "get", "django/database#password"]
    code, out, err = pod.output(get, root=beside, uid=1000)
    assert (code, out) == (0, "correct-horse-battery"), (code, out, err)
    print("pod: a sidecar of user 1000 has its secret on the socket")
    code, out, err = pod.output(get, root=beside, uid=1001)
    assert code == 77, (code, out, err)
    print("pod: one of user 1001 has none")

    # Nothing is where it should not be.
    names = sorted(os.listdir(pod.volumes["data"]))
    assert names == ["audit.jsonl", "audit.jsonl.head", "state.redb"], names
    status = open(f"/proc/{child.pid}/status").read()
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]:
        assert line in status, status

    # A sealed Vault: not ready, but alive.
    run(os.environ["BAO"], "operator", "seal", stdout=subprocess.DEVNULL)
    wait_for("not being ready", lambda: pod.probe("readinessProbe")[0] != 0)
    code, said = pod.probe("readinessProbe")
    assert pod.probe("livenessProbe")[0] == 0
    print(f"pod: Vault is sealed: exit {code}, {said}; it is alive")

    begun = time.monotonic()
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=pod.spec["terminationGracePeriodSeconds"]) == 0
    print(f"pod: it ended by itself in {time.monotonic() - begun:.1f} s")


def wait_for(what, holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


def unmount(folder):
    """Lets go of all that is mounted below, so that it can be removed."""
    with open("/proc/self/mounts") as file:
        places = [line.split()[1] for line in file]
    for place in reversed([it for it in places if it.startswith(folder + "/")]):
        subprocess.run(["umount", "-l", place], check=False)


if __name__ == "__main__":
    {"check": check, "serve": serve}[sys.argv[1]](*sys.argv[2:])
