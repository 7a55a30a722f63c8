#!/bin/sh
# Builds the driver of the file sweep (first argument: where to), for tests and measurements.
# CC, CFLAGS and SANITIZE=1 as in the Makefile. Needs nothing but talloc.
set -eu
out=$1
cd "$(dirname "$0")/../.."
flags="-std=c11 -pthread -Iinclude ${CFLAGS:--O2 -g}"
if [ -n "${SANITIZE:-}" ]; then
    flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
fi
mkdir -p "$(dirname "$out")"
# shellcheck disable=SC2086,SC2046
${CC:-cc} $flags $(pkg-config --cflags talloc) -o "$out.$$" tests/files/driver.c src/files/*.c \
    src/base/clock.c src/base/error.c src/base/mem.c src/base/sleep.c src/base/stop.c src/base/text.c \
    $(pkg-config --libs talloc)
mv "$out.$$" "$out"
