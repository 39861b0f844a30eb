"""Whatever the kernel holds, and wherever a plan is cut, the table ends as wished; nothing more is sent than needed."""

import itertools
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.virtual_servers import Forwarding, RealServer, Scheduler, VirtualServer, parse_key
from fleetlb_dataplane_programmer.ipvs.diffing import Actual, Plan, diff, is_as_asked
from fleetlb_dataplane_programmer.ipvs.entries import (
    Destination,
    DestinationKey,
    ForwardMethod,
    Load,
    Service,
    ServiceFlag,
)
from fleetlb_dataplane_programmer.ipvs.translating import Target, service_key, translate
from fleetlb_dataplane_programmer.ipvs.wire import Command, Operation

KEY = parse_key("192.0.2.1:443/tcp")
NAME = service_key(KEY)
NOW = 1_800_000_000
REALS = [RealServer("10.0.0.1", 31000), RealServer("10.0.0.2", 31000, weight=3), RealServer("10.0.0.3", 31000)]


def target(*reals: RealServer, key: str = "192.0.2.1:443/tcp", **fields: object) -> Target:
    server = VirtualServer(key=parse_key(key), real_servers=reals)
    return translate(msgspec.structs.replace(server, **fields))


def after(actual: Actual, operation: Operation) -> Actual:
    """The kernel's table after one operation, by the kernel's rules. Raises AssertionError where it would refuse."""
    destinations = dict(actual.destinations)
    service, item = operation.service, operation.destination
    match operation.command:
        case Command.NEW_SERVICE:
            assert actual.service is None
            assert isinstance(service, Service)
            return Actual(service, {})
        case Command.SET_SERVICE:
            assert actual.service is not None
            assert isinstance(service, Service)
            return Actual(service, destinations)
        case Command.DEL_SERVICE:
            assert actual.service is not None
            return Actual()
    assert actual.service is not None
    match operation.command, item:
        case Command.NEW_DESTINATION, Destination():
            assert item.key not in destinations
            destinations[item.key] = (item, Load())
        case Command.SET_DESTINATION, Destination():
            destinations[item.key] = (item, destinations[item.key][1])
        case Command.DEL_DESTINATION, DestinationKey():
            del destinations[item]
        case unexpected:
            raise AssertionError(unexpected)
    return Actual(actual.service, destinations)


def run(actual: Actual, plan: Plan) -> Actual:
    for operation in plan.operations:
        actual = after(actual, operation)
    return actual


def settled(wanted: Target | None, actual: Actual, now: int = NOW) -> Actual:
    """The table once everything is done, drains included, and nobody connects any more."""
    for _ in range(20):
        plan = diff(NAME, wanted, actual, now)
        actual = run(actual, plan)
        if not plan.operations and plan.look_again is None:
            return actual
        now += int(plan.look_again or 0) + 1
    raise AssertionError("it never ends")


def is_exactly(wanted: Target | None, actual: Actual) -> bool:
    if wanted is None:
        return actual.service is None
    held = {name: destination for name, (destination, _) in actual.destinations.items()}
    return actual.service == wanted.service and held == wanted.destinations


def every_target() -> Iterator[Target | None]:
    yield None
    for count in range(len(REALS) + 1):
        for chosen in itertools.combinations(REALS, count):
            yield target(*chosen)
    yield target(*REALS, scheduler=Scheduler.MAGLEV)
    yield target(*REALS, affinity_seconds=300)
    yield target(*(msgspec.structs.replace(real, weight=0) for real in REALS))
    yield target(*(msgspec.structs.replace(real, port=443) for real in REALS), forwarding=Forwarding.DIRECT)
    yield target(REALS[0], drain_seconds=0)


def held_of(wanted: Target | None, load: Load = Load()) -> Actual:  # noqa: B008 (frozen)
    if wanted is None:
        return Actual()
    return Actual(wanted.service, {name: (item, load) for name, item in wanted.destinations.items()})


PAIRS = list(itertools.product(every_target(), every_target()))


@pytest.mark.parametrize("load", [Load(), Load(active=5)], ids=["idle", "busy"])
def test_from_any_table_to_any_other_cut_after_any_operation(load: Load) -> None:
    for before, wanted in PAIRS:
        start = held_of(before, load)
        plan = diff(NAME, wanted, start, NOW)
        for cut in range(len(plan.operations) + 1):
            torn = run(start, Plan(plan.operations[:cut]))
            assert is_exactly(wanted, settled(wanted, torn)), (before, wanted, cut)


def test_only_what_was_asked_is_as_asked() -> None:
    for held, wanted in PAIRS:
        exact = is_exactly(wanted, held_of(held))
        assert is_as_asked(wanted, held_of(held)) is exact
    wanted, busy = target(REALS[0]), held_of(target(*REALS), Load(active=1))
    assert not is_as_asked(wanted, busy)
    assert is_as_asked(wanted, run(busy, diff(NAME, wanted, busy, NOW))), "what drains is no deviation"


def test_what_is_right_is_left_alone() -> None:
    for wanted in every_target():
        assert diff(NAME, wanted, held_of(wanted, Load(active=9)), NOW) == Plan()


def test_new_destinations_come_before_old_ones_go() -> None:
    plan = diff(NAME, target(REALS[1]), held_of(target(REALS[0])), NOW)
    assert [operation.command for operation in plan.operations] == [Command.NEW_DESTINATION, Command.SET_DESTINATION]


def test_a_change_costs_the_same_however_many_stay() -> None:
    for standing in (0, 10, 1000):
        stay = [RealServer(f"10.1.{n >> 8}.{n & 255}", 31000) for n in range(standing)]
        plan = diff(NAME, target(*stay, REALS[0]), held_of(target(*stay)), NOW)
        assert len(plan.operations) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"weight": 9},
        {"forward": ForwardMethod.DIRECT},
        {"upper_threshold": 7},
        {"tunnel_port": 6080},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_of_a_destination_is_compared(change: dict[str, object]) -> None:
    wanted = target(REALS[0])
    (item,) = wanted.destinations.values()
    drifted = Actual(wanted.service, {item.key: (msgspec.structs.replace(item, **change), Load())})
    assert diff(NAME, wanted, drifted, NOW).operations == (Operation(Command.SET_DESTINATION, NAME, item),)


@pytest.mark.parametrize(
    "change",
    [{"scheduler": "rr"}, {"flags": ServiceFlag.PERSISTENT}, {"timeout": 5}, {"netmask": 24}],
    ids=lambda change: next(iter(change)),
)
def test_every_field_of_a_service_is_compared(change: dict[str, object]) -> None:
    wanted = target(REALS[0])
    held = msgspec.structs.replace(held_of(wanted), service=msgspec.structs.replace(wanted.service, **change))
    assert diff(NAME, wanted, held, NOW).operations == (Operation(Command.SET_SERVICE, wanted.service),)


def test_P6_a_destination_that_leaves_drains_until_its_connections_end_or_the_time_is_up() -> None:
    wanted, busy = target(drain_seconds=60), held_of(target(REALS[0], drain_seconds=60), Load(active=1))
    begun = run(busy, diff(NAME, wanted, busy, NOW))
    ((item, _),) = begun.destinations.values()
    assert (item.weight, item.upper_threshold) == (0, NOW + 60)
    for later in (0, 1, 30, 59):
        plan = diff(NAME, wanted, begun, NOW + later)
        assert plan.operations == ()
        assert plan.look_again is not None
        assert later + plan.look_again <= 60
    assert run(begun, diff(NAME, wanted, begun, NOW + 60)).destinations == {}
    idle = Actual(begun.service, {item.key: (item, Load(inactive=3))})
    assert diff(NAME, wanted, idle, NOW + 1).operations == (), "a connection may be in the making"
    assert run(idle, diff(NAME, wanted, idle, NOW + 2)).destinations == {}


def test_P6_the_hard_limit_outlives_the_process_and_is_never_put_off() -> None:
    wanted, actual = target(drain_seconds=60), held_of(target(REALS[0]), Load(active=1))
    for now in range(NOW, NOW + 60, 7):  # each time as a new process that knows nothing but the kernel
        actual = run(actual, diff(NAME, wanted, actual, now))
        assert actual.destinations
    assert run(actual, diff(NAME, wanted, actual, NOW + 60)).destinations == {}


def test_a_clock_that_went_back_makes_no_drain_longer_than_asked() -> None:
    wanted, actual = target(drain_seconds=60), held_of(target(REALS[0]), Load(active=1))
    actual = run(actual, diff(NAME, wanted, actual, NOW))
    actual = run(actual, diff(NAME, wanted, actual, NOW - 10_000))
    ((item, _),) = actual.destinations.values()
    assert item.upper_threshold == NOW - 10_000 + 60


def test_udp_and_a_drain_of_nothing_are_deleted_at_once() -> None:
    for wanted in (target(key="192.0.2.1:443/udp"), target(drain_seconds=0)):
        held = Actual(wanted.service, held_of(target(REALS[0])).destinations)
        (operation,) = diff(NAME, wanted, held, NOW).operations
        assert operation.command is Command.DEL_DESTINATION


def test_one_that_comes_back_while_it_drains_serves_again() -> None:
    wanted, actual = target(REALS[0]), held_of(target(REALS[0]), Load(active=1))
    actual = run(actual, diff(NAME, target(), actual, NOW))
    assert is_exactly(wanted, run(actual, diff(NAME, wanted, actual, NOW + 5)))


_reals = st.lists(
    st.builds(RealServer, st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]), st.just(31000), st.integers(0, 3)),
    unique_by=lambda real: real.address,
)


@given(st.lists(st.tuples(_reals, st.sampled_from(list(Scheduler)), st.integers(0, 100)), min_size=1, max_size=6))
def test_any_history_of_wishes_ends_at_the_last(history: list[tuple[list[RealServer], Scheduler, int]]) -> None:
    actual, now = Actual(), NOW
    for reals, scheduler, seconds in history:
        wanted = target(*reals, scheduler=scheduler)
        actual = run(actual, diff(NAME, wanted, actual, now))
        now += seconds
    assert is_exactly(wanted, settled(wanted, actual, now))
