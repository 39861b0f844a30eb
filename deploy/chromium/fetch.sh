#!/usr/bin/env bash
# Fetches Chromium with what it needs and this machine lacks, once, and prints the path of a command that runs it.
# Nothing is installed outside the user's cache.
#
# It comes from Debian's signed archive, with fonts. FLEETLB_CHROMIUM=FILE uses another one instead.
set -euo pipefail
if [ -n "${FLEETLB_CHROMIUM:-}" ]; then echo "$FLEETLB_CHROMIUM"; exit 0; fi
recipe=$(sha256sum "$0" | cut -c1-16)
place=${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/chromium-$recipe
if [ -x "$place/chromium" ]; then echo "$place/chromium"; exit 0; fi

for program in apt-get dpkg-deb; do
    command -v "$program" >/dev/null ||
        { echo "chromium: needs $program: fetch it on Debian, or give FLEETLB_CHROMIUM=FILE" >&2; exit 1; }
done
mkdir -p "$(dirname "$place")"
exec 9>"$place.lock"
flock 9
if [ -x "$place/chromium" ]; then echo "$place/chromium"; exit 0; fi
work=$(mktemp -d "$place.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A private apt, which needs no rights and finds what it needs on a host whose own has no lists.
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
mkdir -p "$work"/apt/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d} "$work/root"
for suite in "${mirror:-http://deb.debian.org/debian} $release" \
    "$(echo "${mirror:-http://deb.debian.org/debian}" | sed 's/debian$/debian-security/') $release-security"; do
    echo "deb [signed-by=$keys] $suite main" >>"$work/apt/etc/sources.list"
done
cat >"$work/apt/apt.conf" <<A
Dir::Etc "$work/apt/etc"; Dir::Etc::sourcelist "$work/apt/etc/sources.list"; Dir::Etc::sourceparts "-";
Dir::State::lists "$work/apt/lists"; Dir::State::status "/var/lib/dpkg/status"; Dir::Cache "$work/apt/cache";
Acquire::Languages "none"; APT::Sandbox::User "$(id -un)"; Debug::NoLocking "1";
A
export APT_CONFIG=$work/apt/apt.conf
apt-get -qq update >&2
apt-get -qq -y --no-install-recommends --download-only install chromium fonts-inter fonts-dejavu-core >&2
for package in "$work"/apt/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work/root" --exclude ./usr/share/doc --exclude ./usr/share/man
done
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
