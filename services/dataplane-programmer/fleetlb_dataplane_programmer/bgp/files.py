"""Files that BIRD includes: whole or not at all, and readable by the group of their directory."""

import contextlib
import os
import pathlib

_MODE = 0o640
"""They may hold passwords; BIRD reads them by its group."""


def read_text(path: pathlib.Path) -> str | None:
    """What a file holds; None if there is none. Raises OSError."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def write_text(path: pathlib.Path, text: str | None) -> None:
    """Replace a file, or remove it. Raises OSError; the file is then as it was."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_name(f".{path.name}.new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE), "w") as file:
            _give_to_group_of(path.parent, file.fileno())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def outlives_reboot(directory: pathlib.Path, mounts: str) -> bool:
    """Whether what is in a directory is still there after a reboot. `mounts`: what /proc/self/mounts says."""
    kind, longest = "", -1
    for fields in map(str.split, mounts.splitlines()):
        point = pathlib.PurePath(fields[1])
        if directory.is_relative_to(point) and len(point.parts) >= longest:  # a later one hides an earlier one
            kind, longest = fields[2], len(point.parts)
    return kind not in ("tmpfs", "ramfs")


def _give_to_group_of(directory: pathlib.Path, descriptor: int) -> None:
    """Who may not do that has the right group already, or is told by BIRD that it cannot read."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, -1, directory.stat().st_gid)
    os.fchmod(descriptor, _MODE)
