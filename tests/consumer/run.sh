#!/usr/bin/env bash
# Installs BUILD_DIR into a fresh prefix, then configures, builds and runs examples/consumer outside
# of the source tree. Exit 0 if an outside project can append, reopen and read (EM0), and if a
# cluster of its own counts on without its leader and after a restart.
# Usage: tests/consumer/run.sh BUILD_DIR
set -euo pipefail

build_dir=$(realpath "${1:?usage: run.sh BUILD_DIR}")
source_dir=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

cmake --install "$build_dir" --prefix "$place/prefix" >"$place/install.log"
# Copied, so that nothing but the installed package can be found.
mkdir "$place/outside"
cp -r "$source_dir"/examples/*.cc "$source_dir/examples/consumer" "$place/outside/"
cmake -S "$place/outside/consumer" -B "$place/build" -G Ninja \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$place/prefix" >"$place/configure.log"
cmake --build "$place/build"

if grep -rlF "$source_dir" "$place/prefix/lib"*/cmake "$place/prefix/include"; then
  echo "consumer: the installed package names the source tree" >&2
  exit 1
fi
"$place/build/append" "$place/data" "first line" >/dev/null
lines=$("$place/build/append" "$place/data" "second line")
if [ "$lines" != $'1 first line\n2 second line' ]; then
  printf 'consumer: expected the two lines, read:\n%s\n' "$lines" >&2
  exit 1
fi
for expected in $'1\n2\n3, and read 3' $'4\n5\n6, and read 6'; do
  counts=$("$place/build/counter" "$place/cluster")
  if [ "$counts" != "$expected" ]; then
    printf 'consumer: expected of the counter:\n%s\nread:\n%s\n' "$expected" "$counts" >&2
    exit 1
  fi
done
for round in 1 2; do
  tour=$("$place/build/queue" "$place/queue" 2>/dev/null)
  expected=$'length 1\nlength 2\nlength 3\npopped push from a\nrefused: push TEXT or pop\npopped push from b\nlength 1 on d'
  if [ "$tour" != "${expected//push from/from}" ]; then
    printf 'consumer: round %s of the queue:\n%s\n' "$round" "$tour" >&2
    exit 1
  fi
  scores=$("$place/build/kv" "$place/kv")
  if [ "$scores" != "ok 49, one of 50" ]; then
    printf 'consumer: round %s of the scores:\n%s\n' "$round" "$scores" >&2
    exit 1
  fi
done
"$place/prefix/bin/duramen" verify "$place/data"
echo "consumer: installed, found, built and run"
