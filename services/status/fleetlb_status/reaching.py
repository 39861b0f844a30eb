"""Whether what a node announces is reached from another node of its group, for the verdict. Pure."""

from collections.abc import Mapping

from fleetlb.contracts.objects import LoadBalancer
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.announcing import Saying, announcer
from fleetlb.domain.reaching import NOT_REACHABLE_CURE, lost_ports, unreachable
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_status.reporting import Realized, is_current


def unreached(balancer: LoadBalancer, said: Mapping[str, tuple[Saying, ...]], realized: Realized) -> str:
    """The first port of a load balancer that no other node reaches, and what to do; "": none is known to be so.

    `said`: of each address. Where some real servers fail their checks a call may have met one of them.
    """
    wished = {port.port for port in balancer.spec.service.ports if port.protocol is Protocol.TCP}
    for address, words in said.items():
        owner = announcer(words)
        for port, (caller, found) in lost_ports(words, owner).items() if owner is not None else ():
            key = VirtualServerKey(address, port, Protocol.TCP)
            if owner is not None and port in wished and _is_well(balancer, realized, owner.node, key):
                return f"{unreachable(address, port, owner.node, caller, found)}; {NOT_REACHABLE_CURE}"
    return ""


def _is_well(balancer: LoadBalancer, realized: Realized, node: str, key: VirtualServerKey) -> bool:
    """Whether a node finds all real servers well that a call may meet."""
    word = realized.get(node, {}).get(key)
    if word is None or not is_current(balancer, word) or word.brake:
        return False
    return word.healthy is None or word.healthy == word.real_servers
