"""What `make test-upstream` was asked for, by variables. Pure: reads the environment that it is given, and no file.

Must not know how a fleet is started, nor how the suite is called.
"""

import ipaddress
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.virtual_servers import Forwarding

FOCUS = r"\[Feature:LoadBalancer\]"
OUTPUT = "upstream-results"
AUTO = "auto"


class OrderError(Exception):
    """What was asked for cannot be; the text names each variable and the cure."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the suite."""

    kubeconfig: Path
    """An administrator's."""
    e2e_test: Path
    ginkgo: Path | None
    """What runs specs side by side; without it they run one after another."""
    ranges: tuple[str, ...]
    """Addresses for Services, one range of each family."""
    pods: tuple[str, ...]
    """Networks of the cluster's pods, which serve directly then; AUTO: as the Nodes say. Empty: node ports serve."""
    engine: EngineName
    forwarding: Forwarding
    processes: int
    focus: str
    client: tuple[str, ...]
    """Put before the suite's command: what brings it to the place of a client."""
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


def read(environ: Mapping[str, str]) -> Order:
    """The order. Raises OrderError with every problem."""
    problems: list[str] = []

    def path(variable: str, meaning: str) -> Path:
        text = environ.get(variable, "")
        if not text:
            problems.append(f"{variable} is not set: give {meaning}")
        return Path(text).absolute()

    engine = environ.get("ENGINE") or EngineName.ENVOY.value
    if engine not in list(EngineName):
        problems.append(f"ENGINE={engine}: use one of {', '.join(EngineName)}")
        engine = EngineName.ENVOY.value
    forwarding = environ.get("FORWARDING") or Forwarding.MASQUERADE.value
    if forwarding not in list(Forwarding):
        problems.append(f"FORWARDING={forwarding}: use one of {', '.join(Forwarding)}")
        forwarding = Forwarding.MASQUERADE.value
    count = environ.get("PROCS") or "4"
    if not count.isdecimal() or count == "0":
        problems.append(f"PROCS={count}: give a number of processes, at least 1")
        count = "1"
    kubeconfig = path("KUBECONFIG", "the kubeconfig of an administrator of the cluster under test")
    suite = path("E2E_TEST", "the e2e.test binary of the cluster's own Kubernetes version")
    ranges = _networks("RANGE", environ.get("RANGE", ""), problems)
    if not ranges:
        problems.append("RANGE is not set: give free addresses of the cluster's network, such as 172.18.200.0/24")
    pods = environ.get("PODS", "")
    networks = (AUTO,) if pods == AUTO else _networks("PODS", pods, problems)
    if problems:
        raise OrderError("\n".join(problems))
    return Order(
        kubeconfig=kubeconfig,
        e2e_test=suite,
        ginkgo=Path(environ["GINKGO"]).absolute() if environ.get("GINKGO") else None,
        ranges=ranges,
        pods=networks,
        engine=EngineName(engine),
        forwarding=Forwarding(forwarding),
        processes=int(count),
        focus=environ.get("FOCUS") or FOCUS,
        client=tuple(shlex.split(environ.get("CLIENT", ""))),
        output=Path(environ.get("OUTPUT") or OUTPUT).absolute(),
    )


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
