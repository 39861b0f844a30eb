#!/usr/bin/env bash
# Makes an image of a Debian machine with systemd and nothing of ours: what docs/install.md begins with, for its test.
# Prints the name of the image, in the engine that docker speaks to.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
release=bookworm
packages=systemd,systemd-sysv,iproute2,kmod,python3,python3-venv,ca-certificates
recipe=$(cat "$here/debian.sh" "$here/../apt.sh" | sha256sum | cut -c1-16)
place=${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/debian-$recipe.tar
image=fleetlb/debian-machine:$release-$recipe

. "$here/../apt.sh"
make_tar() {
    needs_apt debian
    mkdir -p "$(dirname "$place")"
    exec 9>"$place.lock"
    flock 9
    [ ! -e "$place" ] || return 0
    work=$(mktemp -d "$place.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    : >"$work/nothing-installed"
    private_apt "$work/apt" "$work/nothing-installed" "$(own_release)"
    apt-get -qq update >&2
    (cd "$work" && apt-get -qq download mmdebstrap >&2)
    mkdir "$work/tools" && dpkg-deb -x "$work"/mmdebstrap_*.deb "$work/tools"
    private_apt "$work/apt-$release" "$work/nothing-installed" "$release"
    local source
    source=$(cat "$work/apt-$release/etc/sources.list")
    env -u APT_CONFIG PATH="$work/tools/usr/bin:$PATH" mmdebstrap --mode=root --variant=minbase --quiet --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook='rm -rf "$1"/etc/apt/sources.list "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*' \
        "$release" "$work/machine.tar" "$source" >&2
    mv "$work/machine.tar" "$place"
}

docker image inspect "$image" >/dev/null 2>&1 || {
    [ -e "$place" ] || make_tar
    docker import --change 'CMD ["/lib/systemd/systemd"]' --change 'STOPSIGNAL SIGRTMIN+3' "$place" "$image" >/dev/null
}
echo "$image"
