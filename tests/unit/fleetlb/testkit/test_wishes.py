from fleetlb.contracts import codec
from fleetlb.contracts.v1 import VirtualServerDesired
from fleetlb.testkit.wishes import a_virtual_server, a_wish, as_message


def test_real_servers_are_written_as_endpoints() -> None:
    server = a_virtual_server("[2001:db8::1]:53/udp", ["[2001:db8::9]:30053", "[2001:db8::8]:30053"])
    assert [(real.address, real.port) for real in server.real_servers] == [
        ("2001:db8::8", 30053),
        ("2001:db8::9", 30053),
    ]


def test_none_is_a_wish_to_let_go_and_nothing_is_a_wish_without_backends() -> None:
    assert a_wish(real_servers=None).server is None
    idle = a_wish(real_servers=())
    assert idle.server is not None
    assert idle.server.real_servers == ()
    assert idle.reason == "NoReadyBackend"


def test_a_message_is_what_the_bus_would_bring() -> None:
    wish = a_wish("192.0.2.7:80/tcp", revision=4)
    message = as_message(wish, sequence=9)
    assert message.subject == "fleetlb.v1.desired.default.192-0-2-7_80_tcp"
    assert message.stream_sequence == 9
    assert codec.decode(VirtualServerDesired, message.data) == wish
