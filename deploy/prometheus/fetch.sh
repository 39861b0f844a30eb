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
here=$(cd "$(dirname "$0")" && pwd)
recipe=$(cat "$here/fetch.sh" "$here/../apt.sh" | sha256sum | cut -c1-16)
place=${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/prometheus-$recipe
if [ -d "$place" ]; then echo "$place/$program"; exit 0; fi

. "$here/../apt.sh"
needs_apt "$program" "FLEETLB_${program^^}=FILE"
mkdir -p "$(dirname "$place")"
exec 9>"$place.lock"
flock 9
if [ -d "$place" ]; then echo "$place/$program"; exit 0; fi
work=$(mktemp -d "$place.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir "$work/debs"
private_apt "$work/apt" /var/lib/dpkg/status "$(own_release)"
apt-get -qq update >&2
(cd "$work/debs" && apt-get -qq download prometheus >&2)
dpkg-deb --fsys-tarfile "$work"/debs/prometheus_*.deb |
    tar -x -C "$work" ./usr/bin/prometheus ./usr/bin/promtool
mv "$work/usr/bin" "$place"
echo "$place/$program"
