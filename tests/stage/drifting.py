"""What happens to a data plane behind the back of its programmer."""

from fleetlb.domain.virtual_servers import VirtualServerKey
from tests.e2e.fleet import Fleet
from tests.stage.networks import Network
from tests.stage.site import Site


async def lose(fleet: Fleet, network: Network, key: VirtualServerKey) -> None:
    """Take a virtual server away: from the kernel by its own tool, from Envoy with all that it had in its memory."""
    if isinstance(network, Site):
        network.balancer.run("ipvsadm", "-D", "-t", f"{key.address}:{key.port}")
    else:
        await fleet.verb("kill", "envoy/node-1")
