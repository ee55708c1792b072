#!/bin/sh
# Builds the core module: ./build.sh OUTPUT.wasm
#
# CC names the compiler; without it, the first clang that compiles for WebAssembly is taken.
set -eu

fail() {
    echo "build.sh: $1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: $0 OUTPUT.wasm"
output=$1
source=$(cd "$(dirname "$0")" && pwd)
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
trap 'exit 1' HUP INT TERM

# The first version of WebAssembly is all this needs, and every clang then builds much the same.
target="--target=wasm32-unknown-unknown -mcpu=mvp"

# $1 may be a command with arguments, so it is not quoted.
compiles() {
    echo 'int i;' | $1 $target -c -x c -o "$objects/probe.o" - 2>/dev/null
}

if [ -n "${CC:-}" ]; then
    compiles "$CC" || fail "\`$CC\` cannot compile for WebAssembly; unset CC or name a clang: apt-get install clang lld"
else
    for candidate in clang clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
        if compiles "$candidate"; then
            CC=$candidate
            break
        fi
    done
    [ -n "${CC:-}" ] || fail "no clang that compiles for WebAssembly: apt-get install clang lld"
fi

# The compiler knows the wasm-ld of its own version, which need not be on the PATH. Rust brings a linker as well.
find_linker() {
    flavor=
    linker=$($CC --print-prog-name=wasm-ld 2>/dev/null || echo wasm-ld)
    ! command -v "$linker" >/dev/null || return 0
    flavor="-flavor wasm"
    for linker in "$(rustc --print sysroot 2>/dev/null || :)"/lib/rustlib/*/bin/rust-lld; do
        [ ! -x "$linker" ] || return 0
    done
    fail "no linker for WebAssembly (wasm-ld): apt-get install lld"
}
find_linker

for file in tenant.c runtime.c generated/policy.c; do
    $CC $target -std=c11 -Os -Wall -Wextra -ffreestanding -nostdlibinc \
        -I "$source/include" -I "$source/generated" -c "$source/$file" -o "$objects/$(basename "$file" .c).o"
done

# --stack-first: a stack that overflows runs off the start of memory, which traps, instead of into the static data.
"$linker" $flavor --no-entry --stack-first -z stack-size=16384 --strip-all --fatal-warnings \
    "$objects/tenant.o" "$objects/runtime.o" "$objects/policy.o" -o "$output"
