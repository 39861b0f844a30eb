"""What the kernel of the balancer node holds, read by the kernel's own tools: an oracle apart from fleetlb's code."""

import contextlib
import difflib
from collections.abc import Iterator

from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.testkit.namespaces import Namespace

FOREIGN = "10.99.0.1:80"
"""A virtual server of somebody else's, outside of every pool."""
_FOREIGN_SERVERS = f"-A -t {FOREIGN} -s wlc -p 600\n-a -t {FOREIGN} -r 10.99.1.1:8080 -m -w 3\n"
_FOREIGN_RULES = """table inet elsewhere {
    chain refuse { type filter hook input priority 10; ip daddr 10.99.0.2 tcp dport 80 reject; }
}"""


class Tables:
    """IPVS, the packet filter and the routes."""

    def __init__(self, node: Namespace) -> None:
        self._node = node

    def ipvs(self) -> tuple[str, ...]:
        """Every virtual and real server, as commands that would make them, sorted."""
        return tuple(sorted(self._node.run("ipvsadm", "--save", "--numeric").splitlines()))

    def filter(self) -> str:
        """Every rule and element of nftables, without counters, and without handles."""
        return self._node.run("nft", "--stateless", "list", "ruleset")

    def everything(self) -> list[str]:
        """All that must stand still when nobody wishes for a change, as lines."""
        routes = [self._node.run("ip", family, "route", "show", "table", "all") for family in ("-4", "-6")]
        return [*self.ipvs(), *self.filter().splitlines(), *"".join(routes).splitlines()]

    def changes_since(self, before: list[str]) -> list[str]:
        """Lines that came or went."""
        lines = difflib.ndiff(before, self.everything())
        return [line for line in lines if line.startswith(("+ ", "- "))]

    def holds(self, address: str) -> bool:
        """Whether any virtual server has this address."""
        return any(f" {address}:" in line or f"[{address}]" in line for line in self.ipvs())

    def schedules(self, key: VirtualServerKey) -> str:
        """The line of one virtual server, or nothing."""
        option = {"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service"}[key.protocol]
        name = f"[{key.address}]:{key.port}" if ":" in key.address else f"{key.address}:{key.port}"
        return next((line for line in self.ipvs() if line.startswith(f"-A {option} {name} ")), "")

    @contextlib.contextmanager
    def foreign(self) -> Iterator[tuple[str, ...]]:
        """Somebody else's virtual server and rules, for the time of a block; see `foreign_lines`."""
        self._node.run("ipvsadm", "--restore", stdin=_FOREIGN_SERVERS)
        self._node.run("nft", "--file", "-", stdin=_FOREIGN_RULES)
        yield self.foreign_lines()
        self._node.run("ipvsadm", "-D", "-t", FOREIGN)
        self._node.run("nft", "delete", "table", "inet", "elsewhere")

    def foreign_lines(self) -> tuple[str, ...]:
        """What is left of it."""
        servers = tuple(line for line in self.ipvs() if FOREIGN in line)
        return (*servers, self._node.run("nft", "--stateless", "list", "table", "inet", "elsewhere"))
