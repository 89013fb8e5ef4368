#!/bin/sh
# The pool and the block cache under ThreadSanitizer; fails on any report.  tests/native/tsan.sh [rounds]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
build=${ODY_NATIVE_BUILD:-${TMPDIR:-/tmp}/odyssey-native}
mkdir -p "$build"
cc=${CC:-cc}
# setarch -R: the sanitizer knows fewer address layouts than today's kernels choose from.
quiet() { command -v setarch >/dev/null && set -- setarch "$(uname -m)" -R "$@"; "$@"; }
for threads in 1 2 5; do
    $cc -std=gnu11 -O1 -g -Wall -Wextra -fsanitize=thread -I"$root/include" "$here/pool_stress.c" \
        "$root/odyssey/_kernels/c/pool.c" "$root/odyssey/_kernels/c/memory.c" -o "$build/pool_stress" -lpthread
    ODYSSEY_NUM_THREADS=$threads TSAN_OPTIONS=halt_on_error=1:die_after_fork=0 quiet "$build/pool_stress" "${1:-200}"
done
