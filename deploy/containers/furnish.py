"""Fills the virtual environment of an image from wheels, with no network; runs while the image is built.

    furnish.py REQUIREMENTS     what the requirement file of that name in /wheels asks for
    furnish.py                  fleetlb, from its wheel in /own

The environment is /opt/fleetlb; it gets no pip, and its modules are compiled here, for its file system is read-only
later. Standard library only.
"""

import compileall
import py_compile
import re
import subprocess
import sys
import venv
from pathlib import Path

WHEELS, OWN = Path("/wheels"), Path("/own")
PLACE = Path("/opt/fleetlb")
_NEVER_IMPORTED = re.compile(r"/kubernetes_asyncio/client/(api|models)/|/(tests?|testing|testkit)/")
"""Compiled, they would be a quarter of an image."""


def main() -> int:
    """Install, then compile."""
    if not PLACE.exists():
        venv.create(PLACE, with_pip=False, symlinks=True)
    wanted = pinned((WHEELS / sys.argv[1]).read_text()) if sys.argv[1:] else [str(only(OWN, "fleetlb-*.whl"))]
    pip = f"{only(WHEELS, 'pip-*.whl')}/pip"
    options = ("--quiet", "--disable-pip-version-check")
    # Hashes were checked when the wheels were fetched; one that was made of sources has none in the lock.
    sources = ("--no-index", "--no-deps", "--no-compile", "--root-user-action=ignore", f"--find-links={WHEELS}")
    command = [str(PLACE / "bin" / "python"), pip, *options, "install", *sources, *wanted]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(PLACE / "lib", quiet=1, rx=_NEVER_IMPORTED, invalidation_mode=mode)
    return code


def pinned(text: str) -> list[str]:
    """Names with versions of a requirement file."""
    return [line.split()[0] for line in text.splitlines() if re.match(r"\w", line)]


def only(folder: Path, pattern: str) -> Path:
    """The one file of that name."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"furnish: build/containers{folder} holds {len(found)} of {pattern}, not 1: run `make images`")
    return found[0]


if __name__ == "__main__":
    sys.exit(main())
