"""Each VIP is announced in one way at a time, and never in none between two."""

import pytest

from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_dataplane_programmer.announcing import Announcing

VIP = "192.0.2.1"


class Way:
    """Writes down what it is asked for."""

    def __init__(self, name: str, heard: list[str]) -> None:
        self.name, self.heard, self.is_away = name, heard, False

    async def announce(self, address: str, announcement: Announcement, network: str = "", pool: str = "") -> None:
        if self.is_away:
            raise Transient("away")
        of, like = (f" of {network}" if network else ""), (f" as {pool}" if pool else "")
        self.heard.append(f"{self.name} announces {address}{of}{like}")

    async def withdraw(self, address: str) -> None:
        self.heard.append(f"{self.name} withdraws {address}")

    async def complete(self) -> None:
        self.heard.append(f"{self.name} is complete")


@pytest.fixture
def heard() -> list[str]:
    return []


def announcing(heard: list[str]) -> tuple[Announcing, Way, Way]:
    link, router = Way("link", heard), Way("router", heard)
    return Announcing({Announcement.LAYER2: link, Announcement.BGP: router}), link, router


async def test_another_way_begins_before_the_first_ends(heard: list[str]) -> None:
    both, _, _ = announcing(heard)
    await both.announce(VIP, Announcement.LAYER2)
    await both.announce(VIP, Announcement.BGP)
    await both.withdraw(VIP)
    await both.withdraw(VIP)
    assert heard == [
        f"link announces {VIP}",
        f"router announces {VIP}",
        f"link withdraws {VIP}",
        f"router withdraws {VIP}",
    ]


async def test_what_is_said_of_a_vip_is_passed_on(heard: list[str]) -> None:
    both, _, _ = announcing(heard)
    await both.announce(VIP, Announcement.BGP, "192.0.2.0/24", "gold")
    assert heard == [f"router announces {VIP} of 192.0.2.0/24 as gold"]


async def test_what_is_announced_no_more_is_withdrawn(heard: list[str]) -> None:
    both, _, _ = announcing(heard)
    await both.announce(VIP, Announcement.LAYER2)
    await both.announce(VIP, Announcement.NONE)
    assert heard == [f"link announces {VIP}", f"link withdraws {VIP}"]


async def test_what_failed_is_withdrawn_all_the_same(heard: list[str]) -> None:
    """It may have been announced for all that is known."""
    both, _, router = announcing(heard)
    router.is_away = True
    with pytest.raises(Transient):
        await both.announce(VIP, Announcement.BGP)
    await both.withdraw(VIP)
    assert heard == [f"router withdraws {VIP}"]


async def test_a_failed_change_of_way_keeps_the_first_until_it_succeeds(heard: list[str]) -> None:
    both, _, router = announcing(heard)
    await both.announce(VIP, Announcement.LAYER2)
    router.is_away = True
    with pytest.raises(Transient):
        await both.announce(VIP, Announcement.BGP)
    router.is_away = False
    await both.announce(VIP, Announcement.BGP)
    assert heard[-1] == f"link withdraws {VIP}"


async def test_a_way_that_was_not_set_up_is_none(heard: list[str]) -> None:
    alone = Announcing({})
    await alone.announce(VIP, Announcement.LAYER2)
    await alone.withdraw(VIP)
    assert heard == []


async def test_every_way_hears_that_everything_was_announced(heard: list[str]) -> None:
    both, _, _ = announcing(heard)
    await both.complete()
    assert heard == ["link is complete", "router is complete"]
