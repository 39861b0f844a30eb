"""Writing what a host needs to be a balancer node."""

import shlex
import time
from pathlib import Path

from fleetlb.contracts import subjects
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.nats_accounts import public_key
from fleetlb.runtime.nats_permissions import node_permissions
from fleetlb_cli.hub import minting
from fleetlb_cli.hub.keeping import read_seeds
from fleetlb_cli.local.layout import replace_file
from fleetlb_cli.node.files import HostFile, NodeWish, host_files, units
from fleetlb_cli.node.host_options import HTTP_ADDRESSES, HostOptions
from fleetlb_cli.paper_options import PaperOptions
from fleetlb_cli.tenants.manifests import trouble_with_url
from fleetlb_cli.whereabouts import USAGE, WELL, complain


def run(
    name: str, group: str, host: HostOptions, nats_url: str, keys: Path, papers: PaperOptions, into: Path | None
) -> int:
    """Write all that is not there yet, and say what comes next; returns the exit code."""
    try:
        wish = _wish(name, group, host, nats_url, keys, papers)
    except (FleetlbError, ValueError, OSError) as problem:
        return complain(str(problem), USAGE)
    root = into or Path(name)
    try:
        written = [file for file in host_files(wish) if _write(root, file)]
    except OSError as problem:
        return complain(f"{problem.filename} cannot be written: {problem.strerror}", USAGE)
    print(*(f"wrote {root / file.path}" for file in written), sep="\n")
    print(_next_steps(root, host.engine))
    return WELL


def _wish(name: str, group: str, host: HostOptions, url: str, keys: Path, papers: PaperOptions) -> NodeWish:
    if trouble := trouble_with_url(url):
        raise ValueError(trouble)
    host.check()
    subjects.realized_node(group, name)
    seeds = read_seeds(keys)
    return NodeWish(
        node=name,
        group=group,
        engine=host.engine,
        http_address=host.http_address or HTTP_ADDRESSES[host.engine],
        nats_url=url,
        operator_key=public_key(seeds.operator),
        credentials=minting.user(name, seeds.hub, int(time.time()), node_permissions(group, name)),
        papers=papers.read(url),
        networks=host.pool,
    )


def _write(root: Path, file: HostFile) -> bool:
    """Whether it was written, whole or not at all: credentials that are there stay."""
    path = root / file.path
    if file.path.endswith(".creds") and path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, file.content, file.mode)
    path.chmod(file.mode)  # whatever the umask is
    return True


def _next_steps(root: Path, engine: EngineName) -> str:
    copy = [] if root == Path("/") else [f"cp -r {shlex.quote(str(root))}/. /   # on the node, as root"]
    modules = ["systemctl restart systemd-modules-load"] if engine is EngineName.IPVS else []
    return "\n".join(
        (
            *copy,
            "systemd-sysusers && chown -R root:fleetlb /etc/fleetlb",
            *modules,
            f"systemctl daemon-reload && systemctl enable --now {' '.join(units(engine))}",
        )
    )
