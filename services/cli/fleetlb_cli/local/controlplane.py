"""Find or build the control plane: etcd, kube-apiserver and kube-controller-manager as one cached binary.

A build takes minutes, so its result is kept by the hash of everything it depends on. This module must not know how the
parts are run (kubernetes.py does). A build needs the sources in `deploy/local/controlplane`, so `fleetlb local` needs
a checkout, unless FLEETLB_CONTROLPLANE or KUBEBUILDER_ASSETS names something built already.
"""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO

import msgspec

from fleetlb_cli.local import golang

PARTS = ("etcd", "kube-apiserver", "kube-controller-manager")
KUBERNETES_VERSION = "v1.36.3"
SETTINGS = ("CGO_ENABLED=0",)
"""Static: the binary needs no C compiler to build and no libc to run."""
_PACKAGE = "k8s.io/component-base/version"
FLAGS = (
    "-trimpath",
    "-ldflags",
    f"-s -w -X {_PACKAGE}.gitVersion={KUBERNETES_VERSION} -X {_PACKAGE}.gitMajor=1 -X {_PACKAGE}.gitMinor=36"
    f" -X {_PACKAGE}.gitTreeState=clean",
)

Report = Callable[[str], None]


class ControlPlaneError(Exception):
    """There is no control plane to run; the text says what to do."""


class ControlPlane(msgspec.Struct, frozen=True, kw_only=True):
    """How each part is called."""

    commands: dict[str, tuple[str, ...]]

    def command(self, part: str) -> tuple[str, ...]:
        """The first words of a part's command line."""
        return self.commands[part]

    def has(self, part: str) -> bool:
        """A folder of KUBEBUILDER_ASSETS may come without a kube-controller-manager."""
        return part in self.commands


def ensure(environ: Mapping[str, str], report: Report, source: Path | None = None) -> ControlPlane:
    """The control plane named by the environment, or the cached one, built now if need be."""
    given = provided(environ)
    if given is not None:
        return given
    source = source or source_folder()
    cache = cache_folder(environ)
    binary = cache / f"controlplane-{fingerprint(source)}"
    if not binary.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{binary.name}.lock").open("w") as lock:
            _wait_for(lock, report)
            if not binary.exists():
                _build(source, binary, environ, report)
    return single_binary(binary)


def provided(environ: Mapping[str, str]) -> ControlPlane | None:
    """What FLEETLB_CONTROLPLANE (one binary) or KUBEBUILDER_ASSETS (a folder) names."""
    if path := environ.get("FLEETLB_CONTROLPLANE"):
        if not os.access(path, os.X_OK) or not Path(path).is_file():
            raise ControlPlaneError(f"FLEETLB_CONTROLPLANE={path} is not an executable file")
        return single_binary(Path(path).absolute())
    if folder := environ.get("KUBEBUILDER_ASSETS"):
        found: dict[str, tuple[str, ...]] = {
            part: (str(Path(folder, part).absolute()),) for part in PARTS if os.access(Path(folder, part), os.X_OK)
        }
        missing = [part for part in PARTS[:2] if part not in found]
        if missing:
            raise ControlPlaneError(f"KUBEBUILDER_ASSETS={folder} holds no {' and no '.join(missing)}")
        return ControlPlane(commands=found)
    return None


def single_binary(binary: Path) -> ControlPlane:
    """A binary that takes the part's name as its first argument."""
    return ControlPlane(commands={part: (str(binary), part) for part in PARTS})


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where builds are kept: `$XDG_CACHE_HOME/fleetlb`, or `~/.cache/fleetlb`."""
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".cache")
    return Path(base) / "fleetlb"


def source_folder() -> Path:
    """`deploy/local/controlplane` of the checkout that this package is installed from."""
    for parent in Path(__file__).resolve().parents:
        folder = parent / "deploy" / "local" / "controlplane"
        if (folder / "go.mod").is_file():
            return folder
    raise ControlPlaneError(
        "deploy/local/controlplane was not found above this package: `fleetlb local` needs a checkout of fleetlb"
        " (pip install -e), or FLEETLB_CONTROLPLANE=/path/to/a/built/control-plane"
    )


def fingerprint(source: Path) -> str:
    """A hash over everything that the binary depends on."""
    digest = hashlib.sha256("\0".join((*SETTINGS, *FLAGS)).encode())
    for file in sorted(source.iterdir()):
        if file.suffix in {".go", ".mod", ".sum"}:
            digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _wait_for(lock: IO[str], report: Report) -> None:
    """Two builds at once would only slow each other."""
    try:
        flock(lock, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        report("another process is building the control plane; waiting for it")
        flock(lock, LOCK_EX)


def _build(source: Path, binary: Path, environ: Mapping[str, str], report: Report) -> None:
    """Build beside the goal, then rename: nobody ever sees half a binary."""
    try:
        go = golang.find(environ, cache_folder(environ), report)
    except golang.NoGoError as problem:
        raise ControlPlaneError(str(problem)) from problem
    unfinished = binary.with_name(f"{binary.name}.{os.getpid()}.tmp")
    log = binary.with_name(f"{binary.name}.build.log")
    settings = dict(item.split("=", 1) for item in SETTINGS)
    report(f"building the control plane {KUBERNETES_VERSION} with {go}; about 4 minutes on 2 cores, once")
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [go, "build", *FLAGS, "-o", str(unfinished), "."],
                cwd=source,
                env={**environ, **settings, "GOTOOLCHAIN": "local", "GOWORK": "off"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _watch(process, report)
        if process.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise ControlPlaneError(f"go build failed with exit code {process.returncode} (whole log: {log}):\n{tail}")
        unfinished.replace(binary)
    finally:
        unfinished.unlink(missing_ok=True)
    log.unlink()
    report(f"built {binary}")


def _watch(process: "subprocess.Popen[bytes]", report: Report, every: float = 10) -> None:
    """Say at least every ten seconds that it still goes on."""
    begun = time.monotonic()
    try:
        while True:
            try:
                process.wait(every)
                return
            except subprocess.TimeoutExpired:
                report(f"  still building, {time.monotonic() - begun:.0f} s so far")
    except BaseException:
        process.terminate()
        process.wait()
        raise
