"""Failures, drains, bad links and wishes by chance on three real nodes; whatever happens, promises P3 to P5 are kept,
and all becomes whole when all is healed. A failure prints the one command that plays its schedule again.
"""

import os
import pathlib
import traceback
from collections.abc import Callable, Iterator

import pytest

from fleetlb.testkit.namespaces import Namespace
from tests.stage.backends_on_link import BackendsOnLink
from tests.stage.playing_schedules import player
from tests.stage.routed_group import BESIDE_ROUTER, BY_BGP, RoutedGroup
from tests.stage.schedules import Schedule, parse_schedule, schedule_of

LEVEL = os.environ.get("FLEETLB_HISTORIES", "few")
COUNT, STEPS, MOST_SECONDS = {"few": (1, 6, 240), "test": (1, 6, 240), "soak": (200, 25, 900)}[LEVEL]
"""Schedules by chance, the steps of each, and the seconds that it may take; the one place for these numbers."""
FIRST_SEED = int(os.environ.get("SEED") or (1 if LEVEL == "soak" else 31296))
"""With few steps this one holds much of what can happen."""
HANDED_OVER = (
    "come/2 go/2 lossy-hub@2/0.2 lossy-hub@3/1 drain@1/3 undrain@1/3 drain@1/3 undrain@1/3 power-off@1/1 mend@1/3"
)
"""Those that answered in place of another one hear late that he is back."""
PATIENT = 500
"""With BFD's usual pace the lab's own pauses would be taken for failures."""
TOLD = os.environ.get("REPLAY", "")

pytestmark = pytest.mark.timeout(MOST_SECONDS)


def those_to_play() -> dict[str, Schedule]:
    """By name."""
    if TOLD:
        return {"told": parse_schedule(TOLD)}
    always = {} if LEVEL == "soak" else {"handed over": parse_schedule(HANDED_OVER)}
    return always | {f"seed {seed}": schedule_of(seed, STEPS) for seed in range(FIRST_SEED, FIRST_SEED + COUNT)}


@pytest.fixture
def network(tmp_path: pathlib.Path) -> Iterator[RoutedGroup]:
    """The namespaces; the test's thread is at the hub."""
    with RoutedGroup(tmp_path / "birds", bfd=True, bfd_milliseconds=PATIENT) as network:
        yield network


@pytest.fixture
def backends(network: RoutedGroup) -> Iterator[BackendsOnLink]:
    """Three, which hold the VIPs of both pools."""
    with BackendsOnLink(network, BY_BGP.pools["v4"], BESIDE_ROUTER.pools["v4"]) as backends:
        yield backends


@pytest.fixture
def onlooker(network: RoutedGroup) -> Iterator[Namespace]:
    """Another host than the client, for what it is answered refreshes what it knows."""
    with Namespace("onlooker") as onlooker:
        network.plug(network.switch, "lan", onlooker, ("10.10.0.8/24",))
        yield onlooker


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """What prints at once, where one schedule is played again or many are for hours."""

    def print_now(text: str) -> None:
        if TOLD or LEVEL == "soak":
            with capsys.disabled():
                print(text, flush=True)

    return print_now


@pytest.mark.parametrize("name", SCHEDULES := those_to_play())
async def test_promises_are_kept_whatever_befalls_a_group_and_it_heals(
    network: RoutedGroup,
    backends: BackendsOnLink,
    onlooker: Namespace,
    tmp_path: pathlib.Path,
    name: str,
    tell: Callable[[str], None],
) -> None:
    folder = tmp_path / "group"
    folder.mkdir()
    tell(f"\n{name}: {SCHEDULES[name]}")
    try:
        async with player(network, backends, onlooker, folder) as play:
            await play.play(SCHEDULES[name])
    except Exception as problem:
        tell("".join(traceback.format_exception(problem)))
        raise
    tell("; ".join(play.played[-2:]))
    watch = play.watch
    assert min(watch.looks, watch.answers, watch.routes) > 100, "enough was seen to say so"
