"""The addresses of this machine, which must not be backends: what listens there is the platform team's. An adapter."""

import ipaddress

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fleetlb.domain.errors import FleetlbError


async def own_addresses() -> frozenset[str]:
    """Every address of an interface in this network namespace, as it is now. Needs no right. Raises FleetlbError."""
    try:
        async with AsyncIPRoute() as netlink:
            messages = [message async for message in await netlink.get_addr()]
    except (NetlinkError, OSError) as problem:
        raise FleetlbError(f"the addresses of this machine cannot be read: {problem}") from problem
    # Where both are told, the second is the other end of a point-to-point link.
    texts = [message.get("IFA_LOCAL") or message.get("IFA_ADDRESS") for message in messages]
    return frozenset(str(ipaddress.ip_address(text)) for text in texts if text)
