#!/usr/bin/env bash
# Starts a PostgreSQL of its own on a free loopback port, runs the tests that need it, stops it. The
# tests that mount a service written in Python get grpcio from PyPI, in target/python.
# Redis and NATS join when the store has forms that speak to them.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
if [ -z "$bin" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "PostgreSQL is not installed; install it or run as root (apt-get install postgresql)" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # The package would start a cluster of its own; ours is enough.
  mkdir -p /etc/postgresql-common
  [ -f /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
  apt-get install -y -qq postgresql >/dev/null
  bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
fi

folder=$(mktemp -d)
as_postgres() { if [ "$(id -u)" -eq 0 ]; then su postgres -s /bin/sh -c "$*"; else sh -c "$*"; fi; }
[ "$(id -u)" -ne 0 ] || chown postgres "$folder"
stop() { as_postgres "'$bin/pg_ctl' -D '$folder/data' -m immediate stop" >/dev/null 2>&1 || true; rm -rf "$folder"; }
trap stop EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_postgres "'$bin/initdb' -D '$folder/data' -U lightning --auth=trust --encoding=UTF8 --no-sync" >/dev/null
as_postgres "'$bin/pg_ctl' -D '$folder/data' -w -o '-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder' -l '$folder/log' start" >/dev/null
as_postgres "'$bin/createdb' -h 127.0.0.1 -p $port -U lightning lightning"

if ! "$root/target/python/bin/python" -c 'import grpc_reflection, grpc_status, grpc_tools' 2>/dev/null; then
  python3 -m venv "$root/target/python"
  "$root/target/python/bin/pip" install --quiet --disable-pip-version-check -r "$root/gateway/tests/python/requirements.txt"
fi
export LIGHTNING_TEST_PYTHON="$root/target/python/bin/python"

export LIGHTNING_TEST_POSTGRES_URL="postgres://lightning@127.0.0.1:$port/lightning"
cd "$root"
cargo test --workspace --locked scaled
