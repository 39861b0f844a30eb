#!/usr/bin/env bash
# Fetches Chromium with what it needs and this machine lacks, once, and prints the path of a command that runs it.
# Nothing is installed outside the user's cache.
#
# It comes from Debian's signed archive, with fonts. FLEETLB_CHROMIUM=FILE uses another one instead.
set -euo pipefail
if [ -n "${FLEETLB_CHROMIUM:-}" ]; then echo "$FLEETLB_CHROMIUM"; exit 0; fi
here=$(cd "$(dirname "$0")" && pwd)
recipe=$(cat "$here/fetch.sh" "$here/../apt.sh" | sha256sum | cut -c1-16)
place=${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/chromium-$recipe
if [ -x "$place/chromium" ]; then echo "$place/chromium"; exit 0; fi

. "$here/../apt.sh"
needs_apt chromium FLEETLB_CHROMIUM=FILE
mkdir -p "$(dirname "$place")"
exec 9>"$place.lock"
flock 9
if [ -x "$place/chromium" ]; then echo "$place/chromium"; exit 0; fi
work=$(mktemp -d "$place.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir "$work/root"
release=$(own_release)
private_apt "$work/apt" /var/lib/dpkg/status "$release" "$release-security"
apt-get -qq update >&2
apt-get -qq -y --no-install-recommends --download-only install chromium fonts-inter fonts-dejavu-core >&2
unpack "$work/apt" "$work/root"
rm -rf "$work/apt"

# Libraries and fonts of its own come first, what the machine has comes after.
cat >"$work/fonts.conf" <<F
<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>$place/root/usr/share/fonts</dir><cachedir>$place/fonts</cachedir>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
F
libraries=$(cd "$work" && find root -name '*.so*' -printf '%h\n' | sort -u | grep -v lib/chromium | sed "s|^|$place/|" |
    paste -sd:)
cat >"$work/chromium" <<C
#!/bin/sh
LD_LIBRARY_PATH=$libraries FONTCONFIG_FILE=$place/fonts.conf exec "$place/root/usr/lib/chromium/chromium" "\$@"
C
chmod +x "$work/chromium"
mv "$work" "$place"
echo "$place/chromium"
