#!/usr/bin/env bash
# Fetches Prometheus or its promtool, once, and prints the path of the binary. Nothing is installed outside the user's
# cache.
#
#   fetch.sh prometheus|promtool
#
# Both come in one package of Debian's signed archive. FLEETLB_PROMETHEUS=FILE and FLEETLB_PROMTOOL=FILE name others.
set -euo pipefail
program=${1:-}
case $program in
    prometheus) own=${FLEETLB_PROMETHEUS:-} ;;
    promtool) own=${FLEETLB_PROMTOOL:-} ;;
    *) echo "usage: fetch.sh prometheus|promtool" >&2; exit 2 ;;
esac
if [ -n "$own" ]; then echo "$own"; exit 0; fi
recipe=$(sha256sum "$0" | cut -c1-16)
place=${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/prometheus-$recipe
if [ -d "$place" ]; then echo "$place/$program"; exit 0; fi

for needed in apt-get dpkg-deb; do
    command -v "$needed" >/dev/null ||
        { echo "$program: needs $needed: fetch it on Debian, or give FLEETLB_${program^^}=FILE" >&2; exit 1; }
done
mkdir -p "$(dirname "$place")"
exec 9>"$place.lock"
flock 9
if [ -d "$place" ]; then echo "$place/$program"; exit 0; fi
work=$(mktemp -d "$place.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A private apt, which needs no rights and finds what it needs on a host whose own has no lists.
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
mkdir -p "$work"/apt/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d} "$work/debs"
echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} $release main" >"$work/apt/etc/sources.list"
cat >"$work/apt/apt.conf" <<A
Dir::Etc "$work/apt/etc"; Dir::Etc::sourcelist "$work/apt/etc/sources.list"; Dir::Etc::sourceparts "-";
Dir::State::lists "$work/apt/lists"; Dir::State::status "/var/lib/dpkg/status"; Dir::Cache "$work/apt/cache";
Acquire::Languages "none"; APT::Sandbox::User "$(id -un)";
A
export APT_CONFIG=$work/apt/apt.conf
apt-get -qq update >&2
(cd "$work/debs" && apt-get -qq download prometheus >&2)
dpkg-deb --fsys-tarfile "$work"/debs/prometheus_*.deb |
    tar -x -C "$work" ./usr/bin/prometheus ./usr/bin/promtool
mv "$work/usr/bin" "$place"
echo "$place/$program"
