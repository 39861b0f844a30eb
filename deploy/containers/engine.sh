#!/usr/bin/env bash
# A container engine for this user's checkouts: the one that is there already, or else one of its own.
#
#   engine.sh can            exit 0 if there is one, or this machine can run one; else says why not
#   engine.sh run COMMAND…   runs a command with it; one of its own that nobody uses any more is stopped again
#   engine.sh start          starts it to stay, and prints what `eval` needs to reach it
#   engine.sh stop           stops it, leaving no process, mount, rule or control group behind; images are kept
#
# An engine that answers at DOCKER_HOST, or where docker looks by itself, is used as it is, if it has buildx and compose.
# One of its own keeps its images in the user's cache (FLEETLB_ENGINE_DATA=FOLDER), and needs root.
# FLEETLB_ENGINE_NETS=CIDR is what its networks are cut from.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${FLEETLB_ENGINE_DATA:-${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/engine-data}
run=/run/fleetlb-engine # short, for a unix socket's path has 108 bytes at most
socket=$run/docker.sock
config=$run/daemon.json
nets=${FLEETLB_ENGINE_NETS:-198.18.0.0/16}

say() { echo "engine: $*" >&2; }

theirs() { # does an engine answer that is not ours?
    [ "${DOCKER_HOST:-}" != "unix://$socket" ] || return 1
    docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1
}

obstacle() { # why this machine can run no engine; empty if it can
    if [ "$(id -u)" != 0 ]; then echo "no engine answers, and only root can start one: start Docker, or set DOCKER_HOST"
    elif ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        echo "no engine answers, and one of its own comes from Debian's archive, by apt-get: start Docker, or set DOCKER_HOST"
    elif ! unshare --mount --net --pid --ipc --uts --fork true 2>/dev/null; then
        echo "no engine answers, and this kernel lets root make no namespaces"
    elif ! grep -q ' cgroup2\? ' /proc/mounts; then
        echo "no engine answers, and no control groups are mounted at /sys/fs/cgroup"
    fi
}

reach() { # after this, `docker` speaks to our engine
    tools=$("$here/install.sh")
    export DOCKER_HOST=unix://$socket DOCKER_CONFIG=$tools/config PATH=$tools/bin:$PATH
}

pid() { # of our dockerd, if it lives
    local found
    found=$(cat "$run/dockerd.pid" 2>/dev/null) || return 1
    [ "${found:-0}" -gt 1 ] && [ "$(cat "/proc/$found/comm" 2>/dev/null)" = dockerd ] && echo "$found"
}

start() {
    local problem
    problem=$(obstacle)
    [ -z "$problem" ] || { say "$problem"; exit 1; }
    reach
    mkdir -p "$data" "$run/exec"
    exec 8>"$run/starting"
    flock 8
    if ! pid >/dev/null; then
        rm -f "$socket" "$run/dockerd.pid"
        cat >"$config" <<J
{"data-root": "$data", "exec-root": "$run/exec", "pidfile": "$run/dockerd.pid", "hosts": ["unix://$socket"],
 "bridge": "none", "ip-forward": false, "storage-driver": "overlay2", "exec-opts": ["native.cgroupdriver=cgroupfs"],
 "cgroup-parent": "/fleetlb-engine", "default-address-pools": [{"base": "$nets", "size": 24}],
 "log-opts": {"max-size": "10m", "max-file": "2"}}
J
        # No lock of ours may live as long as it does.
        (. "$tools/engine.env" && exec setsid dockerd --config-file "$config" \
            >"$run/dockerd.log" 2>&1 </dev/null 8>&- 9>&-) &
    fi
    for _ in $(seq 300); do
        if docker info >/dev/null 2>&1; then exec 8>&-; return; fi
        sleep 0.1
    done
    say "it does not answer; the end of $run/dockerd.log:"
    tail -n 20 "$run/dockerd.log" >&2
    exit 1
}

stop() {
    local found
    reach
    if found=$(pid); then
        kill "$found"
        for _ in $(seq 300); do [ -d "/proc/$found" ] || break; sleep 0.1; done
        [ ! -d "/proc/$found" ] || { say "dockerd ($found) does not end; see $run/dockerd.log"; exit 1; }
    fi
    sweep
    rm -rf "$run"
}

sweep() { # what a dockerd leaves behind
    if ! grep -qxs dockerd /proc/[0-9]*/comm; then # or it is another engine's
        # shellcheck disable=SC1091
        (. "$tools/engine.env" && for table in filter nat; do chains "$table" iptables; chains "$table" ip6tables; done)
    fi
    umount "$data" 2>/dev/null || true # dockerd mounts it on itself
    find /sys/fs/cgroup -depth -type d -path '*/fleetlb-engine*' -exec rmdir {} + 2>/dev/null || true
}

chains() { # TABLE COMMAND: remove docker's rules and chains of a table
    local rules rule chain
    rules=$("$2" -t "$1" -S 2>/dev/null) || return 0
    awk '/^-A (FORWARD|PREROUTING|OUTPUT|POSTROUTING) .*DOCKER/{sub(/^-A/,"-D"); print}' <<<"$rules" |
        while read -r rule; do "$2" -t "$1" $rule || true; done
    for chain in $(awk '/^-N DOCKER/{print $2}' <<<"$rules"); do "$2" -t "$1" -F "$chain" || true; done
    for chain in $(awk '/^-N DOCKER/{print $2}' <<<"$rules"); do "$2" -t "$1" -X "$chain" || true; done
}

run() {
    local code=0
    if theirs; then exec "$@"; fi
    mkdir -p "$run"
    exec 9>"$run/users"
    flock --shared 9
    start
    "$@" 9>&- || code=$?
    # The last one out stops it, unless it was started to stay or somebody's containers run in it.
    if [ ! -e "$run/stays" ] && flock --exclusive --nonblock 9 && [ -z "$(docker ps --quiet)" ]; then stop; fi
    exit "$code"
}

case ${1:-} in
    can) theirs || { problem=$(obstacle); [ -z "$problem" ] || { say "$problem"; exit 1; }; } ;;
    run) shift; run "$@" ;;
    start)
        if theirs; then say "docker answers already"; exit 0; fi
        start
        touch "$run/stays"
        echo "export DOCKER_HOST=$DOCKER_HOST DOCKER_CONFIG=$DOCKER_CONFIG PATH=$tools/bin:\$PATH" ;;
    stop) stop ;;
    *) sed -n '2,/^set/{/^set/d; s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
