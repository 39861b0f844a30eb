import msgspec
import pytest

from fleetlb.contracts import codec
from fleetlb.contracts.v1 import LoadBalancerRevision, VirtualServerDesired
from fleetlb.domain.virtual_servers import RealServer, parse_key
from fleetlb.testkit.wishes import a_virtual_server, a_wish
from fleetlb_dataplane_programmer.slimming import slim

WISH = a_wish("192.0.2.1:80/tcp", ["10.0.0.1:31777", "10.0.0.2:31777"])
TUNNELLED = msgspec.structs.replace(
    a_virtual_server("192.0.2.1:80/tcp"),
    real_servers=(RealServer("fd00::1", 80, 3, "n", 31000),),
    prefix="192.0.2.0/24",
    attributes_pool="gold",
)


def heard(wish: VirtualServerDesired) -> VirtualServerDesired:
    """As it comes from the bus, with every string its own."""
    return codec.decode(VirtualServerDesired, codec.encode(wish))


@pytest.mark.parametrize(
    "wish",
    [
        WISH,
        a_wish("192.0.2.1:80/tcp", None),
        a_wish("192.0.2.1:80/tcp", []),
        msgspec.structs.replace(WISH, load_balancer=LoadBalancerRevision("uid", 3), key=parse_key("192.0.2.9:1/udp")),
        msgspec.structs.replace(WISH, server=TUNNELLED),
    ],
)
def test_it_says_the_same(wish: VirtualServerDesired) -> None:
    assert slim(heard(wish)) == wish


def test_what_is_equal_is_one_object() -> None:
    one, other = (slim(heard(msgspec.structs.replace(WISH, revision=revision))) for revision in (2, 3))
    assert one.server is not None
    assert other.server is not None
    assert one.key is one.server.key
    assert one.owner.cluster_uid is other.owner.cluster_uid
    for here, there in zip(one.server.real_servers, other.server.real_servers, strict=True):
        assert here.address is there.address
        assert here.node is there.node
    first, second = one.server.real_servers
    assert first.port is second.port
