"""Three hosts on this machine: one root file system, systemd-nspawn, a bridge; gone when it ends."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

# What an empty host has: Debian with what cannot be fetched there, for the hosts have no way out.
PACKAGES = [
    "ca-certificates",
    "curl",
    "dbus",
    "etcd-client",
    "etcd-server",
    "iproute2",
    "openssh-server",
    "procps",
    "prometheus",
    "prometheus-alertmanager",
    "python3",
    "python3-apt",
    "python3-cryptography",
    "systemd",
    "systemd-sysv",
]
# Nothing of it runs before Ansible says so.
DISABLED = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "etcd.service",
    "fstrim.timer",
    "prometheus-alertmanager.service",
    "prometheus.service",
]
CONTROLLER = "10.0.0.1"


def sh(*command, **options):
    """Runs a command that must succeed; its output."""
    ran = subprocess.run(command, text=True, capture_output=True, **options)
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def rootfs(cache):
    """The root file system of an empty host, made once for a list of packages."""
    name = hashlib.sha256(" ".join(PACKAGES + DISABLED).encode()).hexdigest()[:12]
    made = cache / f"rootfs-{name}"
    if not made.exists():
        for old in cache.glob("rootfs-*"):
            shutil.rmtree(old)
        part = cache / f"rootfs-{name}.part"
        mask = " ".join(f"/etc/systemd/system/{unit}" for unit in DISABLED if unit.endswith(".timer"))
        disable = " ".join(unit for unit in DISABLED if not unit.endswith(".timer"))
        sh(
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            f'--customize-hook=for unit in {mask}; do ln -s /dev/null "$1$unit"; done',
            f'--customize-hook=chroot "$1" systemctl disable --quiet {disable}',
            '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/usr/share/doc/*',
            "bookworm",
            str(part),
        )
        part.rename(made)
    return made


class Host:
    """One host."""

    def __init__(self, network, name, address, folder, lower):
        self.network, self.name, self.address = network, name, address
        self.folder, self.lower = folder / name, lower
        self.root = self.folder / "root"
        self.process = None
        self.cgroups = []

    def make(self, public_key):
        """Its disk, and its line to the bridge."""
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={self.lower},upperdir={self.folder}/upper,workdir={self.folder}/work"
        sh("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        ssh = self.root / "root/.ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        (ssh / "authorized_keys").write_text(public_key)
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        self.network.connect(self.name, self.address)

    def boot(self):
        """Starts it in control groups of its own, for systemd takes all of those it is in."""
        groups = self._groups()

        def join():
            for group in groups:
                (group / "cgroup.procs").write_text("0")

        log = open(self.folder / "console.log", "ab")
        self.process = subprocess.Popen(
            [
                "systemd-nspawn",
                "--quiet",
                "--register=no",
                "--keep-unit",
                "--console=pipe",
                f"--directory={self.root}",
                f"--hostname={self.name}",
                f"--network-namespace-path=/run/netns/{self.network.of(self.name)}",
                "--boot",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=join,
        )

    def _groups(self):
        found = []
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _source, options = after.split(" ", 2)
            if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
                group = Path(before.split(" ")[4]) / f"{self.network.prefix}-{self.name}"
                group.mkdir(exist_ok=True)
                found.append(group)
        self.cgroups = found
        return found

    def _leader(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def shut_down(self):
        """As a machine that is told to; kills it where it does not listen."""
        if self.process is None:
            return
        leader = self._leader() if self.process.poll() is None else None
        if leader:
            os.kill(leader, signal.SIGRTMIN + 4)
        self._wait(30)

    def cut_power(self):
        """As a machine whose power fails."""
        leader = self._leader()
        if leader:
            os.kill(leader, signal.SIGKILL)
        self._wait(5)

    def _wait(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def remove(self):
        """Everything of it."""
        self.shut_down()
        subprocess.run(["umount", "-l", str(self.root)], check=False, capture_output=True)
        for group in self.cgroups:
            for folder in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                _quietly(folder.rmdir)
            _quietly(group.rmdir)


def _quietly(action):
    try:
        action()
    except OSError:
        pass


class Network:
    """A bridge in the controller's network namespace, and a namespace for each host."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.controller = f"{prefix}-ctl"
        self.names = [self.controller]
        sh("ip", "netns", "add", self.controller)
        self._in(self.controller, "link", "set", "lo", "up")
        self._in(self.controller, "link", "add", "bridge", "type", "bridge")
        self._in(self.controller, "address", "add", f"{CONTROLLER}/24", "dev", "bridge")
        self._in(self.controller, "link", "set", "bridge", "up")

    def of(self, host):
        """The name of a host's namespace."""
        return f"{self.prefix}-{host}"

    def connect(self, host, address):
        """A line between a host and the bridge."""
        name = self.of(host)
        sh("ip", "netns", "add", name)
        self.names.append(name)
        self._in(self.controller, "link", "add", f"to-{host}", "type", "veth", "peer", "host0", "netns", name)
        self._in(self.controller, "link", "set", f"to-{host}", "master", "bridge", "up")
        self._in(name, "link", "set", "lo", "up")
        self._in(name, "address", "add", f"{address}/24", "dev", "host0")
        self._in(name, "link", "set", "host0", "up")

    @staticmethod
    def _in(namespace, *words):
        sh("ip", "-n", namespace, *words)

    def command(self, *words):
        """A command, on the controller's side of the network."""
        return ["ip", "netns", "exec", self.controller, *map(str, words)]

    def remove(self):
        """All of it."""
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def wait(what, condition, seconds=60):
    """Polls until `condition` holds; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise SystemExit(f"waited in vain for {what}")
