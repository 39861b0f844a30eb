"""The kernel's switches that an IPVS node needs or should have: which, why, and what to do about one that is wrong.

Sources: Documentation/networking/ipvs-sysctl.rst and ip-sysctl.rst of the kernel. Together they make a drain what it
should be: at weight 0 no client comes to a real server any more, not even one with affinity or one that uses its port
again, while connections that stand go on; once the real server is deleted, a datagram goes elsewhere and a connection
is reset, where otherwise both would be dropped in silence until they time out.

No switch is asked for `net.ipv4.conf.*.arp_ignore`: where it is 0, this node answers ARP for every address of every
routed IPv4 pool, which one node alone on a link may want; with 1, 2 or 8 it answers for none. For IPv6 the kernel
never answers for what is only routed.
"""

import abc
import enum
from collections.abc import Mapping
from pathlib import Path

import msgspec
import prometheus_client
import structlog

REPAIRS = prometheus_client.Counter("fleetlb_sysctl_repairs_total", "Kernel switches that others turned, turned back.")

_FORWARDING_V6 = "net.ipv6.conf.all.forwarding"
_MANAGED = ("net.ipv4.vs.", "net.ipv4.ip_forward", _FORWARDING_V6)
_ROUTE_FLAGS = 0x00010000 | 0x00040000  # RTF_DEFAULT | RTF_ADDRCONF: a router advertised it

_WAY_FIRST = (
    "turned on, this node would lose the IPv6 default route that its router advertises;"
    " set accept_ra=2 for the device, or give it a static route, first"
)


class Severity(enum.StrEnum):
    """What a wrong switch means."""

    REQUIRED = "required"
    """Traffic does not flow."""
    ADVISED = "advised"
    """Traffic flows, and suffers at some moments."""


class Switch(msgspec.Struct, frozen=True):
    """One switch, what it should say, and what goes wrong otherwise."""

    name: str
    wanted: str
    why: str
    severity: Severity = Severity.ADVISED
    also_right: tuple[str, ...] = ()

    @property
    def is_managed(self) -> bool:
        """Whether the programmer may turn it: what is IPVS's own, and forwarding."""
        return self.name.startswith(_MANAGED)


SWITCHES = (
    Switch("net.ipv4.ip_forward", "1", "no answer of a real server is passed on", Severity.REQUIRED),
    Switch(_FORWARDING_V6, "1", "no answer of a real server is passed on over IPv6", Severity.REQUIRED),
    Switch("net.ipv4.vs.conntrack", "1", "answers of masqueraded connections cannot come back", Severity.REQUIRED),
    Switch(
        "net.ipv4.vs.expire_nodest_conn",
        "1",
        "a connection to a real server that is gone hangs instead of ending, and a UDP client stays with it",
    ),
    Switch(
        "net.ipv4.vs.expire_quiescent_template",
        "1",
        "clients with session affinity stay with a real server that drains",
    ),
    Switch(
        "net.ipv4.vs.conn_reuse_mode",
        "1",
        "a client that uses a port again is sent to a real server that drains",
        # Bit 2 is for direct routing, where the kernel sees only half of each connection.
        also_right=("2", "3"),
    ),
    # These cost nothing where no flow ever moves: a packet of no known connection is answered by a real server instead
    # of this node, with a reset both times.
    Switch("net.ipv4.vs.sloppy_tcp", "1", "a connection that moves to another node of the group is cut"),
    Switch("net.ipv4.vs.sloppy_sctp", "1", "an association that moves to another node of the group is cut"),
    Switch(
        "net.ipv4.conf.all.rp_filter",
        "2",
        "packets of clients that this node would answer over another device are dropped",
        also_right=("0",),
    ),
)


class Finding(msgspec.Struct, frozen=True):
    """A switch that does not say what it should. `actual` None: this kernel has no such switch."""

    name: str
    actual: str | None
    wanted: str
    severity: Severity
    cure: str

    def __str__(self) -> str:
        return f"{self.name} is {'missing' if self.actual is None else self.actual}: {self.cure}"


def judge(actual: Mapping[str, str | None]) -> list[Finding]:
    """Every switch that is wrong, in the order of `SWITCHES`. `actual`: name to what it says; None or absent: none."""
    return [
        Finding(each.name, said, each.wanted, each.severity, _cure(each, said))
        for each in SWITCHES
        if (said := actual.get(each.name)) != each.wanted and said not in each.also_right
    ]


def devices_of_advertised_routes(routes: str) -> set[str]:
    """Devices whose default route, in /proc/net/ipv6_route, came by a router advertisement."""
    rows = [line.split() for line in routes.splitlines()]
    return {row[9] for row in rows if len(row) == 10 and int(row[8], 16) & _ROUTE_FLAGS == _ROUTE_FLAGS}


def _cure(switch: Switch, said: str | None) -> str:
    if said is not None:
        return f"{switch.why}; set {switch.name}={switch.wanted}"
    if switch.name.startswith("net.ipv4.vs."):
        return f"{switch.why}; load the kernel module ip_vs, or use a kernel whose IPVS has this switch"
    return f"{switch.why}; use a kernel that has this switch"


class Switches(abc.ABC):
    """Turns switches that are wrong and ours to turn; all else is only said, once."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said: set[Finding] = set()
        self._log = structlog.get_logger()

    @abc.abstractmethod
    def findings(self) -> list[Finding]:
        """What is wrong at this moment."""

    @abc.abstractmethod
    def _turn(self, finding: Finding) -> bool:
        """Make a switch say what it should. False if it is not ours to turn, or cannot be."""

    def start(self) -> None:
        """Turn or name everything that is wrong."""
        self._settle()

    def audit(self) -> int:
        """The same; returns how many others had turned, or made anew, meanwhile."""
        repaired = self._settle()
        if repaired:
            REPAIRS.inc(repaired)
        return repaired

    def _settle(self) -> int:
        turned = 0
        for finding in self.findings():
            if self._turn(finding):
                turned += 1
                self._log.info("a kernel switch was turned", switch=finding.name, to=finding.wanted)
            elif finding not in self._said:
                self._said.add(finding)
                say = self._log.error if finding.severity is Severity.REQUIRED else self._log.warning
                say("a kernel switch is wrong", problem=str(finding), severity=finding.severity)
        return turned


class Sysctls(Switches):
    """The switches of the network namespace of the calling thread."""

    def __init__(self, *, manage: bool, proc: Path = Path("/proc")) -> None:
        """`manage`: turn what is wrong and ours to turn."""
        super().__init__()
        self._managed = {each.name for each in SWITCHES if each.is_managed} if manage else set()
        self._proc = proc

    def findings(self) -> list[Finding]:
        """What is wrong at this moment."""
        found = judge({each.name: self._read(each.name) for each in SWITCHES})
        return [
            msgspec.structs.replace(each, cure=_WAY_FIRST) if self._would_lose_way(each) else each for each in found
        ]

    def _turn(self, finding: Finding) -> bool:
        if finding.name not in self._managed or finding.actual is None or finding.cure == _WAY_FIRST:
            return False
        try:
            self._file(finding.name).write_text(finding.wanted)
        except OSError:
            return False
        return True

    def _would_lose_way(self, finding: Finding) -> bool:
        """A host that forwards IPv6 hears no more router advertisements, unless it is told to."""
        if finding.name != _FORWARDING_V6:
            return False
        try:
            devices = devices_of_advertised_routes((self._proc / "thread-self/net/ipv6_route").read_text())
        except OSError:
            return False
        folder = self._proc / "sys/net/ipv6/conf"
        return any(_text_of(folder / device / "accept_ra") == "1" for device in devices)

    def _read(self, name: str) -> str | None:
        return _text_of(self._file(name))

    def _file(self, name: str) -> Path:
        return self._proc / "sys" / name.replace(".", "/")


def _text_of(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
