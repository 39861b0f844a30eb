#!/usr/bin/env bash
# Builds Helm, once, and prints the path of the binary. Nothing is installed outside the user's cache.
#
# Helm comes as Go modules whose sums stand in engine/go.sum; about two minutes on two cores. FLEETLB_HELM=FILE names
# another one. Go comes from PATH, or is fetched as `fleetlb local` does it.
set -euo pipefail
if [ -n "${FLEETLB_HELM:-}" ]; then echo "$FLEETLB_HELM"; exit 0; fi
here=$(cd "$(dirname "$0")" && pwd)
version=$(awk '$1 == "helm.sh/helm/v3" {print $2}' "$here/engine/go.mod")
recipe=$(cat "$0" "$here/engine/go.mod" "$here/engine/go.sum" | sha256sum | cut -c1-16)
place=${XDG_CACHE_HOME:-$HOME/.cache}/fleetlb/helm-$recipe
if [ -x "$place" ]; then echo "$place"; exit 0; fi

mkdir -p "$(dirname "$place")"
exec 9>"$place.lock"
flock 9
if [ -x "$place" ]; then echo "$place"; exit 0; fi
python=$here/../../.venv/bin/python
[ -x "$python" ] || python=python3
go=$("$python" - <<'P'
import os, sys
from fleetlb_cli.local import controlplane, golang
print(golang.find(os.environ, controlplane.cache_folder(os.environ), lambda text: print(text, file=sys.stderr)))
P
)
echo "building Helm $version with $go; about two minutes, once" >&2
# What a release sets: without, it takes itself for v3 of an unknown Kubernetes, 1.20.
module=helm.sh/helm/v3
set_versions="-X $module/internal/version.version=$version -X $module/internal/version.gitTreeState=clean"
for package in pkg/lint/rules pkg/chartutil; do
    set_versions="$set_versions -X $module/$package.k8sVersionMajor=1 -X $module/$package.k8sVersionMinor=36"
done
work=$place.$$
trap 'rm -f "$work"' EXIT
(cd "$here/engine" && CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off \
    "$go" build -mod=readonly -trimpath -ldflags "-s -w $set_versions" -o "$work" $module/cmd/helm) >&2
mv "$work" "$place"
echo "$place"
