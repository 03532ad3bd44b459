#!/usr/bin/env bash
# machine.sh DIR PROGRAMS: a real systemd as PID 1 in namespaces of its own, no image, no network of
# its own. Its unit files are DIR/units and nothing else; DIR is seen as /vg inside, and PROGRAMS as
# /ro. Prints "ready PID" once its target is reached; lives until its stdin reaches EOF, so that a
# test that dies takes it along.
# 77 = this machine cannot do it (the reason is on stderr).
set -euo pipefail
if [ "${1:-}" = --inside ]; then
    dir=$2 root=$2/root; shift 2
    read -r pid _ </proc/self/stat && echo "$pid" >"$dir/pid"  # still the outer /proc: the pid as seen outside
    mkdir -p "$root"; mount -t tmpfs -o mode=755 tmpfs "$root"; cd "$root"
    mkdir -p usr etc run var/log var/tmp var/lib tmp proc sys dev vg ro root old
    for d in bin sbin lib lib64; do [ -L "/$d" ] && cp -P "/$d" .; done  # merged /usr
    ln -s ../run var/run
    mount --rbind /usr usr; mount -o remount,bind,ro usr
    cp /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache etc/ 2>/dev/null || true
    echo 0123456789abcdef0123456789abcdef >etc/machine-id
    mount --bind "$dir" vg
    mount -t proc proc proc                                # /proc/sys read-only: systemd as PID 1 sets sysctls
    mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys
    if [ -e proc/sysrq-trigger ]; then mount --bind /dev/null proc/sysrq-trigger; fi
    mount --bind /sys sys; mount -o remount,bind,ro sys
    mount -t tmpfs tmpfs sys/fs/cgroup; mount -t cgroup2 cgroup2 sys/fs/cgroup  # root = our cgroup
    mount -t tmpfs -o mode=755 tmpfs dev; mkdir dev/pts dev/shm
    for n in null zero full random urandom tty; do : >dev/$n; mount --bind /dev/$n dev/$n; done
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts; ln -s pts/ptmx dev/ptmx
    mount -t tmpfs tmpfs dev/shm; mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs tmpfs tmp
    mount --bind "$1" ro; mount -o remount,bind,ro ro
    pivot_root . old; cd /; umount -l /old; rmdir /old
    mount --make-rshared /           # else credential mounts never reach the service: its directory is empty
    exec env -i container=vaultgram PATH=/usr/sbin:/usr/bin SYSTEMD_UNIT_PATH=/vg/units \
        SYSTEMD_GENERATOR_PATH=/nonexistent /usr/lib/systemd/systemd --system --unit=machine.target \
        --show-status=no --log-target=journal-or-kmsg
elif [ "${1:-}" != --outside ]; then  # first: a mount namespace, so that no mount is seen or left outside
    why() { echo "machine: $*" >&2; exit 77; }
    [ "$(id -u)" = 0 ] || why "not root"
    if ! [ -x /usr/lib/systemd/systemd ] || ! command -v systemctl nsenter setpriv >/dev/null; then
        why "no systemd (apt-get install systemd)"
    fi
    unshare --mount --pid --cgroup --fork true 2>/dev/null || why "no namespaces (CAP_SYS_ADMIN, seccomp)"
    exec unshare --mount --propagation private "$0" --outside "$@"
fi
shift; dir=$(realpath "$1"); shift
mkdir -p "$dir/units" "$dir/cgroup"
mount -t cgroup2 cgroup2 "$dir/cgroup" || { echo "machine: no cgroup v2" >&2; exit 77; }
for old in "$dir"/cgroup/vg-machine-*; do  # what a machine.sh that was killed -9 left: empty directories
    [ ! -d "$old" ] || kill -0 "${old##*-}" 2>/dev/null || find "$old" -depth -type d -exec rmdir {} + 2>/dev/null || true
done
home=$dir/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup) own=$dir/cgroup/vg-machine-$$  # mount and path agree in a cgroup ns
mkdir "$own" || { echo "machine: cgroup v2 is read-only" >&2; exit 77; }
for u in sysinit basic shutdown; do printf '[Unit]\nDefaultDependencies=no\n' >"$dir/units/$u.target"; done
printf '[Unit]\nWants=systemd-journald.service\nAfter=systemd-journald.service\n' >"$dir/units/machine.target"
cp /usr/lib/systemd/system/systemd-journald{.socket,-dev-log.socket,.service} "$dir/units/"
rm -f "$dir/pid"
echo $$ >"$own/cgroup.procs"         # the cgroup namespace is rooted where its creator stands
setpriv --pdeathsig KILL unshare --mount --propagation private --pid --cgroup --uts --ipc --fork --kill-child \
    "$0" --inside "$dir" "$@" </dev/null >"$dir/console.log" 2>&1 &
machine=$!
echo $$ >"$home/cgroup.procs"
# shellcheck disable=SC2329 # by the trap
end() {  # killing PID 1 ends every process inside; the mounts go with their namespace, the cgroup is ours to remove
    kill -KILL "$machine" 2>/dev/null || true; wait "$machine" 2>/dev/null || true
    for _ in {1..50}; do
        find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [ -d "$own" ] || return 0
        sleep 0.02
    done; echo "machine: left over: $own" >&2
}
trap end EXIT
for _ in {1..400}; do
    pid=$(cat "$dir/pid" 2>/dev/null || true)  # before PID 1 is systemd its root is still ours: ask the name first
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ] &&
        nsenter -t "$pid" -m -p systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; then
        echo "ready $pid"; while read -r _; do :; done; exit 0
    fi
    kill -0 $machine 2>/dev/null || break
    sleep 0.05
done
echo "machine: PID 1 did not come up" >&2; cat "$dir/console.log" >&2; exit 1
