"""The way to the management cluster: which kubeconfig, and what its API server's refusals mean to a reader."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import ApiError
from fleetlb.kube.kubeconfig import KubeconfigUnusable
from fleetlb_cli.tenants.failures import Failed, sentence_of

FIELD_MANAGER = "fleetlb-tenant"


class NoKubeconfigError(Exception):
    """Nobody has said where the management cluster is."""


def find_kubeconfig(given: Path | None, environ: Mapping[str, str]) -> Path:
    """--kubeconfig, else $KUBECONFIG, else ~/.kube/config. Raises NoKubeconfigError."""
    named, home = environ.get("KUBECONFIG", ""), Path(environ.get("HOME", "/")) / ".kube" / "config"
    cure = "name the management cluster's with --kubeconfig"
    if given is None and os.pathsep in named:
        raise NoKubeconfigError(f"$KUBECONFIG names several files: {cure}")
    found = given or (Path(named) if named else home)
    if found.is_file():
        return found
    if given is not None:
        raise NoKubeconfigError(f"there is no file {found}: {cure}")
    here = f"is {named}, and there is no such file" if named else f"is not set, and there is no file {home}"
    raise NoKubeconfigError(f"$KUBECONFIG {here}: {cure}")


@asynccontextmanager
async def management(kubeconfig: Path) -> AsyncIterator[Cluster]:
    """A connection for the time of a block. Raises Failed for whatever the API server refuses within."""
    try:
        cluster = await Cluster.connect(kubeconfig, field_manager=FIELD_MANAGER)
    except KubeconfigUnusable as problem:
        raise Failed(str(problem)) from problem
    try:
        yield cluster
    except ApiError as problem:
        raise Failed(sentence_of(problem, kubeconfig)) from problem
    except KubeconfigUnusable as problem:
        raise Failed(str(problem)) from problem
    finally:
        await cluster.close()
