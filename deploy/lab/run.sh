#!/usr/bin/env bash
# run.sh COMMAND...: runs a command as root of a kernel of its own that has IPVS, here, with this host's files read-only.
# Its output and exit status are the command's. Writable there: /run, /dev/shm, /var/tmp, /mnt, TMPDIR; what is left in
# /run/out/keep is copied to LAB_KEEP. LAB_MEMORY (2G), LAB_CPUS (2) and LAB_SECONDS (1200) bound it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lab=$("$here/build.sh")
scratch=$(mktemp -d "${LAB_SCRATCH:-/dev/shm}/fleetlb-lab.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{memory,sockets,out/keep}
out=$scratch/out
{
    echo "export LD_LIBRARY_PATH=$lab/tools/usr/lib/$(gcc -print-multiarch):$lab/tools/lib/$(gcc -print-multiarch)"
    echo "export XTABLES_LIBDIR=$lab/tools/usr/lib/$(gcc -print-multiarch)/xtables"
    echo "export HOME=$(printf %q "$HOME") TMPDIR=/run/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1"
    for name in CI FLEETLB_CONTROLPLANE KUBEBUILDER_ASSETS PYTEST_ADDOPTS XDG_CACHE_HOME; do
        [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
    done
    printf '%q ' "$@"
    echo
} >"$out/command"
: >"$out/log"
tail -n +1 -F "$out/log" --pid=$$ 2>/dev/null &
tail=$!
TMPDIR=$scratch/memory timeout -k 5 "${LAB_SECONDS:-1200}" "$lab/linux" \
    "mem=${LAB_MEMORY:-2G}" "ncpus=${LAB_CPUS:-2}" ${LAB_KERNEL_ARGUMENTS:-seccomp=on} umid=lab "uml_dir=$scratch/sockets/" \
    root=/dev/root rootfstype=hostfs rootflags=/ ro quiet con=null con0=null,fd:1 con1=null ssl=null \
    "init=$here/init.sh" "LAB=$lab" "OUT=$out" "DIR=$PWD" </dev/null >"$scratch/console" 2>&1 || true
if [ -s "$out/status" ]; then
    status=$(cat "$out/status")
else
    status=98
    tail -n 20 "$scratch/console" >&2
    echo "lab: the kernel ended, or was ended after ${LAB_SECONDS:-1200} s, before the command" >&2
fi
sleep 0.3
kill "$tail" 2>/dev/null || true
wait "$tail" 2>/dev/null || true
if [ -n "${LAB_KEEP:-}" ]; then mkdir -p "$LAB_KEEP" && cp -r "$out/keep/." "$LAB_KEEP/"; fi
exit "$status"
