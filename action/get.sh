#!/usr/bin/env bash
# What action.yml runs: its inputs, which came as variables, as arguments of `vaultgram github`.
# No secret is among them, and none is printed before it is masked.
set -euo pipefail

fail() {
    # The runner shows the first line; what came from outside cannot be a command in it.
    printf '::error::%s\n' "${1//[$'\r\n%']/ }"
    exit 64
}

if [ -n "$DOWNLOAD" ]; then
    [[ "$SHA256" =~ ^[0-9a-f]{64}$ ]] || fail "sha256: needed with download, 64 small hex digits"
    [[ "$DOWNLOAD" == https://* ]] || fail "download: must begin with https://"
    folder=$(mktemp -d "$RUNNER_TEMP/vaultgram-binary.XXXXXX")
    BINARY=$folder/vaultgram
    curl --proto '=https' --tlsv1.2 --fail --silent --show-error --location --max-time 300 \
        --retry 3 --output "$BINARY" "$DOWNLOAD"
    printf '%s  %s\n' "$SHA256" "$BINARY" | sha256sum --check --quiet >/dev/null 2>&1 \
        || fail "download: its SHA-256 is not the one in sha256; it is not run"
    chmod 0700 "$BINARY"
fi
command -v -- "$BINARY" >/dev/null \
    || fail "there is no vaultgram on this runner: install one, or use the inputs binary or download"

if [ -n "$CA_CERTIFICATE" ]; then
    VAULTGRAM_CACERT=$(mktemp "$RUNNER_TEMP/vaultgram-ca.XXXXXX")
    export VAULTGRAM_CACERT
    printf '%s\n' "$CA_CERTIFICATE" >"$VAULTGRAM_CACERT"
fi

arguments=()
[ -z "$SECRETS" ] || arguments+=(--secrets "$SECRETS")
case $EXPORT_ENV in
    true) ;;
    false) arguments+=(--no-variables) ;;
    *) fail "export-env: true or false" ;;
esac
while IFS= read -r line; do
    line=${line//[[:space:]]/}
    [ -z "$line" ] || arguments+=("--file=$line")
done <<<"$FILES"
[ -z "$WAIT" ] || arguments+=("--wait=$WAIT")
[ -z "$REASON" ] || arguments+=("--reason=$REASON")
exec "$BINARY" github "${arguments[@]}"
