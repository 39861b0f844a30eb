"""The port to the node's packet filter: the way back for answers, and who may reach what. Chooses what the node has."""

from collections.abc import Collection, Sequence
from typing import Protocol

import structlog

from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_dataplane_programmer.ipvs.commands import CommandFailed, ProgramMissing
from fleetlb_dataplane_programmer.ipvs.filtering import Guard
from fleetlb_dataplane_programmer.ipvs.iptables import FLAVOURS, IptablesFilter
from fleetlb_dataplane_programmer.ipvs.nft import NftFilter


class FilterUnavailable(Transient):
    """The node has no packet filter that can be used; the text names the cure."""


class PacketFilter(Protocol):
    """What the engine asks of the filter. A change is in the kernel when the call returns; calls may overlap.

    A virtual server is guarded before it is in IPVS's table, and its guard removed after it has left the table.
    """

    @property
    def can_filter(self) -> bool:
        """Whether guards can be enforced; without, only None is taken for one."""

    async def start(self) -> None:
        """Take over what the kernel holds of ours; nothing that is right is written again. Raises Transient."""

    async def change(self, key: VirtualServerKey, guard: Guard | None, prefix: str = "") -> None:
        """Guard a virtual server this way from now on, and masquerade what goes to `prefix`. Raises Transient.

        Packets of connections that stand are judged like any other: who is no longer admitted is cut off.
        """

    async def sync(self, prefixes: Collection[str], guards: Collection[Guard]) -> int:
        """Hold exactly this; returns how much had to be changed. Raises Transient."""

    async def audit(self) -> int:
        """Look whether others changed it, mend it, and return how much it was. Raises Transient."""


_INCAPABLE = ("not supported", "unknown type", "does not exist")


async def open_filter(nft: str = "nft", iptables: Sequence[str] = FLAVOURS) -> PacketFilter:
    """The filter that this node has, started: nftables, or where that cannot be, iptables, which has no source ranges.

    Raises FilterUnavailable.
    """
    nftables = NftFilter(nft)
    try:
        await nftables.start()
    except CommandFailed as problem:
        if not isinstance(problem, ProgramMissing) and not any(words in str(problem) for words in _INCAPABLE):
            raise FilterUnavailable(f"{problem}. The programmer needs CAP_NET_ADMIN") from problem
        why = str(problem)
    else:
        return nftables
    fallback = IptablesFilter(iptables)
    try:
        await fallback.start()
    except CommandFailed as problem:
        raise FilterUnavailable(
            f"no packet filter: {why}; {problem}. Install the package nftables, and a kernel that has nf_tables"
        ) from problem
    structlog.get_logger().warning("iptables masquerades, and source ranges are not offered", problem=why)
    return fallback
