"""What a balancer node's host has to have, as paths below its root and their contents. Pure."""

import importlib.resources
import ipaddress
import shlex
from collections.abc import Iterator
from importlib.resources.abc import Traversable

import msgspec

from fleetlb.domain.capabilities import EngineName
from fleetlb_cli.papers import NO_PAPERS, Papers

ETC = "etc/fleetlb"
STATE, RUN = "/var/lib/fleetlb", "/run/fleetlb"
_UNITS = "etc/systemd/system"
_IPVS_ALONE = ("etc/modules-load.d/fleetlb.conf",)
_ENVOY_ALONE = (f"{_UNITS}/fleetlb-envoy.service",)
SECRET, PUBLIC = 0o640, 0o644


class HostFile(msgspec.Struct, frozen=True):
    """One file; `path` is below the root. Secrets are for the group `fleetlb` to read, besides root."""

    path: str
    content: bytes
    mode: int = PUBLIC

    def __repr__(self) -> str:
        return f"HostFile({self.path!r})"


class NodeWish(msgspec.Struct, frozen=True, kw_only=True):
    """A node to be. `networks`: of the pools, which an Envoy's host must take for its own."""

    node: str
    group: str
    engine: EngineName
    http_address: str
    nats_url: str
    operator_key: str
    credentials: str
    papers: Papers = NO_PAPERS
    networks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"NodeWish(node={self.node!r}, group={self.group!r}, engine={self.engine!r})"


def host_files(wish: NodeWish) -> list[HostFile]:
    """Everything, in the order of its paths."""
    files = [
        HostFile(f"{ETC}/node.env", _environment(wish).encode(), SECRET),
        HostFile(f"{ETC}/node.creds", wish.credentials.encode(), SECRET),
        *_papers(wish.papers),
        *(HostFile(path, content) for path, content in _static() if path not in _without(wish.engine)),
    ]
    if wish.engine is EngineName.ENVOY and wish.networks:
        files.append(HostFile(f"{_UNITS}/fleetlb-envoy.service.d/pools.conf", _routes(wish.networks).encode()))
    return sorted(files, key=lambda file: file.path)


def units(engine: EngineName) -> list[str]:
    """The services to enable, in the order of their start."""
    programmer = "fleetlb-dataplane-programmer.service"
    return [programmer, "fleetlb-envoy.service"] if engine is EngineName.ENVOY else [programmer]


def _without(engine: EngineName) -> tuple[str, ...]:
    return _IPVS_ALONE if engine is EngineName.ENVOY else _ENVOY_ALONE


def _environment(wish: NodeWish) -> str:
    settings = {
        "NODE": wish.node,
        "GROUP": wish.group,
        "ENGINE": wish.engine.value,
        "HTTP_ADDRESS": wish.http_address,
        "NATS_URL": wish.nats_url,
        "NATS_CREDS": f"/{ETC}/node.creds",
        "NATS_OPERATOR_KEY": wish.operator_key,
        **{f"NATS_TLS_{name.upper()}": f"/{path}" for name, path, content in _named(wish.papers) if content},
        "STATE_DIR": STATE,
    }
    if wish.engine is EngineName.ENVOY:
        settings |= {"ADS_SOCKET": f"{RUN}/ads.sock", "ENVOY_ADMIN": f"{RUN}/envoy-admin.sock"}
    lines = [f"FLEETLB_{name}={shlex.quote(text)}" for name, text in settings.items()]
    return (
        "# Read by systemd; `fleetlb-dataplane-programmer --check` shows what is in force.\n" + "\n".join(lines) + "\n"
    )


def _named(papers: Papers) -> tuple[tuple[str, str, bytes], ...]:
    return (
        ("ca", f"{ETC}/nats-ca.crt", papers.ca),
        ("cert", f"{ETC}/nats.crt", papers.cert),
        ("key", f"{ETC}/nats.key", papers.key),
    )


def _papers(papers: Papers) -> list[HostFile]:
    return [HostFile(path, content, SECRET) for _, path, content in _named(papers) if content]


def _routes(networks: tuple[str, ...]) -> str:
    """The kernel hands Envoy what comes for an address that the host takes for its own; IPVS's are the programmer's."""
    lines = ["[Service]"]
    for network in networks:
        family = "-6" if ipaddress.ip_network(network).version == 6 else "-4"
        lines.append(f"ExecStartPre=+/sbin/ip {family} route replace local {network} dev lo")
    return "\n".join(lines) + "\n"


def _static() -> Iterator[tuple[str, bytes]]:
    root = importlib.resources.files(__package__).joinpath("root")
    yield from _below(root, "")


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{path}{entry.name}"
        if entry.is_dir():
            yield from _below(entry, f"{name}/")
        else:
            yield name, entry.read_bytes()
