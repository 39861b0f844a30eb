#!/usr/bin/env bash
# Builds the images, in the engine that docker speaks to: all of them, or those that are named.
#
#   build.sh [TARGET...]     targets of deploy/Dockerfile; `bills` writes build/containers/bills
#
#   IMAGE_PREFIX=fleetlb     images are PREFIX/TARGET:VERSION
#   BASE_IMAGE=NAME          what they are built on; without it, deploy/containers/base.sh makes it
set -euo pipefail
cd "$(dirname "$0")/../.."
python=.venv/bin/python
place=build/containers
: "${IMAGE_PREFIX:=fleetlb}"
services=(tenant-watcher manager dataplane-programmer status cli)
[ $# -gt 0 ] || set -- "${services[@]}" bootstrap nats envoy control-plane bills

say() { echo "images: $*" >&2; }

fetch() { # every wheel, once per lock: by pip as it is set up here, checked against the lock's hashes
    local mark wheels=$place/wheels
    mark=$place/.fetched-$(cat requirements.lock pyproject.toml deploy/containers/{requirements.py,pip.txt,build.sh} |
        sha256sum | cut -c1-16)
    [ ! -e "$mark" ] || return 0
    say "fetching wheels"
    rm -rf "$place" && mkdir -p "$wheels"
    $python deploy/containers/requirements.py "$wheels"
    download -r "$wheels/all.txt" --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
        --platform manylinux_2_34_x86_64 --platform manylinux_2_31_x86_64 --platform manylinux_2_28_x86_64 \
        --platform manylinux_2_26_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --platform manylinux1_x86_64 --platform any
    for sources in "$wheels"/*.tar.gz; do
        [ -e "$sources" ] || continue
        $python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir "$wheels" "$sources"
        rm "$sources"
    done
    download -r deploy/containers/pip.txt
    touch "$mark"
}

download() {
    $python -m pip --disable-pip-version-check download --quiet --dest "$place/wheels" --no-deps --require-hashes "$@"
}

control_plane() { # the path of the one that `make setup` has built, or that the environment names
    $python -c 'import os, sys
from fleetlb_cli.local import controlplane
report = lambda text: print(f"images: {text}", file=sys.stderr)
print(controlplane.ensure(os.environ, report).command("etcd")[0])'
}

fetch
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
CREATED=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
VERSION=$($python -c 'import fleetlb; print(fleetlb.__version__)')
export IMAGE_PREFIX SOURCE_DATE_EPOCH REVISION CREATED VERSION
if [ -z "${BASE_IMAGE:-}" ]; then NFTABLES=$(deploy/containers/base.sh nftables); export NFTABLES; fi
BASE_IMAGE=$(deploy/containers/base.sh)
export BASE_IMAGE
rm -rf "$place/own" "$place/bills"
$python deploy/containers/wheel.py "$place/own" >/dev/null
case " $* " in
    *" control-plane "*) cp --update "$(control_plane)" "$place/controlplane" ;;
esac
say "building $*"
docker buildx bake --file deploy/containers/bake.hcl --progress "${BUILDKIT_PROGRESS:-quiet}" "$@" >/dev/null
