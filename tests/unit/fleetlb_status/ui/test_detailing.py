"""All of one load balancer, as an operator and as its tenant has it."""

import asyncio
import shlex

import msgspec
import pytest

from fleetlb.contracts.v1 import Owner, VirtualServerDesired
from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import RealServer, VirtualServer, parse_key
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb_status.ui.detailing import AT_ONCE, MAX_BACKENDS, Detailer, Hub, command_of, detail_of
from fleetlb_status.ui.pictures import ServiceDetail, ServicePicture
from fleetlb_status.ui.views import OPERATOR, View
from tests.unit.fleetlb_status.ui.a_page import SYSTEM, Parts, a_bus, parts
from tests.unit.fleetlb_status.ui.test_views import a_situation


async def detailed(made: Parts, view: View) -> ServiceDetail:
    picture = made.painter.service(view, "acme", "service-1")
    assert picture is not None
    found = await Detailer(Hub(made.cluster, await a_bus(), SYSTEM), made.judging).detail(picture, view)
    assert found is not None
    return found


async def test_an_operator_has_conditions_nodes_backends_and_why() -> None:
    found = await detailed(await parts(), OPERATOR)
    assert [(each.type, each.status.value) for each in found.conditions] == [
        ("fleetlb.dev/Provisioned", "True"),
        ("fleetlb.dev/Serving", "True"),
    ]
    assert [(each.node, each.key, each.state, each.probe) for each in found.servers] == [
        ("node-1", "192.0.2.1:443/tcp", "programmed", "answered")
    ]
    assert [(each.address, each.port, each.node) for each in found.backends] == [("10.0.0.7", 31000, "worker-7")]
    assert (found.why.reason, found.why.service) == ("WatcherSilent", "acme/shop/web")
    assert found.why.cure
    assert found.command == "fleetlb why svc acme/shop/web"


async def test_its_tenant_has_the_same_without_names_of_nodes() -> None:
    found = await detailed(await parts(), View("acme"))
    assert [each.node for each in found.servers] == ["balancer node 1"]
    assert [each.node for each in found.backends] == ["worker-7"]  # its own node
    assert "node-1" not in msgspec.json.encode(found).decode()
    assert found.command == "kubectl --namespace shop describe service web"


async def test_a_bus_that_is_away_is_no_answer() -> None:
    made = await parts()
    picture = made.painter.service(OPERATOR, "acme", "service-1")
    assert picture is not None
    with pytest.raises(Transient):
        await Detailer(Hub(made.cluster, FakeBus(), SYSTEM), made.judging).detail(picture, OPERATOR)


async def test_tenants_that_ask_without_end_do_not_keep_an_operator_waiting() -> None:
    made, asked = await parts(), asyncio.Event()
    held: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    class Stuck(FakeBus):
        """One that answers in its own time, but for the first who are let through."""

        async def request(self, subject: str, body: bytes, timeout: float = 1.0) -> bytes:
            asked.set()
            return await held

    own, everything = (made.painter.service(view, "acme", "service-1") for view in (View("acme"), OPERATOR))
    assert own is not None
    assert everything is not None
    stuck = Stuck()
    detailer = Detailer(Hub(made.cluster, stuck, SYSTEM), made.judging)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(detailer.detail(own, View("acme"))) for _ in range(3 * AT_ONCE)]
        await asked.wait()
        detailer._hub = Hub(made.cluster, await a_bus(), SYSTEM)
        assert await detailer.detail(everything, OPERATOR) is not None
        assert not any(each.done() for each in waiting[:AT_ONCE])
        for each in waiting:
            each.cancel()


async def test_one_that_went_meanwhile_is_none() -> None:
    made = await parts()
    picture = made.painter.service(OPERATOR, "acme", "service-1")
    assert picture is not None
    made.memory.load_balancers.clear()
    assert await Detailer(Hub(made.cluster, await a_bus(), SYSTEM), made.judging).detail(picture, OPERATOR) is None


async def test_backends_end_at_a_bound() -> None:
    key = parse_key("192.0.2.1:443/tcp")
    real = tuple(RealServer(f"10.0.{n // 250}.{n % 250}", 31000) for n in range(MAX_BACKENDS + 3))
    wish = VirtualServerDesired(
        key=key,
        generation=1,
        revision=1,
        owner=Owner(tenant="acme", cluster_uid="c", service_uid="s"),
        server=VirtualServer(key=key, real_servers=real),
    )
    picture = (await parts()).painter.service(OPERATOR, "acme", "service-1")
    assert picture is not None
    found = detail_of(picture, a_situation(desired={key: wish}), (), "")
    assert (len(found.backends), found.more_backends) == (MAX_BACKENDS, 3)


@pytest.mark.parametrize("view", [OPERATOR, View("acme")], ids=["operator", "tenant"])
async def test_a_name_never_becomes_a_command(view: View) -> None:
    picture: ServicePicture | None = (await parts()).painter.service(OPERATOR, "acme", "service-1")
    assert picture is not None
    hostile = msgspec.structs.replace(picture, name="web; rm -rf ~ #'$(id)", namespace="`id`")
    words = shlex.split(command_of(hostile, view))
    assert "web; rm -rf ~ #'$(id)" in (words[-1], words[-1].rpartition("/")[2])
    assert words[0] in ("fleetlb", "kubectl")
