#!/usr/bin/env bash
# A PostgreSQL server for one demo, test or measurement: own data directory, unix socket only, no
# trace afterwards. Works as root too (the server then runs as postgres or nobody).
#   throwaway-pg.sh start [--fsync] [--while PID] [--standby-of HOST] DIR [LINE...]
#       creates DIR (which must not exist, or be empty) with a server; LINEs go to postgresql.conf.
#       Prints shell lines to eval: export PGHOST=... PGPORT=... PGUSER=... PGDATABASE=...
#       --fsync: durable settings, for measurements. --while PID: stop by itself once PID is gone.
#       --standby-of HOST: a hot standby of the server with its socket in HOST.
#   throwaway-pg.sh stop DIR      stops the server and removes DIR; nothing happens if there is none
#   throwaway-pg.sh bindir        prints where the server's binaries are
# PG_BINDIR: the server's binaries, of whatever version, instead of the installed ones.
# The server's log is DIR/server.log.
set -euo pipefail

fail() {
    echo "throwaway-pg: error: $*" >&2
    exit 1
}

# The server's binaries: those of PG_BINDIR, else where pg_config says, else the newest that Debian installed.
server_bindir() {
    local dir
    if [[ ${PG_BINDIR-} ]]; then
        [[ -x $PG_BINDIR/initdb && -x $PG_BINDIR/pg_ctl ]] || fail "PG_BINDIR: no initdb and pg_ctl in $PG_BINDIR"
        printf '%s\n' "$PG_BINDIR"
        return
    fi
    dir=$(pg_config --bindir 2>/dev/null || true)
    if [[ -z $dir || ! -x $dir/initdb ]]; then
        dir=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1 || true)
    fi
    [[ $dir && -x $dir/initdb && -x $dir/pg_ctl ]] || fail "no PostgreSQL server found; run tools/deps.sh test"
    printf '%s\n' "$dir"
}

# Runs a command as the user that owns the server: never root, who may not start one.
as_owner() {
    if [[ $owner == "$(id -un)" ]]; then
        (cd / && env LC_ALL=C "$@")
    else
        (cd / && runuser -u "$owner" -- env LC_ALL=C HOME=/ "$@")
    fi
}

choose_owner() {
    owner=$(id -un)
    [[ $(id -u) -eq 0 ]] || return 0
    owner=nobody
    if getent passwd postgres >/dev/null; then
        owner=postgres
    fi
}

# A line of postgresql.conf with a quoted value.
setting() {
    printf "%s = '%s'\n" "$1" "${2//\'/\'\'}"
}

# A new data directory, or a copy of the primary's.
create_data() {
    if [[ $primary ]]; then
        as_owner "$bin/pg_basebackup" -D "$dir/data" -h "$primary" -p 5432 -U postgres -R -c fast --no-sync </dev/null
    else
        as_owner "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync </dev/null
    fi
}

start() {
    local fsync=off while_pid='' primary='' dir sockets
    while [[ ${1-} == --* ]]; do
        case $1 in
        --fsync) fsync=on ;;
        --while)
            while_pid=$2
            shift
            ;;
        --standby-of)
            primary=$2
            shift
            ;;
        *) fail "unknown option $1" ;;
        esac
        shift
    done
    [[ $# -ge 1 ]] || fail "start: which directory?"
    dir=$1
    shift
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd -P)
    [[ -z $(ls -A "$dir") ]] || fail "$dir is not empty"
    choose_owner
    bin=$(server_bindir)
    # A socket's path may have 107 bytes at most: it never lies below DIR, which may be deep.
    sockets=$(mktemp -d /tmp/pgsweep-s.XXXXXX)
    # Whatever goes wrong from here on, nothing stays.
    started=$dir
    printf '%s\n' "$sockets" >"$dir/sockets"
    trap 'stop "$started"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    chmod 0711 "$dir"
    chmod 0755 "$sockets"
    if [[ $owner != "$(id -un)" ]]; then
        chown "$owner" "$dir" "$sockets"
    fi
    as_owner test -w "$dir" || fail "user $owner cannot reach $dir; choose a directory that others may enter"
    create_data >"$dir/initdb.log" 2>&1 || {
        cat "$dir/initdb.log" >&2
        fail "the data directory could not be made"
    }
    {
        setting listen_addresses ''
        setting unix_socket_directories "$sockets"
        echo "port = 5432"
        echo "fsync = $fsync"
        echo "full_page_writes = $fsync"
        echo "synchronous_commit = $fsync"
        echo "max_connections = 60"
        echo "timezone = 'UTC'"
        printf '%s\n' "$@"
    } | as_owner tee -a "$dir/data/postgresql.conf" >/dev/null
    as_owner "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 600 -s start </dev/null >&2 || {
        tail -n 20 "$dir/server.log" >&2 || true
        fail "the server did not start"
    }
    if [[ $while_pid ]]; then
        # Outlives a caller that was killed, and takes the server with it.
        setsid bash "$self" watch "$while_pid" "$dir" </dev/null >/dev/null 2>&1 &
    fi
    trap - EXIT INT TERM HUP
    printf 'export PGHOST=%q PGPORT=5432 PGUSER=postgres PGDATABASE=postgres\n' "$sockets"
}

stop() {
    local dir=$1 sockets=''
    [[ -d $dir ]] || return 0
    dir=$(cd "$dir" && pwd -P)
    [[ -f $dir/sockets ]] || fail "$dir is not a throwaway server"
    sockets=$(cat "$dir/sockets")
    choose_owner
    bin=$(server_bindir)
    if [[ -f $dir/data/postmaster.pid ]]; then
        as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate -w -t 600 -s stop </dev/null >/dev/null 2>&1 || true
    fi
    [[ $sockets != /tmp/pgsweep-s.* ]] || rm -rf "$sockets"
    # A process of the server may still write while it ends.
    local tries=0
    until rm -rf "$dir" 2>/dev/null; do
        tries=$((tries + 1))
        [[ $tries -lt 600 ]] || fail "cannot remove $dir"
        sleep 0.1
    done
}

watch() {
    # A server that its caller stopped in the regular way has no directory any more.
    while [[ -d $2 ]] && kill -0 "$1" 2>/dev/null; do
        sleep 1
    done
    stop "$2"
}

self=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/${BASH_SOURCE[0]##*/}
owner='' bin='' started=''
command=${1-}
[[ $# -eq 0 ]] || shift
case $command in
start) start "$@" ;;
stop) stop "${1:?stop: which directory?}" ;;
watch) watch "$1" "$2" ;;
bindir) server_bindir ;;
*) sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p}' "$self" >&2; exit 2 ;;
esac
