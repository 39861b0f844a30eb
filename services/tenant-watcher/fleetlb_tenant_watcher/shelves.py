"""Where renewed credentials are kept: in the file that they are read from, or in the Secret that it is mounted from."""

import asyncio
import base64
import os
from pathlib import Path

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_KEY
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.resources import SECRETS


class FileShelf:
    """A file of credentials, for a watcher outside of a cluster."""

    def __init__(self, path: Path) -> None:
        """Readable by its owner alone."""
        self._path = path

    async def keep(self, text: str) -> None:
        """Replace the file; readers see the old credentials or the new. Raises OSError."""
        await asyncio.to_thread(self._replace, text)

    def _replace(self, text: str) -> None:
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        finally:
            unfinished.unlink(missing_ok=True)


class SecretShelf:
    """A Secret of the tenant's cluster, which a kubelet mounts as the file."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        """Its key is that of the file."""
        self._cluster = cluster
        self._namespace = namespace
        self._name = name

    async def keep(self, text: str) -> None:
        """Patch the Secret. Raises ApiError."""
        body = {"data": {WATCHER_CREDENTIALS_KEY: base64.b64encode(text.encode()).decode()}}
        await self._cluster.patch(SECRETS, self._name, body, kind=PatchKind.MERGE, namespace=self._namespace)
