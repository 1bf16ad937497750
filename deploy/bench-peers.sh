#!/usr/bin/env bash
# Installs what the benchmarks are measured beside, from npm, in target/peers, and runs the command given.
# Without npm the command runs all the same, and the rows of the peers are left out.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if command -v npm >/dev/null; then
  mkdir -p "$root/target/peers/oidc_provider"
  cp "$root"/lightning/benches/oidc_provider/* "$root/target/peers/oidc_provider"
  (cd "$root/target/peers/oidc_provider" && npm ci --silent --no-audit --no-fund)
  export LIGHTNING_BENCH_OIDC_PROVIDER="$root/target/peers/oidc_provider/server.mjs"
fi
exec "$@"
