from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.runtime.bus import Ack, Bus, Message, StreamMissing, TooLarge
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.testkit.fake_bus import FakeBus


def test_both_buses_fit_the_port() -> None:
    kinds: tuple[type[Bus], ...] = (JetStreamBus, FakeBus)
    for kind in kinds:
        assert {name for name in vars(Bus) if not name.startswith("_")} <= set(dir(kind))


def test_a_missing_stream_may_come_and_a_large_message_never_shrinks() -> None:
    assert issubclass(StreamMissing, Transient)
    assert issubclass(TooLarge, FleetlbError)
    assert not issubclass(TooLarge, Transient)


def test_values_compare_by_content() -> None:
    assert Ack("S", 1) == Ack("S", 1, duplicate=False)
    assert Message("a", b"1", 1) == Message("a", b"1", 1, {})
