import asyncio

from prometheus_client import REGISTRY

from fleetlb.contracts.streams import PARKED_STREAM
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.fake_bus import FakeBus
from fleetlb_manager.parking import KEPT_BYTES, MAX_WAITING, Parking


def counted(tenant: str) -> float:
    return REGISTRY.get_sample_value("fleetlb_parked_messages_total", {"tenant": tenant}) or 0.0


async def test_a_message_is_kept_cut_and_counted_once() -> None:
    bus = FakeBus()
    await bus.ensure_stream(PARKED_STREAM)
    parking = Parking(bus)
    task = asyncio.get_running_loop().create_task(parking.run())
    for _ in range(2):
        parking.put("parked-1", "AACME", 7, b"x" * (KEPT_BYTES + 5), "nonsense")
    await eventually(lambda: bus.published)
    assert bus.published == [("fleetlb.v1.parked.AACME.7", b"x" * KEPT_BYTES)]
    assert counted("parked-1") == 1
    task.cancel()


async def test_a_flood_is_counted_and_bounded_and_a_missing_stream_hurts_nobody() -> None:
    bus = FakeBus()
    parking = Parking(bus)
    for number in range(MAX_WAITING + 50):
        parking.put("parked-2", "AACME", number, b"", "nonsense")
    assert counted("parked-2") == MAX_WAITING + 50
    task = asyncio.get_running_loop().create_task(parking.run())
    await asyncio.sleep(0)
    await bus.ensure_stream(PARKED_STREAM)
    parking.put("parked-2", "AACME", 10_000, b"last", "nonsense")
    await eventually(lambda: ("fleetlb.v1.parked.AACME.10000", b"last") in bus.published)
    assert len(bus.published) <= MAX_WAITING
    task.cancel()
