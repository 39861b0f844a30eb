#!/usr/bin/env bash
# Makes an image to build ours on where no registry of images is to be had: Debian's Python and the libraries it needs,
# without shell, package manager or Perl. Prints the name of the image.
#
#   base.sh             the base image, in the engine that docker speaks to
#   base.sh nftables    prints a folder with nft and its libraries, for the node on IPVS
#
# BASE_IMAGE=NAME uses another image and makes none.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
what=${1:-base}
if [ "$what" = base ] && [ -n "${BASE_IMAGE:-}" ]; then echo "$BASE_IMAGE"; exit 0; fi
release=bookworm
case $what in
    base) packages="python3 python3-venv ca-certificates netbase tzdata base-files libc-bin libstdc++6" ;;
    nftables) packages=nftables ;;
    *) echo "usage: base.sh [nftables]" >&2; exit 2 ;;
esac
recipe=$(cat "$here/base.sh" "$here/../apt.sh" | sha256sum | cut -c1-16)
place=${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/$what-$recipe
image=fleetlb/base:py3.11-$release-$recipe

. "$here/../apt.sh"
make_root() {
    needs_apt "$what"
    mkdir -p "$(dirname "$place")"
    exec 9>"$place.lock"
    flock 9
    [ ! -d "$place" ] || return 0
    work=$(mktemp -d "$place.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work"/root
    : >"$work/nothing-installed"
    private_apt "$work/apt" "$work/nothing-installed" "$release"
    apt-get -qq update >&2
    # shellcheck disable=SC2086
    apt-get -qq -y --no-install-recommends --download-only install $packages >&2
    # One name for each folder, as on any Debian; no package makes the links in this release.
    for folder in bin sbin lib lib64; do mkdir -p "$work/root/usr/$folder"; ln -s "usr/$folder" "$work/root/$folder"; done
    unpack "$work/apt" "$work/root"
    "slim_$what" "$work/root"
    chmod 755 "$work/root"
    rm -rf "$work/apt" "$work/nothing-installed"
    mv "$work" "$place"
}

slim_base() { # ROOT
    local root=$1
    find "$root/usr/share" -mindepth 1 -maxdepth 1 ! -name ca-certificates ! -name zoneinfo ! -name doc -exec rm -rf {} +
    find "$root/usr/share/doc" \( -type f -o -type l \) ! -name copyright -delete
    find "$root" -depth -type d \( -name __pycache__ -o -name gconv -o -path '*/usr/lib/mime' \) -exec rm -rf {} +
    # What a process that only serves never runs: whoever breaks in finds no tools.
    find "$root/usr/bin" "$root/usr/sbin" ! -type d ! -name 'python3*' ! -name ldconfig -delete
    rm -rf "$root"/usr/lib/python3.11/{test,idlelib,lib2to3,pydoc_data,tkinter,turtledemo} "$root/usr/lib/systemd" \
        "$root/var/lib/dpkg" "$root/usr/share/zoneinfo/right"
    cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
    printf 'root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    mkdir -p "$root"/{dev,proc,sys,root,run,tmp,var/lib} && chmod 1777 "$root/tmp" && chmod 700 "$root/root"
}

slim_nftables() { # ROOT: nft alone, as an addition to the base
    local root=$1
    find "$root" \( -type f -o -type l \) ! -path '*/sbin/nft' ! -name 'libnftables.so*' ! -name 'libnftnl.so*' \
        ! -name 'libmnl.so*' ! -name 'libjansson.so*' ! -name 'libgmp.so*' ! -name 'libedit.so*' ! -name 'libbsd.so*' \
        ! -name 'libmd.so*' ! -name 'libtinfo.so*' ! -name 'libxtables.so*' -delete
    rm -f "$root"/{bin,sbin,lib,lib64}
    find "$root" -depth -mindepth 1 -type d -empty -delete
}

[ -d "$place/root" ] || make_root
if [ "$what" = nftables ]; then echo "$place/root"; exit 0; fi
docker image inspect "$image" >/dev/null 2>&1 ||
    tar -C "$place/root" --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 -c . |
    docker import --change 'ENV LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'CMD ["python3"]' - "$image" >/dev/null
echo "$image"
