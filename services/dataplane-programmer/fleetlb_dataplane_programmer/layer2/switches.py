"""The kernel's switches of an interface on which VIPs are answered for: the kernel itself must not speak of them.

A pool is routed to this node, whoever owns its VIPs, so to the kernel each of its addresses is its own. For IPv6 it
does not answer for what is only routed, nor ask in its name. Source: Documentation/networking/ip-sysctl.rst.
"""

from collections.abc import Mapping
from pathlib import Path

from fleetlb_dataplane_programmer.ipvs.sysctls import Finding, Severity, Switch, Switches
from fleetlb_dataplane_programmer.layer2.link import check_name

_ALL = "all"

SWITCHES = (
    Switch(
        "arp_ignore",
        "1",
        "this node answers ARP for VIPs of other nodes",
        Severity.REQUIRED,
        # 4 to 7 are as good as 0, and 8 hides the node's own addresses too.
        also_right=("2", "3", "8"),
    ),
    Switch(
        "arp_announce",
        "2",
        "where this node asks for an address to answer a client, it asks in a VIP's name, and hosts take the VIP for"
        " its own, also when another node owns it",
    ),
)


def judge(interface: str, actual: Mapping[tuple[str, str], str | None]) -> list[Finding]:
    """What is wrong, in the order of `SWITCHES`. `actual`: (`all` or the interface, name) to what it says.

    The kernel goes by the greater of the two, so that is the one named. Names are spelled as sysctl wants them, with a
    slash for a dot.
    """
    findings = []
    for each in SWITCHES:
        place = max((interface, _ALL), key=lambda place: _number(actual.get((place, each.name))))
        said = actual.get((place, each.name))
        if said != each.wanted and said not in each.also_right:
            name = f"net.ipv4.conf.{place.replace('.', '/')}.{each.name}"
            cure = f"{each.why}; set {name}={each.wanted}"
            findings.append(Finding(name, said, each.wanted, each.severity, cure))
    return findings


class LinkSwitches(Switches):
    """The switches of one interface in the network namespace of the calling thread."""

    def __init__(self, interface: str, *, manage: bool, proc: Path = Path("/proc")) -> None:
        """`manage`: turn what is wrong, for this interface alone. One that is not there is judged when it is. Raises
        ValueError."""
        super().__init__()
        self._interface = check_name(interface)
        self._manage = manage
        self._folder = proc / "sys/net/ipv4/conf"

    def findings(self) -> list[Finding]:
        """What is wrong at this moment; nothing if there is no such interface."""
        if not (self._folder / self._interface).is_dir():
            return []
        places = [(place, each.name) for place in (_ALL, self._interface) for each in SWITCHES]
        return judge(self._interface, {place: self._read(*place) for place in places})

    def _turn(self, finding: Finding) -> bool:
        place, _, name = finding.name.removeprefix("net.ipv4.conf.").rpartition(".")
        if not self._manage or place == _ALL:  # other interfaces have their own reasons
            return False
        try:
            (self._folder / self._interface / name).write_text(finding.wanted)
        except OSError:
            return False
        return True

    def _read(self, place: str, name: str) -> str | None:
        try:
            return (self._folder / place / name).read_text().strip()
        except OSError:
            return None


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else -1
