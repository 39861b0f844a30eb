#!/usr/bin/env bash
# Shows that compose.yaml is a working fleet: starts it, makes a Service, waits for Serving=True, sends a packet through its
# address, and takes everything down again, also after a failure. KEEP=1 leaves it running.
set -euo pipefail
cd "$(dirname "$0")/../.."
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-fleetlb}
finish() {
    code=$?
    [ "$code" = 0 ] || docker compose logs --tail 20 >&2
    [ -n "${KEEP:-}" ] || docker compose --profile '*' down --volumes --timeout 5
    exit "$code"
}
trap finish EXIT
begun=$(date +%s)
docker compose up --wait
echo "the fleet is up after $(($(date +%s) - begun)) s"
docker compose --profile demo up --detach backend
docker compose --profile demo run --rm --no-deps --no-TTY demo
docker compose --profile tools run --rm --no-deps --no-TTY fleetlb status
