# shellcheck shell=bash disable=SC2154
# What the parts with a database share: a throwaway server in $place, with the settings of the array "settings",
# that goes with the script; sourced. Needs $root.
place=$(mktemp -d "${TMPDIR:-/tmp}/pgsweep-bench.XXXXXX")
clean_up() {
    local code=$?
    trap - EXIT
    "$root/tools/throwaway-pg.sh" stop "$place/pg" || true
    rm -rf "$place"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
export -n PGSWEEP_BIN # no setting of pgsweep: it would be refused
for name in $(compgen -e | grep -E '^(PG[A-RT-Z]|PGS[A-VX-Z]|PGSWEEP_[A-Z0-9]+_)' || true); do
    unset "$name"
done
chmod 0711 "$place"
exports=$("$root/tools/throwaway-pg.sh" start --fsync --while $$ "$place/pg" "${settings[@]}")
eval "$exports"
export PGOPTIONS='-c client_min_messages=warning'

sql() { psql -X -A -t -q -v ON_ERROR_STOP=1 "$@"; }
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
