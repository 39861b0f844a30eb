"""The page's own files, kept in memory: a handful, small, the same for everybody."""

import hashlib
from importlib.resources import files
from typing import NamedTuple

TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


class File(NamedTuple):
    """One file as it is served."""

    body: bytes
    type: str
    etag: str


def page_files() -> dict[str, File]:
    """Every file of the page by its name; what is of no known type is none of it."""
    found = {}
    for entry in files("fleetlb_status.ui").joinpath("static").iterdir():
        kind = TYPES.get(entry.name.rpartition(".")[2])
        if kind:
            body = entry.read_bytes()
            found[entry.name] = File(body, kind, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    return found
