#!/usr/bin/env bash
# Runs buf on the contract. Installs it from PyPI into target/buf when it is not on the PATH.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
buf=$(command -v buf || true)
if [ -z "$buf" ]; then
  buf="$root/target/buf/bin/buf"
  if [ ! -x "$buf" ]; then
    python3 -m venv "$root/target/buf"
    "$root/target/buf/bin/pip" install --quiet 'buf-bin==1.75.0'
  fi
fi
cd "$root/proto"
exec "$buf" "$@"
