"""What `make test-upstream` or `make test-in-cluster` was asked for, by variables.

Pure: reads the environment that it is given, and no file.

Must not know how a fleet is started, nor how the suite is called.
"""

import ipaddress
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import Forwarding

FOCUS = r"\[Feature:LoadBalancer\]"
OUTPUT = "upstream-results"
AUTO = "auto"
IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.63.0"
IN_CLUSTER = "in-cluster"


class OrderError(Exception):
    """What was asked for cannot be; the text names each variable and the cure."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster to be attached to a fleet, and the fleet."""

    kubeconfig: Path
    """An administrator's."""
    ranges: tuple[str, ...]
    """Addresses for Services, one range of each family."""
    pods: tuple[str, ...]
    """Networks of the cluster's pods, which serve directly then; AUTO: as the Nodes say. Empty: node ports serve."""
    engine: EngineName
    forwarding: Forwarding
    output: Path

    @property
    def folder(self) -> Path:
        """Everything that this run leaves behind."""
        return self.output / self.name

    @property
    def name(self) -> str:
        """The configuration, as a file name and as the key of its table."""
        forwarding = "" if self.forwarding is Forwarding.MASQUERADE else f"-{self.forwarding}"
        return f"{self.engine}{forwarding}{'-pods' if self.pods else ''}"


class Order(Attachment, frozen=True, kw_only=True):
    """One run of the suite."""

    e2e_test: Path
    ginkgo: Path | None
    """What runs specs side by side; without it they run one after another."""
    processes: int
    focus: str
    client: tuple[str, ...]
    """Put before the suite's command: what brings it to the place of a client."""


class InClusterOrder(Attachment, frozen=True, kw_only=True):
    """One run of the questions that pods ask."""

    image: str
    """Of all pods: agnhost."""

    @property
    def name(self) -> str:
        """A key of its own, beside the suite's."""
        return f"{IN_CLUSTER}-{super().name}"


def read(environ: Mapping[str, str]) -> Order:
    """The order of a run of the suite. Raises OrderError with every problem."""
    problems: list[str] = []
    attachment = _attachment(environ, problems)
    suite = _path(environ, "E2E_TEST", "the e2e.test binary of the cluster's own Kubernetes version", problems)
    count = environ.get("PROCS") or "4"
    if not count.isdecimal() or count == "0":
        problems.append(f"PROCS={count}: give a number of processes, at least 1")
    if problems:
        raise OrderError("\n".join(problems))
    return Order(
        **attachment,
        e2e_test=suite,
        ginkgo=Path(environ["GINKGO"]).absolute() if environ.get("GINKGO") else None,
        processes=int(count),
        focus=environ.get("FOCUS") or FOCUS,
        client=tuple(shlex.split(environ.get("CLIENT", ""))),
    )


def read_in_cluster(environ: Mapping[str, str]) -> InClusterOrder:
    """The order of a run of pods' questions. Raises OrderError with every problem."""
    problems: list[str] = []
    attachment = _attachment(environ, problems)
    if problems:
        raise OrderError("\n".join(problems))
    return InClusterOrder(**attachment, image=environ.get("IMAGE") or IMAGE)


def _attachment(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """The fields of an Attachment; of no use where problems were found."""
    engine = environ.get("ENGINE") or EngineName.ENVOY.value
    if engine not in list(EngineName):
        problems.append(f"ENGINE={engine}: use one of {', '.join(EngineName)}")
        engine = EngineName.ENVOY.value
    forwarding = environ.get("FORWARDING") or Forwarding.MASQUERADE.value
    if forwarding not in list(Forwarding):
        problems.append(f"FORWARDING={forwarding}: use one of {', '.join(Forwarding)}")
        forwarding = Forwarding.MASQUERADE.value
    kubeconfig = _path(environ, "KUBECONFIG", "the kubeconfig of an administrator of the cluster under test", problems)
    ranges = _networks("RANGE", environ.get("RANGE", ""), problems)
    if not ranges:
        problems.append("RANGE is not set: give free addresses of the cluster's network, such as 172.18.200.0/24")
    pods = environ.get("PODS", "")
    return {
        "kubeconfig": kubeconfig,
        "ranges": ranges,
        "pods": (AUTO,) if pods == AUTO else _networks("PODS", pods, problems),
        "engine": EngineName(engine),
        "forwarding": Forwarding(forwarding),
        "output": Path(environ.get("OUTPUT") or OUTPUT).absolute(),
    }


def _path(environ: Mapping[str, str], variable: str, meaning: str, problems: list[str]) -> Path:
    text = environ.get(variable, "")
    if not text:
        problems.append(f"{variable} is not set: give {meaning}")
    return Path(text).absolute()


def _networks(variable: str, text: str, problems: list[str]) -> tuple[str, ...]:
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in found:
        try:
            ipaddress.ip_network(word)
        except ValueError as problem:
            problems.append(f"{variable}: {problem}; give networks such as 172.18.200.0/24, with commas between them")
    return found


def covering(addresses: Iterable[str]) -> tuple[str, ...]:
    """The smallest network of each family that holds all these addresses or networks."""
    networks = [ipaddress.ip_network(address) for address in addresses]
    return tuple(_covering([n for n in networks if n.version == version]) for version in _versions(networks))


def _versions(networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> list[int]:
    return sorted({network.version for network in networks})


def _covering(networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> str:
    last = max(int(network.broadcast_address) for network in networks)
    widest = networks[0]
    while not (int(widest.network_address) <= min(int(n.network_address) for n in networks) and last <= _end(widest)):
        widest = widest.supernet()
    return str(widest)


def _end(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> int:
    return int(network.broadcast_address)
