import errno

import msgspec
import pytest

from fleetlb.domain.virtual_servers import Forwarding, RealServer, Scheduler, VirtualServer, parse_key
from fleetlb_dataplane_programmer.ipvs.entries import DestinationKey, ForwardMethod, ServiceFlag, TunnelKind
from fleetlb_dataplane_programmer.ipvs.translating import (
    explain,
    is_drift,
    service_key,
    translate,
    unfit,
    virtual_server_key,
)
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation

SERVER = VirtualServer(
    key=parse_key("192.0.2.1:443/tcp"),
    real_servers=(RealServer("10.0.0.1", 31000), RealServer("10.0.0.2", 31001, weight=3)),
)
V6 = VirtualServer(key=parse_key("[2001:db8::1]:443/tcp"), real_servers=(RealServer("2001:db8:1::1", 31000),))


def with_(server: VirtualServer = SERVER, **fields: object) -> VirtualServer:
    return msgspec.structs.replace(server, **fields)


def test_ports_addresses_and_weights_arrive_unchanged() -> None:
    target = translate(SERVER)
    assert (target.service.key.address, target.service.key.port) == ("192.0.2.1", 443)
    assert [(item.key.address, item.key.port, item.weight) for item in target.destinations.values()] == [
        ("10.0.0.1", 31000, 1),
        ("10.0.0.2", 31001, 3),
    ]


@pytest.mark.parametrize("scheduler", list(Scheduler))
def test_P9_a_scheduler_has_the_kernels_name_and_hashing_ones_pass_over_the_unusable(scheduler: Scheduler) -> None:
    service = translate(with_(scheduler=scheduler)).service
    assert service.scheduler == scheduler.value
    assert bool(service.flags & ServiceFlag.SCHEDULER_1) is (scheduler in (Scheduler.SOURCE_HASH, Scheduler.MAGLEV))
    assert not service.flags & ServiceFlag.PERSISTENT


def test_affinity_is_persistence_for_its_time() -> None:
    service = translate(with_(affinity_seconds=300)).service
    assert service.flags & ServiceFlag.PERSISTENT
    assert (service.timeout, service.netmask) == (300, 0)


@pytest.mark.parametrize(
    ("forwarding", "method", "tunnel", "port"),
    [
        (Forwarding.MASQUERADE, ForwardMethod.MASQUERADE, TunnelKind.IPIP, 0),
        (Forwarding.DIRECT, ForwardMethod.DIRECT, TunnelKind.IPIP, 0),
        (Forwarding.IPIP, ForwardMethod.TUNNEL, TunnelKind.IPIP, 0),
        (Forwarding.GUE, ForwardMethod.TUNNEL, TunnelKind.GUE, 6080),
    ],
)
def test_P9_each_forwarding_has_its_method(
    forwarding: Forwarding, method: ForwardMethod, tunnel: TunnelKind, port: int
) -> None:
    reals = (RealServer("10.0.0.1", 443),)
    (item,) = translate(with_(forwarding=forwarding, real_servers=reals)).destinations.values()
    assert (item.forward, item.tunnel, item.tunnel_port) == (method, tunnel, port)


def test_udp_does_not_drain() -> None:
    assert translate(with_(drain_seconds=60)).drain_seconds == 60
    assert translate(with_(key=parse_key("192.0.2.1:53/udp"), drain_seconds=60)).drain_seconds == 0


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (with_(real_servers=V6.real_servers), ["2001:db8:1::1", "IPv4"]),
        (with_(V6, real_servers=SERVER.real_servers), ["10.0.0.1", "IPv6"]),
        (with_(real_servers=(RealServer("10.0.0.1", 0),)), ["10.0.0.1", "port 0"]),
        (with_(real_servers=(RealServer("10.0.0.1", 80, weight=-1),)), ["weight -1"]),
        (with_(real_servers=(RealServer("10.0.0.1", 80, weight=65536),)), ["weight 65536"]),
        (with_(real_servers=(RealServer("10.0.0.1", 80), RealServer("10.0.0.1", 80, weight=2))), ["twice"]),
        (with_(real_servers=tuple(RealServer("10.0.0.1", n) for n in range(1, 10_001))), ["10000", "5000"]),
        (with_(forwarding=Forwarding.DIRECT), ["10.0.0.1", "31000", "443", "masquerade"]),
        (with_(affinity_seconds=-1), ["affinity of -1"]),
        (with_(proxy_protocol=True), ["PROXY protocol", "direct, ipip or gue", "engine envoy"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_kernel_cannot_carry_is_named_with_its_cure(server: VirtualServer, words: list[str]) -> None:
    reason = unfit(server)
    assert all(word in reason for word in words), reason


def test_what_it_can_carry_is_fit() -> None:
    reals = tuple(RealServer(f"10.0.{n >> 8}.{n & 255}", 65535, weight=65535) for n in range(5000))
    for server in (SERVER, V6, with_(real_servers=reals), with_(real_servers=()), with_(affinity_seconds=86400)):
        assert unfit(server) == ""


@pytest.mark.parametrize("text", ["192.0.2.1:443/tcp", "[2001:db8::1]:53/udp", "192.0.2.1:9/sctp"])
def test_keys_translate_back(text: str) -> None:
    assert virtual_server_key(service_key(parse_key(text))) == parse_key(text)


def test_a_scheduler_that_the_kernel_lacks_is_not_taken_for_something_gone() -> None:
    operation = Operation(Command.NEW_SERVICE, translate(SERVER).service)
    assert not is_drift(operation, errno.ENOENT)
    assert "load ip_vs_lc" in explain(operation, errno.ENOENT, "")


@pytest.mark.parametrize(
    ("command", "error", "drifted"),
    [
        (Command.NEW_DESTINATION, errno.EEXIST, True),
        (Command.NEW_DESTINATION, errno.ESRCH, True),
        (Command.DEL_DESTINATION, errno.ENOENT, True),
        (Command.NEW_DESTINATION, errno.ENOENT, False),
        (Command.NEW_DESTINATION, errno.EINVAL, False),
        (Command.DEL_DESTINATION, errno.EPERM, False),
    ],
)
def test_a_table_that_is_not_what_it_was_taken_for_is_read_again(command: Command, error: int, drifted: bool) -> None:
    operation = Operation(command, service_key(SERVER.key), DestinationKey("10.0.0.1", 80))
    assert is_drift(operation, error) is drifted


def test_a_refusal_names_what_was_refused_in_the_kernels_words() -> None:
    operation = Operation(Command.NEW_DESTINATION, service_key(SERVER.key), DestinationKey("10.0.0.1", 80))
    assert explain(operation, errno.EINVAL, "bad thing") == (
        "the kernel refused new destination 10.0.0.1 port 80: bad thing"
    )
    assert "CAP_NET_ADMIN" in explain(operation, errno.EPERM, "")
