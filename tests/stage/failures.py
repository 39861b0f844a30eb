"""How a node of a routed group fails, and how it comes back."""

import signal
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.stage.balancer_group import Running
from tests.stage.routed_group import RoutedGroup

_LINKS = ("lan", "hub", "back")


class Place(NamedTuple):
    """The node that fails, and what it is part of."""

    network: RoutedGroup
    group: Running
    node: str


class Failure(NamedTuple):
    """One way to fail. `fail` has happened when it returns."""

    name: str
    fail: Callable[[Place], None]
    mend: Callable[[Place], Awaitable[None]]


def _power_off(place: Place) -> None:
    for link in _LINKS:  # first, or others would hear how its processes end
        place.network.cut(place.node, link)
    place.group.programmers[place.node].kill()
    place.network.birds[place.node].kill()


async def _power_on(place: Place) -> None:
    """What the kernel held is gone, and so is what stood below /run."""
    for file in place.network.included(place.node).iterdir():
        file.unlink()
    place.network.nodes[place.node].run("ipvsadm", "-C")
    for link in _LINKS:
        place.network.mend(place.node, link)
    await place.network.birds[place.node].start()
    place.group.programmers[place.node].start()


def _hang(place: Place) -> None:
    """Its links stay up, and nobody looks at what arrives."""
    place.group.programmers[place.node].signal(signal.SIGSTOP)
    place.network.birds[place.node].send(signal.SIGSTOP)
    _plug(place, "nomaster")


async def _wake(place: Place) -> None:
    _plug(place, "master")
    place.group.programmers[place.node].signal(signal.SIGCONT)
    place.network.birds[place.node].send(signal.SIGCONT)


def _plug(place: Place, how: str) -> None:
    network = place.network
    for bridge, switch in zip(_LINKS, (network.switch, network.hub, network.backend), strict=True):
        switch.run("ip", "link", "set", f"to-{place.node}", how, *([bridge] if how == "master" else []))


def _of_link(name: str, link: str) -> Failure:
    async def mend(place: Place) -> None:
        place.network.mend(place.node, link)

    return Failure(name, lambda place: place.network.cut(place.node, link), mend)


async def _start_programmer(place: Place) -> None:
    place.group.programmers[place.node].start()


async def _resume_programmer(place: Place) -> None:
    place.group.programmers[place.node].signal(signal.SIGCONT)


async def _start_bird(place: Place) -> None:
    await place.network.birds[place.node].start()


async def _resume_bird(place: Place) -> None:
    place.network.birds[place.node].send(signal.SIGCONT)


POWER_OFF = Failure("node without power", _power_off, _power_on)
HANG = Failure("node hangs, its links stay up", _hang, _wake)
LINK_DOWN = _of_link("link to the clients down", "lan")
HUB_CUT = _of_link("cut off from the hub", "hub")
PROGRAMMER_KILLED = Failure(
    "programmer killed", lambda place: place.group.programmers[place.node].kill(), _start_programmer
)
PROGRAMMER_STOPPED = Failure(
    "programmer stopped", lambda place: place.group.programmers[place.node].signal(signal.SIGSTOP), _resume_programmer
)
BIRD_KILLED = Failure("BIRD killed", lambda place: place.network.birds[place.node].kill(), _start_bird)
BIRD_STOPPED = Failure("BIRD stopped", lambda place: place.network.birds[place.node].send(signal.SIGSTOP), _resume_bird)
