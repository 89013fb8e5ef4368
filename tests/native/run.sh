#!/bin/sh
# Builds a native test for each instruction set and compares what they print.
#
#   tests/native/run.sh vec_test                    digests over every function of vec.h
#   tests/native/run.sh math_exhaustive -s 65537    errors of math_f32.h on a sample of all floats (-s 1: on all)
#
#   tests/native/run.sh math_f64_check -n 100000    digests of math_f64.h; its errors, against quadruple precision, with
#                                                   CFLAGS=-DODY_QUAD LDLIBS=-lquadmath ODY_ISAS=avx512
#
# Prints which instruction sets ran and which could not; fails if outputs differ or a run fails.
# CC and CROSS_CC choose the compilers, CFLAGS and LDLIBS add to their arguments; ODY_ISAS the instruction sets (default:
# all four); NO_COMPARE=1 only prints.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
test=$1
shift
build=${ODY_NATIVE_BUILD:-${TMPDIR:-/tmp}/odyssey-native}
mkdir -p "$build"
common="-std=gnu11 -O3 -ffp-contract=off -fno-math-errno -Wall -Wextra -I$here/../../odyssey/_kernels/c -I$here"
avx2="-mavx2 -mfma -mf16c -mbmi2"
avx512="-mavx512f -mavx512dq -mavx512bw -mavx512vl $avx2 -mprefer-vector-width=512"
cc=${CC:-cc}
cross=${CROSS_CC:-aarch64-linux-gnu-gcc}
first=

for isa in ${ODY_ISAS:-scalar avx2 avx512 neon}; do
    run= compiler=$cc
    case $isa in
    scalar) flags= ;;
    avx2) flags="-DODY_ISA_AVX2 $avx2" ;;
    avx512) flags="-DODY_ISA_AVX512 $avx512" ;;
    neon) flags=-DODY_ISA_NEON ;;
    esac
    case $isa-$(uname -m) in
    scalar-* | neon-aarch64 | neon-arm64) ;;
    neon-*)
        compiler=$cross run=qemu-aarch64 flags="$flags -static"
        command -v "$cross" >/dev/null && command -v $run >/dev/null || { echo "skipped: neon (needs $cross and $run)"; continue; } ;;
    avx2-*) grep -q avx2 /proc/cpuinfo || { echo "skipped: avx2"; continue; } ;;
    avx512-*) grep -q avx512vl /proc/cpuinfo || { echo "skipped: avx512"; continue; } ;;
    esac
    # shellcheck disable=SC2086
    $compiler $common $flags ${CFLAGS:-} "$here/$test.c" -o "$build/$test-$isa" ${LDLIBS:-} -lm
    # shellcheck disable=SC2086
    $run "$build/$test-$isa" "$@" >"$build/$test-$isa.txt" 2>"$build/$test-$isa.log" || { cat "$build/$test-$isa.txt"; echo "failed: $isa"; exit 1; }
    if [ -z "$first" ]; then first=$isa; cat "$build/$test-$isa.txt"; fi
    cat "$build/$test-$isa.log"
    if [ -n "${NO_COMPARE:-}" ]; then [ $isa = $first ] || cat "$build/$test-$isa.txt"; continue; fi
    diff "$build/$test-$first.txt" "$build/$test-$isa.txt" || { echo "differ: $first and $isa"; exit 1; }
    echo "agrees: $isa"
done
[ -n "$first" ] || { echo "no instruction set ran"; exit 1; }
