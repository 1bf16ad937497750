#!/usr/bin/env bash
# Runs other people's OpenID Connect clients against a mesh of its own on free loopback ports: openid-client
# and oidc-client-ts (npm; the latter in Chromium, from Debian) and authlib (PyPI). What they need is
# installed in target/clients, and node, python and Chromium with apt when root.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work="$root/target/clients"

need() { # command, Debian package
  command -v "$1" >/dev/null && return
  if [ "$(id -u)" -ne 0 ]; then
    echo "$1 is not installed; install it or run as root (apt-get install $2)" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  [ -n "${updated:-}" ] || apt-get update -qq
  updated=1
  apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}
need npm npm
need python3 python3-venv
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  echo "Node.js $(node --version) is too old for openid-client: 20 or later is needed" >&2
  exit 1
fi
need chromium chromium

mkdir -p "$work"
cp "$root"/lightning/tests/clients/* "$work"
(cd "$work" && npm ci --silent --no-audit --no-fund)
if ! "$work/python/bin/python" -c 'import authlib, requests' 2>/dev/null; then
  python3 -m venv "$work/python"
  "$work/python/bin/pip" install --quiet --disable-pip-version-check -r "$work/requirements.txt"
fi

cd "$root"
cargo build --locked -p lightning
folder=$(mktemp -d)
pid=
stop() {
  [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }
  rm -rf "$folder"
}
trap stop EXIT

# Ports that are free now, all held at once so that they differ.
read -r -a ports < <(python3 -c '
import socket
held = [socket.socket() for _ in range(8)]
for one in held: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))')
words=(gateway agents enhanced workflows integrations models auth monitoring)
for i in "${!words[@]}"; do
  printf '[%s]\nlisten = "127.0.0.1:%s"\n' "${words[$i]}" "${ports[$i]}"
  [ "${words[$i]}" != auth ] || printf 'issuer = "http://localhost:%s"\n' "${ports[$i]}"
done > "$folder/lightning.toml"

export LIGHTNING_ADMIN=ada LIGHTNING_ADMIN_PASSWORD="seven green lamps on the pier"
printf '%s\n' "$LIGHTNING_ADMIN_PASSWORD" |
  target/debug/lightning admin create-user ada --config "$folder/lightning.toml" --data "$folder/data"
target/debug/lightning up --config "$folder/lightning.toml" --data "$folder/data" > "$folder/log" 2>&1 &
pid=$!
for _ in $(seq 300); do
  grep -q 'Agent Lightning is ready' "$folder/log" && break
  kill -0 "$pid" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
  sleep 0.1
done

export LIGHTNING_ISSUER="http://localhost:${ports[6]}"
export LIGHTNING_GATEWAY="http://localhost:${ports[0]}"
export LIGHTNING_AGENTS="http://localhost:${ports[1]}"
LIGHTNING_CHROMIUM=$(command -v chromium)
export LIGHTNING_CHROMIUM
failed=0
(cd "$work" && node --test --test-reporter=spec ./*.test.mjs) || failed=1
(cd "$work" && python/bin/python -m unittest -v authlib_flows) || failed=1
[ "$failed" -eq 0 ] || { tail -n 60 "$folder/log" >&2; exit 1; }
