"""Pictures that follow memory, and a feed that follows pictures."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.v1 import Hop
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.load_balancers import a_load_balancer, a_word
from fleetlb_status.judging import Judged
from fleetlb_status.memory import Key
from fleetlb_status.ui.painting import RECENT
from fleetlb_status.ui.views import OPERATOR, View
from tests.unit.fleetlb_status.ui.a_page import OTHER, OTHERS, Parts, globex_balancer, parts

HOPS = (Hop("watch", 1_000_000), Hop("probe", 1_010_000))


def told(made: Parts, tenant: str = "") -> list[Any]:
    """Bodies of all events, as an operator or a tenant gets them."""
    events = made.feed.after(0)
    assert events is not None
    return [msgspec.json.decode(each.narrow if tenant else each.full) for each in events if tenant in ("", each.whose)]


async def painting(made: Parts, until: Callable[[], object]) -> None:
    """Let the painter work until something is true."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(made.painter.run())
        try:
            await eventually(until)
        finally:
            working.cancel()


async def test_what_was_there_is_no_news() -> None:
    made = await parts()
    assert made.feed.last == 0
    assert sorted(each.uid for each in made.painter.services(OPERATOR)) == ["service-1", OTHER]
    assert made.painter.recent(OPERATOR) == ()


async def test_a_burst_is_one_change_with_the_way_of_its_news() -> None:
    made = await parts()
    made.memory.set_load_balancer(a_load_balancer("service-3"))
    made.memory.fold_realized(a_word(service="service-3", hops=HOPS))
    await painting(made, lambda: made.feed.last)
    (event,) = told(made)
    assert (event["service"]["state"], event["change"]["text"]) == ("serving", "came: serving at 192.0.2.1")
    assert [each["station"] for each in event["change"]["stations"]] == ["watch", "probe", "hear"]
    assert [each.uid for each in made.painter.recent(OPERATOR)] == ["service-3"]


async def test_the_way_of_old_news_is_not_told_again() -> None:
    made = await parts()
    made.memory.set_load_balancer(a_load_balancer("service-3"))
    made.memory.fold_realized(a_word(service="service-3", hops=HOPS))
    await painting(made, lambda: made.feed.last == 1)
    made.memory.set_load_balancer(a_load_balancer("service-3", addresses=("192.0.2.9",)))
    await painting(made, lambda: made.feed.last == 2)
    assert told(made)[1]["change"]["stations"] == []


async def test_what_changes_nothing_that_is_shown_is_not_told() -> None:
    made = await parts()
    made.memory.set_load_balancer(a_load_balancer(wish="wish-2"))
    made.memory.set_load_balancer(globex_balancer(addresses=("192.0.2.3",)))
    await painting(made, lambda: made.feed.last)
    assert [event["uid"] for event in told(made)] == [OTHER]


async def test_one_that_cannot_be_shown_costs_nobody_else_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await parts()
    judge = made.judging.judge

    def broken(key: Key) -> Judged | None:
        if key[1] == "service-1":
            raise RuntimeError("a bug")
        return judge(key)

    monkeypatch.setattr(made.judging, "judge", broken)
    made.memory.set_load_balancer(a_load_balancer(addresses=("192.0.2.8",)))
    made.memory.set_load_balancer(globex_balancer(addresses=("192.0.2.3",)))
    await painting(made, lambda: made.feed.last)
    assert [event["uid"] for event in told(made)] == [OTHER]
    assert "a load balancer cannot be shown" in capsys.readouterr().out
    made.painter.begin()


async def test_one_that_goes_is_forgotten() -> None:
    made = await parts()
    made.memory.drop_load_balancer(a_load_balancer())
    await painting(made, lambda: made.feed.last)
    (event,) = told(made)
    assert (event["uid"], event["service"], event["change"]["state"]) == ("service-1", None, None)
    assert [each.uid for each in made.painter.services(OPERATOR)] == [OTHER]
    assert made.painter.service(OPERATOR, "acme", "service-1") is None


async def test_a_tenants_own_and_nothing_else() -> None:
    made = await parts()
    made.memory.fold_realized(a_word(real_servers=0, revision=9))
    made.memory.fold_realized(a_word("192.0.2.2:443/tcp", service=OTHER, tenant=OTHERS))
    await painting(made, lambda: made.feed.last == 2)
    (event,) = told(made, "acme")
    assert event["service"]["nodes"] == [{"node": "balancer node 1", "state": "programmed"}]
    assert "node-1" not in msgspec.json.encode(event).decode()
    view = View("acme")
    assert [each.uid for each in made.painter.services(view)] == ["service-1"]
    assert [each.uid for each in made.painter.recent(view)] == ["service-1"]
    assert made.painter.service(view, OTHERS, OTHER) is None
    assert made.painter.service(view, "acme", "service-1") is not None


async def test_a_tenant_that_changes_much_does_not_make_the_feed_grow() -> None:
    made = await parts()
    for number in range(3 * RECENT):
        made.memory.set_load_balancer(a_load_balancer(addresses=(f"192.0.2.{number + 1}",)))
        made.painter.paint(("tenant-acme", "service-1"))
    assert len(made.painter.recent(OPERATOR)) == RECENT
