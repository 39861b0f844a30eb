#!/usr/bin/env bash
# Fetches a container engine, once, and prints the folder it is in. Nothing is installed outside the user's cache.
#
#   install.sh          dockerd, docker with its plugins buildx and compose, containerd, runc, iptables
#
# All of it comes from Debian's signed archive: the engine of trixie, which also runs on bookworm, and the rest of the
# host's own release.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
recipe=$(cat "$here/install.sh" "$here/../apt.sh" | sha256sum | cut -c1-16)
place=${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/engine-$recipe
if [ -d "$place" ]; then echo "$place"; exit 0; fi

. "$here/../apt.sh"
needs_apt engine
mkdir -p "$(dirname "$place")"
exec 9>"$place.lock"
flock 9
if [ -d "$place" ]; then echo "$place"; exit 0; fi
work=$(mktemp -d "$place.XXXXXX")
trap 'rm -rf "$work"' EXIT

own=$(own_release)
private_apt "$work/apt" /var/lib/dpkg/status "$own" trixie
# trixie's runc and iptables need a newer libc than bookworm has.
printf 'Package: *\nPin: release n=%s*\nPin-Priority: 990\n\nPackage: *\nPin: release n=trixie\nPin-Priority: 100\n' "$own" \
    >"$work/apt/etc/preferences.d/own-release-first"
apt-get -qq update >&2
apt-get -qq -y --no-install-recommends --download-only --reinstall install runc iptables nftables libseccomp2 libmnl0 \
    libnftnl11 libxtables12 libip4tc2 libip6tc2 libnetfilter-conntrack3 libnfnetlink0 libdevmapper1.02.1 kmod \
    docker.io/trixie docker-cli/trixie docker-compose/trixie docker-buildx/trixie containerd/trixie >&2
mkdir "$work/root"
unpack "$work/apt" "$work/root"

# Its own programs and libraries come first, what the machine has comes after.
mkdir -p "$work/config/cli-plugins"
find "$work/root/usr/libexec/docker" "$work/root/usr/lib/docker" -path '*cli-plugins/docker-*' \
    -exec mv -t "$work/config/cli-plugins" {} + 2>/dev/null || true
libraries=$(cd "$work" && find root \( -name '*.so' -o -name '*.so.*' \) -printf '%h\n' | sort -u | grep -v xtables | sed "s|^|$place/|" | paste -sd:)
modules=$(cd "$work" && find root -type d -name xtables | head -n 1)
cat >"$work/engine.env" <<E
export PATH=$place/root/usr/sbin:$place/root/usr/bin:$place/root/sbin:$place/root/bin:\$PATH
export LD_LIBRARY_PATH=$libraries XTABLES_LIBDIR=$place/$modules
E
mkdir "$work/bin"
ln -s "$place/root/usr/bin/docker" "$work/bin/docker"
# Debian chooses between these two by update-alternatives.
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "$work/root/usr/sbin/$name" 2>/dev/null || true
done
rm -rf "$work/apt"
mv "$work" "$place"
echo "$place"
