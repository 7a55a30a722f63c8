#!/bin/sh
# Builds the test driver of the object store module and installs the S3 test server.
# Prints the path of the driver. BUILD, CC, SANITIZE and WERROR as for make.
set -eu
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
make -s -f tests/s3/driver.mk "BUILD=$BUILD" "$BUILD/s3/store_driver" >&2
if [ ! -d tests/s3/node_modules/s3rver ] || [ tests/s3/package-lock.json -nt tests/s3/node_modules/.package-lock.json ]; then
    (cd tests/s3 && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error) >&2
fi
echo "$PWD/$BUILD/s3/store_driver"
