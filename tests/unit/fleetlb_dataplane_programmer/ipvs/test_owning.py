import msgspec

from fleetlb.domain.virtual_servers import VirtualServer, parse_key
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.ipvs.owning import prefix_of, strangers_among


def server(key: str, prefix: str = "") -> VirtualServer:
    return msgspec.structs.replace(a_virtual_server(key), prefix=prefix)


def test_only_what_lies_in_our_pools_is_ours() -> None:
    ours = [server("192.0.2.1:80/tcp", "192.0.2.0/24"), server("[2001:db8::1]:80/tcp", "2001:db8::/64")]
    held = [
        parse_key(text)
        for text in (
            "192.0.2.1:80/tcp",
            "192.0.2.200:80/tcp",
            "192.0.3.1:80/tcp",
            "10.96.0.1:443/tcp",
            "[2001:db8::2]:53/udp",
            "[2001:db8:0:1::1]:53/udp",
        )
    ]
    known = {held[0]}
    assert [str(key) for key in strangers_among([*held, None], ours, known)] == [
        "192.0.2.200:80/tcp",
        "[2001:db8::2]:53/udp",
    ]


def test_P8_without_a_wish_nothing_is_ours() -> None:
    assert strangers_among([parse_key("192.0.2.1:80/tcp")], [], known=()) == []


def test_without_a_pool_the_address_alone_is_ours() -> None:
    assert str(prefix_of(server("192.0.2.1:80/tcp"))) == "192.0.2.1/32"
    assert str(prefix_of(server("192.0.2.1:80/tcp", "10.0.0.0/8"))) == "192.0.2.1/32"
    assert str(prefix_of(server("[2001:db8::1]:80/tcp", "2001:db8::/64"))) == "2001:db8::/64"
