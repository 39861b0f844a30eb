"""Two balancer groups beside those of a running fleet, each of one node behind a router that it tells by BGP.

               ┌ north-1 ─┐
    client ─ router       ├─ acme node-1, acme node-2
               └ south-1 ─┘

Each node has a link of its own to each of the tenant's nodes, which answer over the link that a packet came by. The
fleet's NATS is relayed to the nodes; they have the rights of nodes alone, and the operator's key.
"""

import contextlib
import pathlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import BalancerGroup, BalancerGroupSpec
from fleetlb.domain.addresses import Family
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.routing import BgpPeer, BgpSpeaking
from fleetlb.domain.virtual_servers import Announcement, VirtualServerKey
from fleetlb.kube.fleet_objects import BALANCER_GROUPS
from fleetlb.runtime.nats_accounts import public_key
from fleetlb.runtime.nats_permissions import Permissions
from fleetlb.testkit.namespaces import Namespace, connect
from fleetlb_cli.hub import minting
from fleetlb_cli.hub.minting import Seeds
from fleetlb_cli.local.layout import Layout, read_json
from tests.e2e.fleet import Fleet, eventually
from tests.stage.pools import granted, pool_for
from tests.stage.programmer_process import Programmer
from tests.stage.relaying import relayed
from tests.stage.routers import NODES_ASN, ROUTER_ASN, RoutedNetwork, RoutedNode, router_configuration
from tests.stage.talking import Talk
from tests.stage.tenants import Tenant

NORTH, SOUTH = "north", "south"
POOL, RANGE = "routed", "10.79.0.0/29"
_CLIENT = "10.30.0.1"


class FleetHub:
    """The NATS of a fleet that `fleetlb local` runs."""

    def __init__(self, fleet: Fleet, folder: pathlib.Path) -> None:
        """`folder` takes credentials."""
        seeds = read_json(Layout(fleet.state).nats / "seeds.json", Seeds)
        assert seeds is not None, "the fleet has no keys"
        self.url, self.hub_seed = fleet.environment.nats.url, seeds.hub
        self.operator_key = public_key(seeds.operator)
        self._folder = folder

    @property
    def port(self) -> int:
        """On the loopback."""
        port = urlsplit(self.url).port
        assert port is not None, self.url
        return port

    def write_creds(self, name: str, account_seed: str, *, permissions: Permissions | None = None) -> pathlib.Path:
        """A new user of an account, as a credentials file."""
        path = self._folder / f"{name}.creds"
        path.write_text(minting.user(name, account_seed, int(time.time()), permissions))
        return path


class RoutedFleet:
    """The network, and what runs on the two nodes."""

    def __init__(self, network: RoutedNetwork, folder: pathlib.Path) -> None:
        """Nothing runs. `folder` takes what programmers keep."""
        # In one kernel ways are chosen by the number of a socket: it shall stay, as addresses and ports do.
        network.client.sysctl("net.core.txrehash", 0)
        self.network, self.folder = network, folder
        self.nodes = dict(zip((NORTH, SOUTH), network.nodes, strict=True))
        self.programmers: dict[str, Programmer] = {}

    def hops(self, *groups: str) -> tuple[str, ...]:
        """The router's next hops where the nodes of these groups are its ways."""
        return tuple(sorted(self.nodes[group].address for group in groups))

    def talk(self, key: VirtualServerKey) -> Talk:
        """From the client, through the router."""
        return Talk(self.network.client, _CLIENT, key)

    def tell(self) -> None:
        """Print what the nodes logged last."""
        for programmer in self.programmers.values():
            print(programmer.name, *programmer.log.read_text().splitlines()[-20:], sep="\n")


@contextlib.contextmanager
def routed_fleet(folder: pathlib.Path) -> Iterator[RoutedFleet]:
    """The namespaces, to be made where no event loop runs; the router knows both nodes."""
    network = RoutedNetwork(folder / "birds")
    try:
        yield RoutedFleet(network, folder)
    finally:
        network.close()


@asynccontextmanager
async def two_groups(routed: RoutedFleet, fleet: Fleet, acme: Tenant, *, mute: str = "") -> AsyncIterator[None]:
    """Within, both groups are at work, and a pool of the tenant's is announced by north.

    `mute`: the group whose BIRD is not started; in the end it is, or a removal might wait for it.
    """
    network, hub = routed.network, FleetHub(fleet, routed.folder)
    async with relayed(hub.port, *(node.namespace for node in network.nodes)), contextlib.AsyncExitStack() as stack:
        network.bird.write(router_configuration(*(node.router_session() for node in network.nodes)))
        for bird in (network.bird, *(node.bird for group, node in routed.nodes.items() if group != mute)):
            await bird.start()
        for group, node in routed.nodes.items():
            stack.enter_context(_linked(node, acme))
            await stack.enter_async_context(_group(fleet, group, node))
            programmer = routed.programmers[group] = _programmer(group, node, hub, routed.folder)
            stack.callback(programmer.kill)
            programmer.start()
        await stack.enter_async_context(pool_for(fleet, acme, POOL, RANGE, group=NORTH, announcement=Announcement.BGP))
        await stack.enter_async_context(granted(fleet, acme, groups=[NORTH, SOUTH]))
        try:
            yield
        except BaseException:
            routed.tell()
            raise
        finally:
            if mute:
                routed.nodes[mute].bird.stop()
                await routed.nodes[mute].bird.start()
            await acme.clean()


@contextlib.contextmanager
def _linked(node: RoutedNode, tenant: Tenant) -> Iterator[None]:
    """Within, a balancer node reaches a tenant's nodes."""
    with contextlib.ExitStack() as stack:
        for number, machine in enumerate(tenant.machines.values(), start=1):
            assert isinstance(machine.place, Namespace), "the tenant's nodes are no namespaces"
            device, link = f"tenant{number}", f"10.5{node.number}.{number}"
            ends = [f"{link}.1/30"], [f"{link}.2/30"]
            connect(node.namespace, device, ends[0], machine.place, f"routed{node.number}", ends[1])
            # At once: what goes with its namespace goes a little later, and the next test wants the name.
            stack.callback(node.namespace.run, "ip", "link", "delete", device)
            node.namespace.route(f"{machine.addresses[Family.IPV4]}/32", via=f"{link}.2")
        yield


@asynccontextmanager
async def _group(fleet: Fleet, name: str, node: RoutedNode) -> AsyncIterator[None]:
    """Within, there is a group of one node, which has the router for its peer."""
    tor = BgpPeer(name="tor", address=node.router_address, asn=ROUTER_ASN, hold_seconds=9, connect_retry_seconds=1)
    speaking = BgpSpeaking(asn=NODES_ASN, peers=(tor,))
    spec = BalancerGroupSpec(engine=EngineName.IPVS, nodes=(_name(name),), bgp=speaking)
    await fleet.management.create(BALANCER_GROUPS, BalancerGroup(metadata=ObjectMeta(name=name), spec=spec))
    try:
        yield
    finally:
        await fleet.management.delete(BALANCER_GROUPS, name)

        async def is_gone() -> bool:
            return name not in [group.metadata.name for group in await fleet.management.list(BALANCER_GROUPS)]

        await eventually(is_gone, f"the end of group {name}")


def _programmer(group: str, node: RoutedNode, hub: FleetHub, folder: pathlib.Path) -> Programmer:
    settings = {
        "FLEETLB_GROUP": group,
        "FLEETLB_NATS_OPERATOR_KEY": hub.operator_key,
        "FLEETLB_LAYER2_INTERFACES": "",
        "FLEETLB_BIRD_SOCKET": str(node.bird.socket),
        "FLEETLB_BIRD_DIRECTORY": str(node.folder),
    }
    return Programmer(_name(group), node.namespace, folder / group, hub, **settings)


def _name(group: str) -> str:
    """Of its one node."""
    return f"{group}-1"
