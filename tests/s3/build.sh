#!/bin/sh
# Builds the test driver of the object store module and prints its path.
# BUILD, CC, SANITIZE and WERROR as for make.
set -eu
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
make -s -f tests/s3/driver.mk "BUILD=$BUILD" "$BUILD/s3/store_driver" >&2
case $BUILD in
/*) echo "$BUILD/s3/store_driver" ;;
*) echo "$PWD/$BUILD/s3/store_driver" ;;
esac
