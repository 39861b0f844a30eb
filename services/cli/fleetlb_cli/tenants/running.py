"""What each command of `fleetlb tenant` does, as an exit code. The only module of them that reads the environment."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from fleetlb.kube.cluster import Cluster
from fleetlb_cli.borrowing import run_until_signalled
from fleetlb_cli.paper_options import PaperOptions
from fleetlb_cli.tenants import changing, joining, leaving
from fleetlb_cli.tenants.connecting import NoKubeconfigError, find_kubeconfig, management
from fleetlb_cli.tenants.failures import Failed
from fleetlb_cli.tenants.joining import Choice
from fleetlb_cli.tenants.listing import as_table
from fleetlb_cli.tenants.looking import read_details, read_rows
from fleetlb_cli.tenants.manifests import trouble_with_url
from fleetlb_cli.tenants.showing import as_page
from fleetlb_cli.tenants.wishing import Grants, new_tenant

DONE, FAILED, USAGE = 0, 1, 2
Work = Callable[[Cluster], Awaitable[str]]


def create(kubeconfig: Path | None, name: str, grants: Grants, timeout: float) -> int:
    """Make it, and wait."""
    return _run(kubeconfig, lambda cluster: changing.create(cluster, new_tenant(name, grants), timeout))


def list_all(kubeconfig: Path | None, output: str) -> int:
    """A table, or JSON."""

    async def work(cluster: Cluster) -> str:
        rows = await read_rows(cluster)
        return as_table(rows) if output == "text" else _json(rows)

    return _run(kubeconfig, work)


def show(kubeconfig: Path | None, name: str, output: str) -> int:
    """A page, or JSON."""

    async def work(cluster: Cluster) -> str:
        details = await read_details(cluster, name)
        return as_page(details) if output == "text" else _json(details)

    return _run(kubeconfig, work)


def join(kubeconfig: Path | None, name: str, file: str, choice: Choice, papers: PaperOptions) -> int:
    """Write the manifest into `file`, once its inputs are found good."""
    try:
        trouble, taken = trouble_with_url(choice.nats_url), papers.read(choice.nats_url)
    except (ValueError, OSError) as problem:
        return fail(str(problem), USAGE)
    if trouble:
        return fail(trouble, USAGE)
    whole = msgspec.structs.replace(choice, papers=taken)
    return _run(kubeconfig, lambda cluster: joining.join(cluster, name, file, whole))


def suspend(kubeconfig: Path | None, name: str, timeout: float) -> int:
    """Cut its watchers."""
    return _run(kubeconfig, lambda cluster: changing.suspend(cluster, name, timeout))


def resume(kubeconfig: Path | None, name: str, timeout: float) -> int:
    """Let them come back."""
    return _run(kubeconfig, lambda cluster: changing.resume(cluster, name, timeout))


def rotate(kubeconfig: Path | None, name: str, notice: int | None, timeout: float) -> int:
    """Void its credentials after `notice` seconds; None: at once."""
    return _run(kubeconfig, lambda cluster: changing.rotate(cluster, name, notice, timeout))


def remove(kubeconfig: Path | None, name: str, *, confirmed: bool, wait: bool, seconds: float) -> int:
    """Remove it, and wait so long."""
    return _run(
        kubeconfig, lambda cluster: leaving.remove(cluster, name, confirmed=confirmed, wait=wait, seconds=seconds)
    )


def _run(kubeconfig: Path | None, work: Work) -> int:
    """Do something with the management cluster and print what is to be told."""
    try:
        path = find_kubeconfig(kubeconfig, os.environ)
    except NoKubeconfigError as problem:
        return fail(str(problem), USAGE)

    async def run() -> int:
        try:
            async with management(path) as cluster:
                print(await work(cluster), flush=True)
        except (Failed, OSError) as problem:  # the latter: nobody reads any more what is printed
            return fail(str(problem), FAILED)
        return DONE

    return run_until_signalled(run())


def fail(text: str, code: int) -> int:
    """Say on standard error what went wrong; returns the exit code."""
    print(f"error: {text}", file=sys.stderr, flush=True)
    return code


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
