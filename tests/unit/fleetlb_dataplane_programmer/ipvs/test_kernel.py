"""What becomes of a conversation that goes wrong, without a kernel: the socket is a script. With one: tests/ipvs."""

import errno
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from fleetlb_dataplane_programmer.ipvs import kernel as module
from fleetlb_dataplane_programmer.ipvs.entries import Info, ServiceKey, Timeouts
from fleetlb_dataplane_programmer.ipvs.exchange import BATCH, Failure
from fleetlb_dataplane_programmer.ipvs.kernel import Kernel, KernelUnavailable, RepliesLost
from fleetlb_dataplane_programmer.ipvs.netlink import Flag
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation
from tests.unit.fleetlb_dataplane_programmer.ipvs.golden_bytes import FAMILY, REPLIES
from tests.unit.fleetlb_dataplane_programmer.ipvs.scripted_netlink import (
    Answer,
    Datagram,
    Event,
    ScriptedSocket,
    joined,
    nothing,
    numbered,
    recorded,
    refused,
)
from tests.unit.fleetlb_dataplane_programmer.ipvs.test_wire import (
    BY_NETWORK,
    HASHED,
    MARK6,
    OF_A_MARK,
    ONE_PACKET,
    PLAIN,
    TCP,
)

CHANGE = Operation(Command.FLUSH)
DONE = refused(0)
SERVICES = [BY_NETWORK, HASHED, OF_A_MARK, PLAIN, ONE_PACKET]
TRIES = 5
Open = Callable[..., tuple[Kernel, ScriptedSocket]]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ip_vs"
    path.write_bytes(b"IP Virtual Server\n" * 10_000)
    monkeypatch.setattr(module, "_TEXT", str(path))
    return path


@pytest.fixture
def plug(text: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[ScriptedSocket], ScriptedSocket]:
    def plug_in(scripted: ScriptedSocket) -> ScriptedSocket:
        monkeypatch.setattr(socket, "socket", lambda *kind: scripted)
        return scripted

    return plug_in


@pytest.fixture
def opened(plug: Callable[[ScriptedSocket], ScriptedSocket]) -> Open:
    def open_kernel(*answers: Answer) -> tuple[Kernel, ScriptedSocket]:
        scripted = plug(ScriptedSocket(recorded("family"), recorded("info"), *answers))
        return Kernel(), scripted

    return open_kernel


def lost(cause: str) -> float:
    return REGISTRY.get_sample_value("fleetlb_ipvs_lost_replies_total", {"cause": cause}) or 0


def breaks(error: int) -> Answer:
    return lambda sequence: [OSError(error, "on purpose")]


def part(name: str, datagram: int) -> Answer:
    return lambda sequence: [numbered(REPLIES[name][datagram], sequence)]


def flagged(flag: Flag, answer: Answer) -> Answer:
    """The answer with a flag in the header of each of its datagrams."""

    def marked(sequence: int) -> list[Event]:
        events = [bytearray(event) for event in answer(sequence) if isinstance(event, bytes)]
        for event in events:
            event[6] |= flag
        return [bytes(event) for event in events]

    return marked


ENTRIES, END = part("services", 0), part("services", 1)
ONE_ENTRY = part("service", 0)


def test_the_socket_explains_itself_and_is_never_waited_on_for_ever(opened: Open) -> None:
    kernel, scripted = opened()
    assert scripted.is_bound
    assert scripted.options[270, 11] == scripted.options[270, 10] == 1  # NETLINK_EXT_ACK, NETLINK_CAP_ACK
    assert scripted.options[socket.SOL_SOCKET, socket.SO_RCVTIMEO] == struct.pack("@ll", 5, 0)
    kernel.close()
    assert scripted.is_closed


def test_the_kernels_own_number_of_the_family_is_used(opened: Open) -> None:
    _, scripted = opened()
    assert [struct.unpack_from("=H", request, 4)[0] for request in scripted.sent] == [0x10, FAMILY]


def test_without_netlink_there_is_no_kernel(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*kind: int) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(KernelUnavailable, match=r"no netlink socket can be had: .*Protocol not supported"):
        Kernel()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        pytest.param([recorded("no such family")], "modprobe ip_vs", id="no ip_vs"),
        pytest.param([DONE], "modprobe ip_vs", id="an answer without a family"),
        pytest.param([recorded("family"), refused(errno.EPERM)], "CAP_NET_ADMIN", id="no right"),
        pytest.param([recorded("family"), refused(errno.EACCES)], "CAP_NET_ADMIN", id="forbidden"),
        pytest.param([recorded("family"), refused(errno.ENOMEM)], "GET_INFO failed: Cannot allocate", id="no memory"),
        pytest.param([recorded("family"), DONE], "GET_INFO was answered with nothing", id="no info"),
        pytest.param([recorded("family"), refused(errno.ENOENT)], "GET_INFO was answered with nothing", id="no entry"),
        pytest.param([nothing], "no answer within 5 s", id="silence"),
        pytest.param([recorded("family"), breaks(errno.ENOBUFS)], "broke off", id="an overrun"),
    ],
)
def test_what_cannot_be_used_is_unavailable_and_names_the_cure(
    answers: list[Answer], words: str, plug: Callable[[ScriptedSocket], ScriptedSocket]
) -> None:
    scripted = plug(ScriptedSocket(*answers))
    with pytest.raises(KernelUnavailable, match=words):
        Kernel()
    assert scripted.is_closed


def test_without_the_table_as_text_there_is_no_kernel(
    text: Path, plug: Callable[[ScriptedSocket], ScriptedSocket]
) -> None:
    scripted = plug(ScriptedSocket(recorded("family"), recorded("info")))
    text.unlink()
    with pytest.raises(KernelUnavailable, match=r"ip_vs cannot be read: .*No such file"):
        Kernel()
    assert scripted.is_closed


def test_a_socket_that_cannot_be_set_up_is_closed(plug: Callable[[ScriptedSocket], ScriptedSocket]) -> None:
    scripted = plug(ScriptedSocket())
    scripted.refused_options[270, 11] = OSError(errno.ENOPROTOOPT, "Protocol not available")
    with pytest.raises(KernelUnavailable, match="Protocol not available"):
        Kernel()
    assert scripted.is_closed


def test_large_buffers_are_not_insisted_on(plug: Callable[[ScriptedSocket], ScriptedSocket]) -> None:
    scripted = plug(ScriptedSocket(recorded("family"), recorded("info"), recorded("info")))
    for option in (32, 33):
        scripted.refused_options[socket.SOL_SOCKET, option] = PermissionError(errno.EPERM, "Operation not permitted")
    assert Kernel().info() == Info((1, 2, 1), 256)


def test_the_text_is_read_anew_and_to_its_end(text: Path, opened: Open) -> None:
    kernel, _ = opened()
    assert kernel.text() == b"IP Virtual Server\n" * 10_000
    text.write_bytes(b"changed")
    assert kernel.text() == b"changed"
    kernel.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.text()


@pytest.mark.parametrize("count", [0, BATCH + 1])
def test_a_batch_has_a_size(count: int, opened: Open) -> None:
    kernel, scripted = opened()
    sent = len(scripted.sent)
    with pytest.raises(ValueError, match=f"1 to 64 operations, not {count}"):
        kernel.apply([CHANGE] * count)
    assert len(scripted.sent) == sent


def test_changes_are_counted_and_failures_returned(opened: Open) -> None:
    kernel, _ = opened(joined(lambda last: refused(errno.EEXIST)(last - 7), DONE))
    before = REGISTRY.get_sample_value("fleetlb_ipvs_writes_total") or 0
    assert kernel.apply([CHANGE] * 8) == [Failure(0, errno.EEXIST)]
    assert REGISTRY.get_sample_value("fleetlb_ipvs_writes_total") == before + 8


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [
        pytest.param(breaks(errno.ENOBUFS), "overrun", "on purpose", id="an overrun"),
        pytest.param(nothing, "timeout", "no answer within 5 s", id="silence"),
        pytest.param(breaks(errno.EBADF), "socket", "on purpose", id="a dead socket"),
        pytest.param(lambda last: [b"\1"], "malformed", "ends in its header", id="noise"),
        pytest.param(lambda last: [Datagram(bytes(8), is_cut=True)], "malformed", "longer than the buffer", id="cut"),
    ],
)
def test_a_conversation_that_breaks_off_is_told_and_counted(
    answer: Answer, cause: str, words: str, opened: Open
) -> None:
    kernel, _ = opened(answer, answer)
    before = lost(cause)
    for ask in (lambda: kernel.apply([CHANGE]), lambda: kernel.service(TCP)):
        with pytest.raises(RepliesLost, match=words):
            ask()
    assert lost(cause) == before + 2


def test_a_failing_send_is_a_broken_conversation(opened: Open) -> None:
    def fail(sequence: int) -> list[Event]:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    kernel, _ = opened(fail)
    with pytest.raises(RepliesLost, match="No buffer space"):
        kernel.apply([CHANGE])


def test_what_is_left_of_a_broken_conversation_is_read_away(opened: Open) -> None:
    rest = joined(breaks(errno.ENOBUFS), refused(errno.EEXIST), breaks(errno.ENOBUFS), *[refused(errno.EEXIST)] * 200)
    kernel, scripted = opened(rest, DONE)
    with pytest.raises(RepliesLost):
        kernel.apply([CHANGE])
    assert scripted._waiting == []
    assert kernel.apply([CHANGE]) == []


def test_an_answer_that_comes_too_late_is_nobodys(opened: Open) -> None:
    def late(last: int) -> list[Event]:
        return [*refused(errno.EEXIST)(last - 1), *recorded("services")(last - 1), *DONE(last)]

    kernel, _ = opened(nothing, late)
    with pytest.raises(RepliesLost):
        kernel.apply([CHANGE])
    assert kernel.apply([CHANGE]) == []


def test_only_the_kernel_is_believed(opened: Open) -> None:
    def forged(last: int) -> list[Event]:
        [lie] = refused(errno.EEXIST)(last)
        assert isinstance(lie, bytes)
        return [Datagram(lie, sender=4711), Datagram(b"\1", sender=4711, is_cut=True), *DONE(last)]

    kernel, _ = opened(forged)
    assert kernel.apply([CHANGE]) == []


def test_a_dump_in_one_part_is_read_once(opened: Open) -> None:
    kernel, scripted = opened(recorded("services"))
    assert kernel.services() == SERVICES
    assert scripted.answers == []


def test_a_dump_in_parts_must_come_out_twice_the_same(opened: Open) -> None:
    halves = joined(ENTRIES, ONE_ENTRY, END)
    whole = joined(part("services", 0), lambda sequence: [_mark_8(sequence)], END)
    kernel, scripted = opened(whole, whole)
    assert [service.key for service in kernel.services()][-1] == ServiceKey(MARK6.family, firewall_mark=8)
    assert scripted.answers == []

    before = lost("changed")
    kernel, scripted = opened(halves, whole, whole)
    assert len(kernel.services()) == 6
    assert scripted.answers == []
    assert lost("changed") == before + 1


def _mark_8(sequence: int) -> bytes:
    """The third recorded service, of mark 7, as that of mark 8."""
    datagram = numbered(REPLIES["services"][0], sequence)
    start = 2 * 320
    length = struct.unpack_from("=I", datagram, start)[0]
    return datagram[start : start + length].replace(struct.pack("=HHI", 8, 5, 7), struct.pack("=HHI", 8, 5, 8))


def test_a_dump_that_names_an_entry_twice_is_not_whole(opened: Open) -> None:
    repeated = joined(ENTRIES, ONE_ENTRY, END)
    kernel, scripted = opened(*[repeated] * TRIES)
    with pytest.raises(RepliesLost, match="GET_SERVICE could not be read as a whole in 5 tries"):
        kernel.services()
    assert scripted.answers == []


def test_a_table_that_never_stands_still_is_not_told_in_part(opened: Open) -> None:
    more = joined(ENTRIES, lambda sequence: [_mark_8(sequence)], END)
    fewer = joined(lambda sequence: [_mark_8(sequence)], ONE_ENTRY, END)
    kernel, _ = opened(more, fewer, more, fewer, more)
    with pytest.raises(RepliesLost, match="as a whole"):
        kernel.services()


def test_an_interrupted_dump_is_read_again(opened: Open) -> None:
    before = lost("interrupted")
    kernel, _ = opened(
        flagged(Flag.DUMP_INTERRUPTED, recorded("services")),
        joined(ENTRIES, flagged(Flag.DUMP_INTERRUPTED, END)),
        recorded("services"),
    )
    assert kernel.services() == SERVICES
    assert lost("interrupted") == before + 2


def test_a_dump_that_is_always_interrupted_is_given_up(opened: Open) -> None:
    kernel, scripted = opened(*[flagged(Flag.DUMP_INTERRUPTED, recorded("services"))] * TRIES)
    with pytest.raises(RepliesLost, match="as a whole in 5 tries"):
        kernel.services()
    assert scripted.answers == []


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(ENTRIES, id="no end"),
        pytest.param(joined(ENTRIES, breaks(errno.ENOBUFS), END), id="an overrun"),
        pytest.param(joined(ENTRIES, lambda last: [b"\1"], ENTRIES, END), id="noise"),
        pytest.param(joined(ENTRIES, lambda last: [Datagram(b"", is_cut=True)], END), id="cut"),
        pytest.param(joined(ENTRIES, refused(errno.ENOBUFS)), id="an error after entries"),
        pytest.param(refused(errno.EBUSY), id="busy"),
    ],
)
def test_a_dump_that_breaks_off_is_read_again_and_never_told_in_part(broken: Answer, opened: Open) -> None:
    kernel, _ = opened(broken, recorded("services"))
    assert kernel.services() == SERVICES
    kernel, _ = opened(*[broken] * TRIES)
    with pytest.raises(RepliesLost, match="as a whole"):
        kernel.services()


def test_destinations_of_a_service_that_is_not_there_are_none(opened: Open) -> None:
    kernel, _ = opened(recorded("destinations of none"), recorded("destinations"))
    assert kernel.destinations(TCP) == []
    assert len(kernel.destinations(TCP)) == 6


def test_one_service_is_there_or_not(opened: Open) -> None:
    kernel, _ = opened(recorded("service"), recorded("no service"), refused(errno.ENOENT))
    assert [kernel.service(TCP) for _ in range(3)] == [PLAIN, None, None]


def test_timeouts_are_read_and_set(opened: Open) -> None:
    kernel, scripted = opened(recorded("timeouts"), recorded("timeouts set"), refused(errno.EINVAL))
    assert kernel.timeouts() == Timeouts(tcp=900, tcp_fin=120, udp=300)
    kernel.set_timeouts(Timeouts(tcp=901))
    assert scripted.sent[-1][16] == Command.SET_CONFIG
    with pytest.raises(RepliesLost, match="SET_CONFIG failed: Invalid argument"):
        kernel.set_timeouts(Timeouts(tcp=0xFFFFFFFF))


def test_a_right_that_is_taken_away_is_named(opened: Open) -> None:
    kernel, _ = opened(refused(errno.EPERM))
    with pytest.raises(KernelUnavailable, match="CAP_NET_ADMIN"):
        kernel.service(TCP)


def test_sequence_numbers_begin_again_before_they_run_out(opened: Open) -> None:
    kernel, scripted = opened(*[joined(lambda last: refused(errno.ESRCH)(last - 1), DONE)] * 3)
    kernel._sequence = 0x7FFFFFF0
    failures = [kernel.apply([CHANGE] * BATCH) for _ in range(3)]
    assert scripted.sequences[-3:] == [0x7FFFFFF1, 1, 65]
    assert failures == [[Failure(BATCH - 2, errno.ESRCH)]] * 3
