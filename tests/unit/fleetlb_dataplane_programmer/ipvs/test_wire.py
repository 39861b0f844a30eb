"""IPVS entries as bytes: requests as the kernel's header says, replies as the kernel sent them."""

import ipaddress
import struct

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Family, Protocol
from fleetlb_dataplane_programmer.ipvs.entries import (
    Destination,
    DestinationKey,
    ForwardMethod,
    Info,
    Load,
    Service,
    ServiceFlag,
    ServiceKey,
    Timeouts,
    TunnelKind,
)
from fleetlb_dataplane_programmer.ipvs.exchange import Batch
from fleetlb_dataplane_programmer.ipvs.netlink import Frame, Malformed, encode_attribute, read_attributes, read_datagram
from fleetlb_dataplane_programmer.ipvs.wire import (
    Command,
    Operation,
    decode_destination,
    decode_info,
    decode_service,
    decode_timeouts,
    encode_destination,
    encode_service,
    encode_timeouts,
)
from tests.unit.fleetlb_dataplane_programmer.ipvs.golden_bytes import FAMILY, REPLIES, REQUESTS, SEQUENCE

TCP = ServiceKey(Family.IPV4, "192.0.2.1", 80, Protocol.TCP)
UDP6 = ServiceKey(Family.IPV6, "2001:db8::1", 53, Protocol.UDP)
SCTP = ServiceKey(Family.IPV4, "192.0.2.3", 9999, Protocol.SCTP)
UDP = ServiceKey(Family.IPV4, "192.0.2.2", 514, Protocol.UDP)
MARK = ServiceKey(Family.IPV4, firewall_mark=7)
MARK6 = ServiceKey(Family.IPV6, firewall_mark=7)
PLAIN = Service(key=TCP, scheduler="wrr")
HASHED = Service(
    key=UDP6,
    scheduler="sh",
    flags=ServiceFlag.PERSISTENT | ServiceFlag.SCHEDULER_1 | ServiceFlag.SCHEDULER_2,
    timeout=300,
    netmask=64,
)
BY_NETWORK = Service(key=SCTP, scheduler="mh", flags=ServiceFlag.PERSISTENT, timeout=60, netmask=24)
ONE_PACKET = Service(key=UDP, scheduler="rr", flags=ServiceFlag.ONE_PACKET)
OF_A_MARK = Service(key=MARK6, scheduler="rr")


def _to(address: str, port: int = 80, **fields: object) -> Destination:
    plain = Destination(key=DestinationKey(address, port), forward=ForwardMethod.TUNNEL)
    return msgspec.structs.replace(plain, **fields)


MASQUERADED = _to(
    "10.0.0.1", 31777, forward=ForwardMethod.MASQUERADE, weight=5, upper_threshold=1000, lower_threshold=800
)
DIRECT = _to("10.0.0.2", forward=ForwardMethod.DIRECT, weight=0)
IPIP, IPIP6 = _to("10.0.0.3"), _to("2001:db8::2")
GUE = _to("10.0.0.4", tunnel=TunnelKind.GUE, tunnel_port=6080, tunnel_flags=1)
GRE = _to("10.0.0.5", tunnel=TunnelKind.GRE, tunnel_flags=1)
HEAVY6 = _to("2001:db8::3", 8080, forward=ForwardMethod.MASQUERADE, weight=0x7FFFFFFF)


@pytest.mark.parametrize(
    ("golden", "operations"),
    [
        ("new service TCP", [Operation(Command.NEW_SERVICE, PLAIN)]),
        ("set service UDP v6, persistent, hashed with port", [Operation(Command.SET_SERVICE, HASHED)]),
        ("new service SCTP, persistent by network", [Operation(Command.NEW_SERVICE, BY_NETWORK)]),
        ("new service UDP, one packet", [Operation(Command.NEW_SERVICE, ONE_PACKET)]),
        ("new service of a mark, v6", [Operation(Command.NEW_SERVICE, OF_A_MARK)]),
        ("delete service", [Operation(Command.DEL_SERVICE, TCP)]),
        ("delete service of a mark", [Operation(Command.DEL_SERVICE, MARK)]),
        ("new destination, masquerade, with thresholds", [Operation(Command.NEW_DESTINATION, TCP, MASQUERADED)]),
        ("set destination, direct, weight 0", [Operation(Command.SET_DESTINATION, TCP, DIRECT)]),
        ("new destination v6, IPIP, of a v4 service", [Operation(Command.NEW_DESTINATION, TCP, IPIP6)]),
        ("new destination, GUE with checksums", [Operation(Command.NEW_DESTINATION, TCP, GUE)]),
        ("new destination, GRE with checksums", [Operation(Command.NEW_DESTINATION, TCP, GRE)]),
        ("new destination of a mark, v6", [Operation(Command.NEW_DESTINATION, MARK6, HEAVY6)]),
        ("delete destination", [Operation(Command.DEL_DESTINATION, TCP, MASQUERADED.key)]),
        ("flush", [Operation(Command.FLUSH)]),
        (
            "batch",
            [
                Operation(Command.NEW_SERVICE, PLAIN),
                Operation(Command.DEL_SERVICE, MARK),
                Operation(Command.DEL_DESTINATION, TCP, MASQUERADED.key),
            ],
        ),
    ],
)
def test_changes_are_the_bytes_of_the_header(golden: str, operations: list[Operation]) -> None:
    assert Batch(FAMILY, SEQUENCE, operations).request.hex(" ", 4) == REQUESTS[golden].hex(" ", 4)


def test_timeouts_are_the_bytes_of_the_header() -> None:
    assert encode_timeouts(Timeouts(tcp=901, udp=30)) == REQUESTS["set timeouts"][20:]
    assert encode_timeouts(Timeouts()) == b""


def _bodies(recorded: str) -> list[memoryview]:
    found = [message for datagram in REPLIES[recorded] for message in read_datagram(memoryview(datagram))]
    return [message.body for message in found if isinstance(message, Frame)]


def test_recorded_services_are_what_the_kernel_was_told() -> None:
    assert [decode_service(body) for body in _bodies("services")] == [BY_NETWORK, HASHED, OF_A_MARK, PLAIN, ONE_PACKET]
    assert [decode_service(body) for body in _bodies("service")] == [PLAIN]


def test_recorded_destinations_are_what_the_kernel_was_told() -> None:
    expected = [IPIP6, GRE, GUE, IPIP, DIRECT, MASQUERADED]
    assert [decode_destination(body) for body in _bodies("destinations")] == [(entry, Load()) for entry in expected]


def test_connections_are_counted_by_kind() -> None:
    body = bytes(_bodies("destinations")[0])
    for kind, value in ((7, 11), (8, 22), (9, 33)):
        body = body.replace(struct.pack("=HHI", 8, kind, 0), struct.pack("=HHI", 8, kind, value), 1)
    assert decode_destination(memoryview(body))[1] == Load(active=11, inactive=22, persistent=33)


def test_recorded_info_and_timeouts() -> None:
    assert [decode_info(body) for body in _bodies("info")] == [Info((1, 2, 1), 256)]
    assert [decode_timeouts(body) for body in _bodies("timeouts")] == [Timeouts(tcp=900, tcp_fin=120, udp=300)]


def test_a_kernel_without_tunnel_kinds_has_ipip() -> None:
    body = _without(_bodies("destinations")[3], 2, (13, 14, 15))
    assert decode_destination(body)[0] == IPIP


def _without(body: memoryview, outer: int, kinds: tuple[int, ...]) -> memoryview:
    nested = read_attributes(read_attributes(body)[outer])
    left = (encode_attribute(kind, bytes(payload)) for kind, payload in nested.items() if kind not in kinds)
    return memoryview(encode_attribute(outer, b"".join(left)))


def _with(body: memoryview, outer: int, kind: int, payload: bytes) -> memoryview:
    nested = {**read_attributes(read_attributes(body)[outer]), kind: payload}
    return memoryview(encode_attribute(outer, b"".join(encode_attribute(key, bytes(nested[key])) for key in nested)))


@pytest.mark.parametrize("number", [1, 50, 51, 255])
def test_a_service_of_a_foreign_protocol_is_passed_over(number: int) -> None:
    assert decode_service(_with(_bodies("service")[0], 1, 2, struct.pack("=H", number))) is None


@pytest.mark.parametrize(("number", "forward"), [(4, 4), (7, 7), (8, 0), (0x103, ForwardMethod.DIRECT)])
def test_a_foreign_way_of_forwarding_is_a_number(number: int, forward: int) -> None:
    [found, *_] = (decode_destination(_with(body, 2, 3, struct.pack("=I", number))) for body in _bodies("destinations"))
    assert found[0].forward == forward


def test_a_foreign_kind_of_tunnel_is_a_number() -> None:
    found, _ = decode_destination(_with(_bodies("destinations")[0], 2, 13, b"\xc8"))
    assert found == msgspec.structs.replace(IPIP6, tunnel=200)


@pytest.mark.parametrize("mask", ["255.0.255.0", "0.0.0.0", "0.0.0.1", "127.255.255.255"])
def test_a_mask_that_is_no_prefix_is_like_no_other(mask: str) -> None:
    packed = ipaddress.IPv4Address(mask).packed
    found = decode_service(_with(_bodies("service")[0], 1, 9, packed))
    assert found is not None
    assert found.netmask < 0
    assert read_attributes(read_attributes(memoryview(encode_service(found)))[1])[9] == packed


@pytest.mark.parametrize("length", range(1, 33))
def test_a_mask_is_a_prefix_length(length: int) -> None:
    packed = ipaddress.ip_network(f"0.0.0.0/{length}").netmask.packed
    assert read_attributes(read_attributes(memoryview(encode_service(_masked(length))))[1])[9] == packed
    found = decode_service(_with(_bodies("service")[0], 1, 9, packed))
    assert found == _masked(length % 32)


def _masked(length: int) -> Service:
    return msgspec.structs.replace(PLAIN, netmask=length)


@pytest.mark.parametrize("missing", [1, 2, 3, 4, 6, 7, 8, 9])
def test_a_service_that_lacks_something_is_malformed(missing: int) -> None:
    with pytest.raises(Malformed, match=str(missing)):
        decode_service(_without(_bodies("service")[0], 1, (missing,)))


@pytest.mark.parametrize("missing", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11])
def test_a_destination_that_lacks_something_is_malformed(missing: int) -> None:
    with pytest.raises(Malformed, match=str(missing)):
        decode_destination(_without(_bodies("destinations")[0], 2, (missing,)))


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 7, 8, 9])
def test_a_service_with_something_empty_is_malformed(kind: int) -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        decode_service(_with(_bodies("service")[0], 1, kind, b""))


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 15])
def test_a_destination_with_something_empty_is_malformed(kind: int) -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        decode_destination(_with(_bodies("destinations")[0], 2, kind, b""))


def test_a_reply_without_its_entry_is_malformed() -> None:
    with pytest.raises(Malformed, match="without attribute 1"):
        decode_service(memoryview(b""))
    with pytest.raises(Malformed, match="without attribute 2"):
        decode_destination(_bodies("service")[0])
    for decode in (decode_info, decode_timeouts):
        with pytest.raises(Malformed, match="cannot be read"):
            decode(memoryview(b""))


NUMBERS = st.integers(0, 0xFFFFFFFF)
PORTS = st.integers(0, 0xFFFF)
V4 = st.ip_addresses(v=4).map(str)
# Not those that a Service cannot have: mapped ones are refused long before (fleetlb.domain.addresses).
V6 = st.integers(0, (1 << 128) - 1).map(ipaddress.IPv6Address).filter(lambda it: not it.ipv4_mapped).map(str)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=15)
PROTOCOLS = st.sampled_from(Protocol)
KEYS = st.one_of(
    st.builds(ServiceKey, st.just(Family.IPV4), V4, PORTS, PROTOCOLS),
    st.builds(ServiceKey, st.just(Family.IPV6), V6, PORTS, PROTOCOLS),
    st.builds(ServiceKey, st.sampled_from(Family), firewall_mark=st.integers(1, 0xFFFFFFFF)),
)
FLAGS = NUMBERS.map(lambda bits: ServiceFlag(bits & ~ServiceFlag.HASHED.value))
DESTINATIONS = st.builds(
    Destination,
    key=st.builds(DestinationKey, V4 | V6, PORTS),
    forward=st.sampled_from(ForwardMethod) | st.integers(0, 7),
    weight=NUMBERS,
    upper_threshold=NUMBERS,
    lower_threshold=NUMBERS,
    tunnel=st.sampled_from(TunnelKind) | st.integers(0, 255),
    tunnel_port=PORTS,
    tunnel_flags=PORTS,
)


@st.composite
def services(draw: st.DrawFn) -> Service:
    key = draw(KEYS)
    netmask = draw(st.integers(0, 31 if key.family is Family.IPV4 else 127))
    return Service(key=key, scheduler=draw(NAMES), flags=draw(FLAGS), timeout=draw(NUMBERS), netmask=netmask)


@given(services())
@example(Service(key=ServiceKey(Family.IPV6, "::c000:201", 80, Protocol.TCP), scheduler="rr"))  # not ::192.0.2.1
def test_a_service_that_is_written_is_read(service: Service) -> None:
    assert decode_service(memoryview(encode_service(service))) == service


@given(DESTINATIONS, st.builds(Load, NUMBERS, NUMBERS, NUMBERS))
def test_a_destination_that_is_written_is_read(destination: Destination, load: Load) -> None:
    asked = read_attributes(memoryview(encode_destination(destination)))[2]
    counts = b"".join(
        encode_attribute(kind, struct.pack("=I", count))
        for kind, count in ((7, load.active), (8, load.inactive), (9, load.persistent))
    )
    assert decode_destination(memoryview(encode_attribute(2, bytes(asked) + counts))) == (destination, load)


@given(st.builds(Timeouts, *[st.integers(1, 0xFFFFFFFF)] * 3))
def test_timeouts_that_are_written_are_read(timeouts: Timeouts) -> None:
    assert decode_timeouts(memoryview(encode_timeouts(timeouts))) == timeouts


@given(KEYS, DESTINATIONS)
def test_a_key_is_the_beginning_of_what_it_names(key: ServiceKey, destination: Destination) -> None:
    named, whole = encode_service(key), encode_service(Service(key=key, scheduler="rr"))
    assert whole[4 : len(named)] == named[4:]
    named, whole = encode_destination(destination.key), encode_destination(destination)
    assert whole[4 : len(named)] == named[4:]
