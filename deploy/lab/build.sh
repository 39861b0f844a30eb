#!/usr/bin/env bash
# Builds what the lab needs, once, and prints the folder it is in: a User-Mode Linux kernel with IPVS (about 6 minutes
# on two cores) and the tools of the tests (ipvsadm, nft, iptables, bird). Nothing is installed outside that folder.
#
# Everything comes from Debian's signed archive. FLEETLB_LAB=FOLDER uses a finished folder instead.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
recipe=$(cat "$here/build.sh" "$here/../apt.sh" "$here/kernel.config" | sha256sum | cut -c1-16)
lab=${FLEETLB_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/lab-$recipe}
if [ -x "$lab/linux" ] && [ -d "$lab/tools" ]; then echo "$lab"; exit 0; fi
[ -z "${FLEETLB_LAB:-}" ] || { echo "FLEETLB_LAB=$lab holds no lab: it needs linux and tools/" >&2; exit 1; }

say() { echo "lab: $*" >&2; }
for program in gcc make; do
    command -v "$program" >/dev/null || { say "needs $program: build it on Debian, or give FLEETLB_LAB=FOLDER"; exit 1; }
done
mkdir -p "$(dirname "$lab")"
exec 9>"$lab.lock"
flock 9
if [ -x "$lab/linux" ]; then echo "$lab"; exit 0; fi
work=$(mktemp -d "$lab.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The host's own suite for tools, trixie-backports for a kernel of 7.2 or newer. Kernels before that die on CPUs with AMX.
. "$here/../apt.sh"
needs_apt lab FLEETLB_LAB=FOLDER
release=$(own_release)
mkdir "$work"/{debs,tools,make}
private_apt "$work/apt" /var/lib/dpkg/status "$release" trixie-backports
echo "APT::Default-Release \"$release\";" >>"$APT_CONFIG"
apt-get -qq update >&2
fetch() { (cd "$work/debs" && rm -f ./*.deb && apt-get -qq download "$@" >&2); }

say "fetching tools"
fetch ipvsadm libnl-3-200 libnl-genl-3-200 libpopt0 nftables libnftables1 libnftnl11 libmnl0 libjansson4 libedit2 \
    libbsd0 libmd0 iptables libxtables12 libip4tc2 libip6tc2 libnetfilter-conntrack3 libnfnetlink0 \
    bird2 libreadline8 libssh-gcrypt-4
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/tools"; done
fetch flex bison m4 libsigsegv2 bc
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/make"; done

source=$(apt-cache pkgnames linux-source- | grep -E '^linux-source-(7\.[2-9]|7\.[1-9][0-9]+|[89]\.|[1-9][0-9])' | sort -V | head -n 1)
[ -n "$source" ] || { say "Debian's archive at $(debian_mirror) has no linux-source of 7.2 or newer"; exit 1; }
say "fetching $source"
fetch "$source"
dpkg-deb --fsys-tarfile "$work"/debs/linux-source-*.deb | tar -x -C "$work" --wildcards './usr/src/*.tar.xz'
mkdir "$work/src"
tar -xf "$work"/usr/src/*.tar.xz -C "$work/src" --strip-components 1

say "building the kernel, on ${LAB_JOBS:=2} cores"
libs=$work/make/usr/lib/$(gcc -print-multiarch)
export PATH=$work/make/usr/bin:$PATH M4=$work/make/usr/bin/m4 BISON_PKGDATADIR=$work/make/usr/share/bison
kmake() { LD_LIBRARY_PATH=$libs make -C "$work/src" ARCH=um SUBARCH=x86_64 "$@" >>"$work/make.log" 2>&1 || { tail -n 40 "$work/make.log" >&2; exit 1; }; }
kmake defconfig
(cd "$work/src" && LD_LIBRARY_PATH=$libs scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" >>"$work/make.log")
kmake olddefconfig
missing=$(grep -E '=y$' "$here/kernel.config" | grep -vxFf "$work/src/.config" || true)
[ -z "$missing" ] || { say "this kernel cannot have:" $missing; exit 1; }
kmake "-j$LAB_JOBS" linux
strip -o "$work/linux" "$work/src/linux"
"$work/linux" --version >"$work/version"

mkdir "$work/lab"
mv "$work/linux" "$work/tools" "$work/version" "$work/lab/"
rm -rf "$lab" && mv "$work/lab" "$lab"
say "kernel $(cat "$lab/version") is ready"
echo "$lab"
