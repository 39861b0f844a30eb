"""The codec against the kernel: ipvsadm is the judge, both ways. And what the kernel does when it refuses."""

import contextlib
import errno
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.testkit.namespaces import Namespace
from fleetlb_dataplane_programmer.ipvs import wire
from fleetlb_dataplane_programmer.ipvs.entries import (
    Destination,
    DestinationKey,
    ForwardMethod,
    Load,
    Service,
    ServiceFlag,
    ServiceKey,
    Timeouts,
    TunnelKind,
)
from fleetlb_dataplane_programmer.ipvs.exchange import BATCH, Batch, Failure, Query
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel, RepliesLost
from fleetlb_dataplane_programmer.ipvs.netlink import Malformed, encode_attribute, encode_message, read_attributes
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation

MANY = 3000
TCP = ServiceKey(Family.IPV4, "192.0.2.1", 80, Protocol.TCP)
SERVICE = Service(key=TCP, scheduler="wrr")
PERSISTENT, FALLBACK, WITH_PORT = ServiceFlag.PERSISTENT, ServiceFlag.SCHEDULER_1, ServiceFlag.SCHEDULER_2


@pytest.fixture
def kernel(fresh: Namespace) -> Iterator[Kernel]:
    with contextlib.closing(Kernel()) as opened:
        yield opened


def to(address: str, port: int = 80, **fields: Any) -> Destination:
    plain = Destination(key=DestinationKey(address, port), forward=ForwardMethod.MASQUERADE)
    return msgspec.structs.replace(plain, **fields)


def numbered(number: int) -> ServiceKey:
    return ServiceKey(Family.IPV4, f"10.1.{number >> 8}.{number & 255}", 80, Protocol.TCP)


def program(kernel: Kernel, operations: Sequence[Operation]) -> None:
    for start in range(0, len(operations), BATCH):
        assert kernel.apply(operations[start : start + BATCH]) == []


def saved(namespace: Namespace) -> list[str]:
    return sorted(namespace.run("ipvsadm", "-Sn").splitlines())


def both(kernel: Kernel) -> dict[Service, set[Destination]]:
    return {
        service: {destination for destination, _ in kernel.destinations(service.key)} for service in kernel.services()
    }


def _case(name: str, service: Service, lines: str, *destinations: Destination) -> Any:
    return pytest.param(service, destinations, sorted(line.strip() for line in lines.strip().splitlines()), id=name)


def _service(address: str, port: int, protocol: Protocol, scheduler: str, **fields: Any) -> Service:
    family = Family.IPV6 if ":" in address else Family.IPV4
    return Service(key=ServiceKey(family, address, port, protocol), scheduler=scheduler, **fields)


TUNNEL, DIRECT = ForwardMethod.TUNNEL, ForwardMethod.DIRECT
TABLES = [
    _case(
        "TCP with every way of forwarding",
        SERVICE,
        """
        -A -t 192.0.2.1:80 -s wrr
        -a -t 192.0.2.1:80 -r 10.0.0.1:31777 -m -w 5
        -a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 0
        -a -t 192.0.2.1:80 -r 10.0.0.3:80 -i -w 65535 --tun-type ipip
        -a -t 192.0.2.1:80 -r 10.0.0.4:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
        -a -t 192.0.2.1:80 -r 10.0.0.5:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-csum
        -a -t 192.0.2.1:80 -r 10.0.0.6:80 -i -w 1 --tun-type gue --tun-port 6082 --tun-remcsum
        -a -t 192.0.2.1:80 -r 10.0.0.7:80 -i -w 1 --tun-type gre --tun-nocsum
        -a -t 192.0.2.1:80 -r 10.0.0.8:80 -i -w 1 --tun-type gre --tun-csum
        -a -t 192.0.2.1:80 -r [2001:db8::2]:80 -i -w 1 --tun-type ipip
        """,
        to("10.0.0.1", 31777, weight=5),
        to("10.0.0.2", forward=DIRECT, weight=0),
        to("10.0.0.3", forward=TUNNEL, weight=65535),
        to("10.0.0.4", forward=TUNNEL, tunnel=TunnelKind.GUE, tunnel_port=6080),
        to("10.0.0.5", forward=TUNNEL, tunnel=TunnelKind.GUE, tunnel_port=6081, tunnel_flags=1),
        to("10.0.0.6", forward=TUNNEL, tunnel=TunnelKind.GUE, tunnel_port=6082, tunnel_flags=2),
        to("10.0.0.7", forward=TUNNEL, tunnel=TunnelKind.GRE),
        to("10.0.0.8", forward=TUNNEL, tunnel=TunnelKind.GRE, tunnel_flags=1),
        to("2001:db8::2", forward=TUNNEL),
    ),
    _case(
        "UDP v6, persistent by network, hashed",
        _service(
            "2001:db8::1", 53, Protocol.UDP, "sh", flags=PERSISTENT | FALLBACK | WITH_PORT, timeout=300, netmask=64
        ),
        """
        -A -u [2001:db8::1]:53 -s sh -p 300 -M 64 -b sh-fallback,sh-port
        -a -u [2001:db8::1]:53 -r [2001:db8::11]:5353 -m -w 1
        -a -u [2001:db8::1]:53 -r [2001:db8::12]:53 -g -w 1
        -a -u [2001:db8::1]:53 -r [::192.0.2.1]:53 -i -w 1 --tun-type ipip
        """,
        to("2001:db8::11", 5353),
        to("2001:db8::12", 53, forward=DIRECT),
        to("::c000:201", 53, forward=TUNNEL),
    ),
    _case(
        "SCTP, persistent by network, maglev",
        _service("192.0.2.3", 9999, Protocol.SCTP, "mh", flags=PERSISTENT | FALLBACK, timeout=60, netmask=24),
        """
        -A --sctp-service 192.0.2.3:9999 -s mh -p 60 -M 255.255.255.0 -b mh-fallback
        -a --sctp-service 192.0.2.3:9999 -r 10.0.0.1:9998 -m -w 1
        """,
        to("10.0.0.1", 9998),
    ),
    _case(
        "maglev with port",
        _service("192.0.2.4", 443, Protocol.TCP, "mh", flags=FALLBACK | WITH_PORT),
        "-A -t 192.0.2.4:443 -s mh -b mh-fallback,mh-port",
    ),
    _case(
        "UDP, one packet",
        _service("192.0.2.2", 514, Protocol.UDP, "rr", flags=ServiceFlag.ONE_PACKET),
        "-A -u 192.0.2.2:514 -s rr -o",
    ),
    _case(
        "persistent by the whole address",
        _service("192.0.2.5", 80, Protocol.TCP, "lc", flags=PERSISTENT, timeout=10_800),
        "-A -t 192.0.2.5:80 -s lc -p 10800",
    ),
    _case(
        "v6 with least connection",
        _service("2001:db8::5", 80, Protocol.TCP, "wlc"),
        "-A -t [2001:db8::5]:80 -s wlc",
    ),
    _case(
        "a mark",
        Service(key=ServiceKey(Family.IPV4, firewall_mark=2_000_000_000), scheduler="rr"),
        "-A -f 2000000000 -s rr\n-a -f 2000000000 -r 10.0.0.1:0 -g -w 1",
        to("10.0.0.1", 0, forward=DIRECT),
    ),
    _case(
        "a mark, v6",
        Service(key=ServiceKey(Family.IPV6, firewall_mark=7), scheduler="rr"),
        "-A -f 7 -6 -s rr\n-a -f 7 -6 -r [2001:db8::11]:0 -m -w 1",
        to("2001:db8::11", 0),
    ),
]


@pytest.mark.parametrize(("service", "destinations", "lines"), TABLES)
def test_what_we_program_is_what_ipvsadm_prints(
    service: Service, destinations: Sequence[Destination], lines: list[str], kernel: Kernel, fresh: Namespace
) -> None:
    new = [Operation(Command.NEW_DESTINATION, service.key, destination) for destination in destinations]
    program(kernel, [Operation(Command.NEW_SERVICE, service), *new])
    assert saved(fresh) == lines
    assert both(kernel) == {service: set(destinations)}
    assert kernel.service(service.key) == service
    old = [Operation(Command.DEL_DESTINATION, service.key, destination.key) for destination in destinations]
    program(kernel, [*old, Operation(Command.DEL_SERVICE, service.key)])
    assert saved(fresh) == []


@pytest.mark.parametrize(("service", "destinations", "lines"), TABLES)
def test_what_ipvsadm_programs_is_what_we_read(
    service: Service, destinations: Sequence[Destination], lines: list[str], kernel: Kernel, fresh: Namespace
) -> None:
    fresh.run("ipvsadm", "-R", stdin="".join(f"{line}\n" for line in lines))
    assert both(kernel) == {service: set(destinations)}


def test_a_change_leaves_nothing_of_what_was_there(kernel: Kernel, fresh: Namespace) -> None:
    fresh.run("ipvsadm", "-R", stdin="-A -t 192.0.2.1:80 -s mh -p 60 -M 255.255.255.0 -b mh-port\n")
    fresh.run("ipvsadm", "-a", "-t", "192.0.2.1:80", "-r", "10.0.0.1:80", "-i", "-w", "9", "-x", "1000", "-y", "800")
    program(kernel, [Operation(Command.SET_SERVICE, SERVICE), Operation(Command.SET_DESTINATION, TCP, to("10.0.0.1"))])
    assert saved(fresh) == ["-A -t 192.0.2.1:80 -s wrr", "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 1"]
    assert both(kernel) == {SERVICE: {to("10.0.0.1")}}


def test_thresholds_both_ways(kernel: Kernel, fresh: Namespace) -> None:
    ours = to("10.0.0.1", weight=0, upper_threshold=1_800_000_060, lower_threshold=7)
    program(kernel, [Operation(Command.NEW_SERVICE, SERVICE), Operation(Command.NEW_DESTINATION, TCP, ours)])
    fresh.run("ipvsadm", "-a", "-t", "192.0.2.1:80", "-r", "10.0.0.2:80", "-m", "-x", "1000", "-y", "800")
    assert both(kernel)[SERVICE] == {ours, to("10.0.0.2", upper_threshold=1000, lower_threshold=800)}
    shown = fresh.run("ipvsadm", "-Ln", "--thresholds").split("->")[-2:]
    assert sorted(" ".join(line.split()) for line in shown) == [
        "10.0.0.1:80 1800000060 7 0 0",
        "10.0.0.2:80 1000 800 0 0",
    ]


def test_timeouts_both_ways(kernel: Kernel, fresh: Namespace) -> None:
    fresh.run("ipvsadm", "--set", "801", "101", "31")
    assert kernel.timeouts() == Timeouts(tcp=801, tcp_fin=101, udp=31)
    kernel.set_timeouts(Timeouts(tcp=900, udp=30))
    assert fresh.run("ipvsadm", "-Ln", "--timeout").split(":")[1].split() == ["900", "101", "30"]


def test_the_text_is_the_kernels(kernel: Kernel, fresh: Namespace) -> None:
    assert b"192.0.2.1" not in kernel.text()
    program(kernel, [Operation(Command.NEW_SERVICE, SERVICE)])
    assert kernel.text() == fresh.run("cat", "/proc/net/ip_vs").encode()
    assert b"TCP  C0000201:0050 wrr" in kernel.text()


def test_connections_are_counted(kernel: Kernel, fresh: Namespace) -> None:
    for address in ("192.0.2.1", "10.0.0.1"):
        fresh.address("lo", f"{address}/32")
    service = Service(key=TCP, scheduler="rr", flags=PERSISTENT, timeout=60)
    program(
        kernel, [Operation(Command.NEW_SERVICE, service), Operation(Command.NEW_DESTINATION, TCP, to("10.0.0.1", 8080))]
    )
    assert kernel.destinations(TCP) == [(to("10.0.0.1", 8080), Load())]
    with socket.create_server(("10.0.0.1", 8080)), socket.create_connection(("192.0.2.1", 80), timeout=5):
        assert kernel.destinations(TCP) == [(to("10.0.0.1", 8080), Load(active=1, inactive=0, persistent=1))]


STRANGER = ServiceKey(Family.IPV4, "192.0.2.99", 80, Protocol.TCP)


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (Operation(Command.NEW_SERVICE, SERVICE), errno.EEXIST),
        (Operation(Command.SET_SERVICE, Service(key=STRANGER, scheduler="rr")), errno.ESRCH),
        (Operation(Command.DEL_SERVICE, STRANGER), errno.ESRCH),
        (Operation(Command.NEW_SERVICE, Service(key=STRANGER, scheduler="nosuch")), errno.ENOENT),
        (Operation(Command.SET_SERVICE, Service(key=TCP, scheduler="nosuch")), errno.ENOENT),
        (Operation(Command.NEW_SERVICE, _service("2001:db8::1", 80, Protocol.TCP, "rr", netmask=129)), errno.EINVAL),
        (Operation(Command.NEW_DESTINATION, TCP, to("10.0.0.1")), errno.EEXIST),
        (Operation(Command.NEW_DESTINATION, STRANGER, to("10.0.0.1")), errno.ESRCH),
        (Operation(Command.SET_DESTINATION, TCP, to("10.0.0.9")), errno.ENOENT),
        (Operation(Command.DEL_DESTINATION, TCP, DestinationKey("10.0.0.9", 80)), errno.ENOENT),
        (Operation(Command.DEL_DESTINATION, STRANGER, DestinationKey("10.0.0.9", 80)), errno.ESRCH),
        (Operation(Command.SET_DESTINATION, TCP, to("10.0.0.1", weight=1 << 31)), errno.ERANGE),
        (Operation(Command.NEW_DESTINATION, TCP, to("2001:db8::9")), errno.EINVAL),
        (Operation(Command.NEW_DESTINATION, TCP, to("224.0.0.1")), errno.EINVAL),
        (Operation(Command.NEW_DESTINATION, TCP, to("10.0.0.9", upper_threshold=1, lower_threshold=2)), errno.ERANGE),
        (
            Operation(Command.NEW_DESTINATION, TCP, to("10.0.0.9", forward=TUNNEL, tunnel=TunnelKind.GUE)),
            errno.EINVAL,
        ),
    ],
)
def test_the_kernels_refusals(operation: Operation, error: int, kernel: Kernel) -> None:
    program(kernel, [Operation(Command.NEW_SERVICE, SERVICE), Operation(Command.NEW_DESTINATION, TCP, to("10.0.0.1"))])
    assert kernel.apply([operation]) == [Failure(0, error)]
    # And where another request asks for the acknowledgement.
    assert kernel.apply([operation, Operation(Command.SET_SERVICE, SERVICE)]) == [Failure(0, error)]
    assert both(kernel) == {SERVICE: {to("10.0.0.1")}}


def test_the_kernels_words_are_passed_on(kernel: Kernel) -> None:
    batch = Batch(kernel._family, kernel._next(), [Operation(Command.FLUSH)])
    attributes = encode_attribute(4, b"\1\2")  # a timeout of two bytes
    batch.request = encode_message(kernel._family, Command.SET_CONFIG, 5, batch._first, attributes)
    kernel._converse(batch)
    assert batch.failures == [Failure(0, errno.ERANGE, "Attribute failed policy validation")]


def test_failures_in_the_middle_of_a_batch_stop_nothing(kernel: Kernel, fresh: Namespace) -> None:
    wrong = {0: errno.EEXIST, 7: errno.ENOENT, 8: errno.ENOENT, 31: errno.EEXIST, 62: errno.ENOENT}
    program(kernel, [Operation(Command.NEW_SERVICE, Service(key=numbered(place), scheduler="rr")) for place in (0, 31)])
    operations = [
        Operation(
            Command.NEW_SERVICE,
            Service(key=numbered(place), scheduler="nosuch" if wrong.get(place) == errno.ENOENT else "rr"),
        )
        for place in range(BATCH)
    ]
    assert kernel.apply(operations) == [Failure(place, error) for place, error in wrong.items()]
    there = sorted(set(range(BATCH)) - {7, 8, 62})
    assert sorted(service.key for service in kernel.services()) == sorted(map(numbered, there))
    assert saved(fresh) == sorted(f"-A -t 10.1.0.{place}:80 -s rr" for place in there)


def test_thousands_of_services_are_read_as_ipvsadm_reads_them(kernel: Kernel, fresh: Namespace) -> None:
    fill(kernel, MANY)
    new = [Operation(Command.NEW_DESTINATION, numbered(number), to("10.0.0.1", number + 1)) for number in range(MANY)]
    program(kernel, new)
    services = kernel.services()
    assert len(services) == MANY
    lines = [
        f"-a -t {service.key.address}:80 -r {destination.key.address}:{destination.key.port} -m -w 1"
        for service in services
        for destination, _ in kernel.destinations(service.key)
    ]
    lines.extend(f"-A -t {service.key.address}:80 -s {service.scheduler}" for service in services)
    assert sorted(lines) == saved(fresh)


def test_thousands_of_destinations_are_read_as_ipvsadm_reads_them(kernel: Kernel, fresh: Namespace) -> None:
    program(kernel, [Operation(Command.NEW_SERVICE, SERVICE)])
    new = [to(f"10.2.{number >> 8}.{number & 255}", weight=number) for number in range(MANY)]
    program(kernel, [Operation(Command.NEW_DESTINATION, TCP, destination) for destination in new])
    found = [destination for destination, _ in kernel.destinations(TCP)]
    assert len(found) == MANY
    assert set(found) == set(new)
    lines = [f"-a -t 192.0.2.1:80 -r {one.key.address}:80 -m -w {one.weight}" for one in found]
    assert sorted([*lines, "-A -t 192.0.2.1:80 -s wrr"]) == saved(fresh)


def fill(kernel: Kernel, count: int = 500) -> None:
    program(
        kernel,
        [Operation(Command.NEW_SERVICE, Service(key=numbered(number), scheduler="rr")) for number in range(count)],
    )


class Intruded:
    """A kernel's socket; in each of the first so many dumps somebody else acts after the first datagram of entries."""

    def __init__(self, kernel: Kernel, act: Callable[[], None], dumps: int) -> None:
        self._socket, self._act, self._dumps = kernel._socket, act, dumps
        self._is_due = False

    def send(self, request: bytes) -> int:
        self._is_due = self._dumps > 0
        self._dumps -= 1
        return self._socket.send(request)

    def recvmsg_into(self, buffers: list[bytearray]) -> Any:
        found = self._socket.recvmsg_into(buffers)
        if self._is_due:
            self._is_due = False
            self._act()
        return found

    def recv_into(self, buffer: bytearray, size: int, flags: int) -> int:
        return self._socket.recv_into(buffer, size, flags)

    def close(self) -> None:
        self._socket.close()


def intrude(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], dumps: int) -> None:
    monkeypatch.setattr(kernel, "_socket", Intruded(kernel, act, dumps))


def dump_once(kernel: Kernel) -> Query[Service]:
    query = Query(kernel._family, kernel._next(), Command.GET_SERVICE, wire.decode_service)
    kernel._converse(query)
    return query


def test_the_kernel_leaves_out_entries_without_a_word(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason why what comes in parts is read twice. If this fails, the kernel has learned to say so.

    Every second one is removed: the kernel may make its hash table larger at any moment, so nobody knows which one
    stands before the place where the next part begins.
    """
    fill(kernel)
    removed = set(map(numbered, range(0, 500, 2)))
    with contextlib.closing(Kernel()) as other:
        removals = [Operation(Command.DEL_SERVICE, key) for key in removed]
        intrude(kernel, monkeypatch, lambda: program(other, removals), dumps=1)
        query = dump_once(kernel)
    assert not query.is_interrupted
    assert query.parts > 1
    found = {service.key for service in query.entries}
    assert set(map(numbered, range(500))) - found - removed


def test_a_table_changed_while_it_is_read_is_whole(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(kernel)
    first, *_ = (service.key for service in kernel.services())
    with contextlib.closing(Kernel()) as other:
        intrude(kernel, monkeypatch, lambda: program(other, [Operation(Command.DEL_SERVICE, first)]), dumps=1)
        found = [service.key for service in kernel.services()]
    assert sorted(found) == sorted(set(map(numbered, range(500))) - {first})


@pytest.mark.parametrize(
    "change",
    [
        Operation(Command.NEW_DESTINATION, TCP, to("10.3.0.1")),  # goes to the front: one is told twice
        Operation(Command.DEL_DESTINATION, TCP, DestinationKey("10.2.1.243", 80)),  # stood in front: one is left out
    ],
    ids=["new", "gone"],
)
def test_a_service_changed_while_it_is_read_is_whole(
    change: Operation, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = [to(f"10.2.{number >> 8}.{number & 255}") for number in range(500)]
    program(kernel, [Operation(Command.NEW_SERVICE, SERVICE)])
    program(kernel, [Operation(Command.NEW_DESTINATION, TCP, destination) for destination in new])
    with contextlib.closing(Kernel()) as other:
        intrude(kernel, monkeypatch, lambda: program(other, [change]), dumps=1)
        found = [destination.key for destination, _ in kernel.destinations(TCP)]
    assert len(found) == len(set(found))
    named = change.destination.key if isinstance(change.destination, Destination) else change.destination
    assert set(found) == {destination.key for destination in new} ^ {named}


def test_a_table_that_always_changes_is_not_told_in_part(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(kernel)
    there = [service.key for service in kernel.services()]
    with contextlib.closing(Kernel()) as other:
        intrude(kernel, monkeypatch, lambda: program(other, [Operation(Command.DEL_SERVICE, there.pop(0))]), dumps=99)
        with pytest.raises(RepliesLost, match="as a whole in 5 tries"):
            kernel.services()


_CHURN = """
import itertools, sys
from fleetlb.domain.addresses import Family, Protocol
from fleetlb_dataplane_programmer.ipvs.entries import Service, ServiceKey
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation
kernel = Kernel()
print("begun", flush=True)
keys = [ServiceKey(Family.IPV4, f"10.9.0.{number}", 80, Protocol.TCP) for number in range(200)]
for key in itertools.cycle(keys):
    kernel.apply([Operation(Command.NEW_SERVICE, Service(key=key, scheduler="rr"))])
    kernel.apply([Operation(Command.DEL_SERVICE, key)])
"""


def test_whatever_another_process_does_what_stands_is_told_or_nothing(kernel: Kernel) -> None:
    fill(kernel)
    standing = set(map(numbered, range(500)))
    with subprocess.Popen([sys.executable, "-c", _CHURN], stdout=subprocess.PIPE) as churn:
        try:
            assert churn.stdout is not None
            assert churn.stdout.readline() == b"begun\n"
            for _ in range(10):
                with contextlib.suppress(RepliesLost):
                    found = [service.key for service in kernel.services()]
                    assert len(found) == len(set(found))
                    assert standing <= set(found)
        finally:
            churn.kill()
    assert {service.key for service in kernel.services()} >= standing


def lost(cause: str) -> float:
    return REGISTRY.get_sample_value("fleetlb_ipvs_lost_replies_total", {"cause": cause}) or 0


def test_refusals_that_do_not_fit_the_socket_are_told(kernel: Kernel) -> None:
    before = lost("overrun")
    program(kernel, [Operation(Command.NEW_SERVICE, SERVICE)])
    kernel._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the kernel's minimum, about 2 KiB
    with pytest.raises(RepliesLost, match="No buffer space"):
        kernel.apply(
            [Operation(Command.NEW_SERVICE, SERVICE)] * (BATCH - 1) + [Operation(Command.SET_SERVICE, SERVICE)]
        )
    assert lost("overrun") == before + 1
    # The socket is usable at once, and no late refusal is taken for that of another change.
    assert kernel.apply([Operation(Command.SET_SERVICE, SERVICE)]) == []
    assert kernel.services() == [SERVICE]


def test_a_batch_that_succeeds_needs_room_for_one_acknowledgement(kernel: Kernel) -> None:
    kernel._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    fill(kernel, BATCH)
    assert len(kernel.services()) == BATCH


def test_a_dump_that_was_left_half_read_does_not_block_the_next(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(kernel)
    before = lost("malformed")

    def refuse(body: memoryview) -> Service:
        raise Malformed("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(wire, "decode_service", refuse)
        with pytest.raises(RepliesLost, match="as a whole"):
            kernel.services()
    assert lost("malformed") == before + 5
    busy = lost("refused")
    assert len(kernel.services()) == 500
    assert lost("refused") == busy


def raw(kernel: Kernel, command: Command, attributes: bytes) -> None:
    batch = Batch(kernel._family, kernel._next(), [Operation(Command.FLUSH)])
    batch.request = encode_message(kernel._family, command, 5, batch._first, attributes)
    kernel._converse(batch)
    assert batch.failures == []


def _with(encoded: bytes, outer: int, kind: int, payload: bytes) -> bytes:
    nested = {**read_attributes(read_attributes(memoryview(encoded))[outer]), kind: payload}
    return encode_attribute(outer | 0x8000, b"".join(encode_attribute(key, bytes(nested[key])) for key in nested))


def test_what_others_put_there_hides_nothing(kernel: Kernel) -> None:
    program(kernel, [Operation(Command.NEW_SERVICE, SERVICE), Operation(Command.NEW_DESTINATION, TCP, to("10.0.0.1"))])
    esp = wire.encode_service(msgspec.structs.replace(SERVICE, key=msgspec.structs.replace(TCP, address="192.0.2.50")))
    raw(kernel, Command.NEW_SERVICE, _with(esp, 1, 2, struct.pack("=H", socket.IPPROTO_ESP)))
    masked = msgspec.structs.replace(SERVICE, key=STRANGER)
    raw(kernel, Command.NEW_SERVICE, _with(wire.encode_service(masked), 1, 9, b"\xff\0\xff\0"))
    strange = to("10.0.0.2", forward=7)
    kind = to("10.0.0.3", forward=TUNNEL, tunnel=200)
    for destination in (strange, kind):
        raw(kernel, Command.NEW_DESTINATION, wire.encode_service(TCP) + wire.encode_destination(destination))
    assert both(kernel) == {
        SERVICE: {to("10.0.0.1"), strange, kind},
        msgspec.structs.replace(masked, netmask=~0xFF00FF00): set(),
    }
    # What was read can be written again, with another weight for instance.
    drained = [msgspec.structs.replace(one, weight=0) for one in (strange, kind)]
    program(kernel, [Operation(Command.SET_DESTINATION, TCP, one) for one in drained])
    assert both(kernel)[SERVICE] == {to("10.0.0.1"), *drained}


def test_a_kernel_stays_in_the_namespace_where_it_was_opened(kernel: Kernel) -> None:
    with Namespace("other") as other, other.entered(), contextlib.closing(Kernel()) as elsewhere:
        program(kernel, [Operation(Command.NEW_SERVICE, SERVICE)])
        assert elsewhere.services() == []
        assert b"wrr" not in elsewhere.text()
        assert kernel.services() == [SERVICE]
        assert b"wrr" in kernel.text()


def test_flush_leaves_nothing(kernel: Kernel, fresh: Namespace) -> None:
    fill(kernel, BATCH)
    kernel.flush()
    assert kernel.services() == []
    assert saved(fresh) == []


def test_sequence_numbers_begin_again(kernel: Kernel) -> None:
    kernel._sequence = 0x7FFFFFFF - BATCH // 2
    for _ in range(3):
        fill(kernel, BATCH)
        assert len(kernel.services()) == BATCH
        kernel.flush()
    assert kernel._sequence < 1000


_WITHOUT_RIGHT = """
import os
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel, KernelUnavailable
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    Kernel()
except KernelUnavailable as problem:
    print(problem)
"""


def test_without_the_right_the_cure_is_named(fresh: Namespace) -> None:
    assert "give it the capability CAP_NET_ADMIN" in fresh.run(sys.executable, "-c", _WITHOUT_RIGHT)


def test_nothing_stays_open(kernel: Kernel) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        Kernel().close()
    assert os.listdir("/proc/self/fd") == before
