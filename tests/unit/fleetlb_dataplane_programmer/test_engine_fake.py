"""What only the fake has; the rest is in tests/contract/test_engine_contract.py."""

from fleetlb.domain.virtual_servers import Scheduler, VirtualServerKey
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.wishes import a_virtual_server
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.engine_fake import FakeEngine

SERVER = a_virtual_server("192.0.2.1:443/tcp", ["10.0.0.2:31000", "10.0.0.1:31000"])


def _engine() -> tuple[FakeEngine, list[tuple[VirtualServerKey, Outcome]]]:
    outcomes: list[tuple[VirtualServerKey, Outcome]] = []
    engine = FakeEngine(lambda key, outcome: outcomes.append((key, outcome)))
    engine.complete()
    return engine, outcomes


async def test_the_dump_reads_like_the_kernels() -> None:
    engine, outcomes = _engine()
    engine.apply(SERVER, 1)
    engine.apply(a_virtual_server("[2001:db8::1]:53/udp", (), scheduler=Scheduler.MAGLEV), 2)
    await eventually(lambda: len(outcomes) == 2)
    assert engine.dump() == (
        "TCP  192.0.2.1:443 lc\n  -> 10.0.0.1:31000 1\n  -> 10.0.0.2:31000 1\nUDP  [2001:db8::1]:53 mh"
    )
    assert engine.changes == 2


async def test_a_data_plane_that_is_away_says_nothing_until_it_is_back() -> None:
    engine, outcomes = _engine()
    engine.is_away = True
    engine.apply(SERVER, 1)
    other = a_virtual_server("192.0.2.2:443/tcp")
    engine.is_away = False
    engine.apply(other, 2)
    await eventually(lambda: outcomes != [])
    assert [key for key, _ in outcomes] == [other.key]
    engine.settle()
    await eventually(lambda: (SERVER.key, Outcome(state=State.PROGRAMMED, token=1)) in outcomes)


async def test_a_refused_wish_changes_nothing() -> None:
    engine, outcomes = _engine()
    engine.rejecting[SERVER.key] = "no"
    engine.apply(SERVER, 1)
    await eventually(lambda: outcomes != [])
    assert outcomes == [(SERVER.key, Outcome(state=State.REJECTED, token=1, message="no"))]
    assert (engine.dump(), engine.changes) == ("", 0)
