"""Writes a dump: a compressed archive for its owner's eyes alone, which is there whole or not at all."""

import io
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetlb_cli.sysdump.parts import File
from fleetlb_cli.sysdump.secrecy import Secrecy


class Archive:
    """An archive that is being written. Nothing gets in but through `Secrecy`."""

    def __init__(self, tar: tarfile.TarFile, folder: str, secrecy: Secrecy) -> None:
        """Use `archive`."""
        self._tar = tar
        self._folder = folder
        self._secrecy = secrecy

    def add(self, file: File) -> None:
        """One file more."""
        content = self._secrecy.clean(file.content)
        info = tarfile.TarInfo(f"{self._folder}/{file.path}")
        info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
        self._tar.addfile(info, io.BytesIO(content))


@contextmanager
def archive(path: Path, secrecy: Secrecy) -> Iterator[Archive]:
    """Write to a path; whoever stands there is replaced at the end of the block. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600, exist_ok=False)
    try:
        with tarfile.open(unfinished, "w:gz") as tar:
            yield Archive(tar, path.name.removesuffix(".gz").removesuffix(".tar"), secrecy)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
