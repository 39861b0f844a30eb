"""NPT and ETP where pods themselves are backends: globex's watcher tells of them for this module.

The pods listen on their nodes' own addresses of IPv6, outside of the range of node ports.
"""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from fleetlb.domain.conditions import SERVING
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb.kube.resources import Object
from tests.conformance.conftest import Stage
from tests.e2e.fleet import Fleet, key
from tests.stage.backends import conversation_with, is_from
from tests.stage.pools import granted
from tests.stage.slices import ENDED, ENDING, READY, UNREADY, say_pods
from tests.stage.starting import watcher_told
from tests.stage.tenants import Tenant

BOTH = ("node-1", "node-2")
_target_ports = itertools.count(9100)


@pytest.fixture(scope="module", autouse=True)
def telling_of_pods(stage: Stage) -> Iterator[None]:
    """Globex tells of its pods."""
    with watcher_told(stage.state, "globex", POD_BACKENDS="true"):
        yield


@pytest.fixture(autouse=True)
async def granted_pods(globex: Tenant, fleet: Fleet) -> AsyncIterator[None]:
    """Its pods may be reached where its nodes are."""
    async with granted(fleet, globex, podCIDRs=[fleet.environment.tenants["globex"].node_cidr6]):
        yield


async def of_pods(tenant: Tenant, *ready: str) -> tuple[VirtualServerKey, Object]:
    """A Service without node ports, served by pods on these nodes alone; and where they listen."""
    listening = {"name": "web", "protocol": "TCP", "port": next(_target_ports)}
    await tenant.listen({"protocol": "TCP", "nodePort": listening["port"]})
    await say_pods(tenant, "web", {node: READY if node in ready else UNREADY for node in BOTH}, port=listening)
    port = {"name": "web", "protocol": "TCP", "port": 80, "targetPort": listening["port"]}
    created = await tenant.make("web", [port], allocateLoadBalancerNodePorts=False, ipFamilies=["IPv6"])
    assert "nodePort" not in created["spec"]["ports"][0]
    web = key(await tenant.vip("web"), 80)
    await tenant.until_served_by(web, *ready)
    return web, listening


async def test_NPT_1_without_node_ports_pods_are_reached_directly(globex: Tenant) -> None:
    web, listening = await of_pods(globex, *BOTH)
    await say_pods(globex, "web", {"node-2": READY}, port=listening)
    await globex.until_served_by(web, "node-2")


async def test_ETP_8_a_pod_that_ends_but_serves_is_dialled_when_there_is_no_other(globex: Tenant) -> None:
    web, listening = await of_pods(globex, "node-2")
    await say_pods(globex, "web", {"node-1": ENDING, "node-2": ENDED}, port=listening)
    await globex.until_served_by(web, "node-1")


async def test_ETP_10_a_pod_that_is_not_ready_is_not_dialled(globex: Tenant) -> None:
    web, listening = await of_pods(globex, *BOTH)
    async with conversation_with(globex, web, "node-1") as conversation:
        await say_pods(globex, "web", {"node-1": UNREADY, "node-2": READY}, port=listening)
        await globex.until_served_by(web, "node-2")
        assert is_from(await conversation.ask(), globex, "node-1")
    await say_pods(globex, "web", {"node-1": UNREADY, "node-2": UNREADY}, port=listening)
    await globex.reason("web", SERVING, "NoReadyBackend")
    await globex.until_silent(web)
    # With publishNotReadyAddresses the endpoint controller says ready of a pod that is not.
    await say_pods(globex, "web", {"node-1": {"ready": True, "serving": False, "terminating": False}}, port=listening)
    await globex.until_served_by(web, "node-1")
