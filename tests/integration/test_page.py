"""The page in a real Chromium, over a fleet in memory: hostile names, a screen reader, a keyboard, both themes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import AddressPool, AddressPoolSpec
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.kube.fleet_objects import ADDRESS_POOLS
from fleetlb.testkit.load_balancers import a_group, a_load_balancer, a_word
from tests.stage.accessibility import faint_texts, nameless, roles, skipped_levels, tab_stops
from tests.stage.browser import FETCH_SECONDS, Page, browser
from tests.unit.fleetlb_status.ui.a_page import Parts, parts, served

pytestmark = [pytest.mark.integration, pytest.mark.timeout(FETCH_SECONDS + 120)]

SPOILT = "<img src=x onerror=spoilt=1>"
"""It fits into a Service's name."""
HOSTILE = (
    SPOILT,
    "</script><script>spoilt=1</script>",
    "javascript:spoilt=1",
    "'\"><svg onload=spoilt=1>",
    "${spoilt=1}",
)


async def crowded() -> Parts:
    """One of everything: states, pools, nodes."""
    made = await parts()
    await made.cluster.create(
        ADDRESS_POOLS, AddressPool(metadata=ObjectMeta(name="gold"), spec=AddressPoolSpec(addresses=("192.0.2.0/30",)))
    )
    refusal = Refusal(Reason.POOL_EXHAUSTED, "pool gold: 4 of 4 used")
    made.memory.set_load_balancer(a_load_balancer("refused", refusal=refusal, addresses=(), group=""))
    made.memory.set_load_balancer(a_load_balancer("idle", addresses=("192.0.2.4",)))
    made.memory.fold_realized(a_word("192.0.2.4:443/tcp", service="idle", real_servers=0))
    made.memory.set_load_balancer(a_load_balancer("unread", addresses=("192.0.2.5",), group="elsewhere"))
    for name in ("refused", "idle", "unread"):
        made.painter.paint(("tenant-acme", name))
    return made


@asynccontextmanager
async def opened(made: Parts, work: Path) -> AsyncIterator[Page]:
    """The page, live, with all that is there."""
    async with served(made) as (_, url), browser(work / "profile") as chromium:
        page = await chromium.page()
        await page.goto(f"{url}/ui/")
        count = len(made.memory.load_balancers)
        await page.until(f"document.querySelectorAll('#list tr').length === {count}", f"{count} Services")
        await page.until("document.querySelector('#link.live')", "a live page")
        yield page
        assert page.complaints == []
        assert [each for each in page.requests if not each.startswith(f"{url}/ui/")] == []


async def test_what_tenants_write_is_text_wherever_it_is_shown(tmp_path: Path) -> None:
    made = await crowded()
    service = a_load_balancer().spec.service
    for number, text in enumerate(HOSTILE):
        refusal = Refusal(Reason.ADDRESS_NOT_ALLOWED, f"fleetlb.dev/addresses: {text}")
        wish = msgspec.structs.replace(service, namespace=text, name=text)
        spoilt: dict[str, Any] = {
            "service": wish,
            "refusal": refusal,
            "addresses": (text,),
            "group": text,
            "pool": text,
        }
        made.memory.set_load_balancer(a_load_balancer(f"hostile-{number}", **spoilt))
        made.painter.paint(("tenant-acme", f"hostile-{number}"))
    made.memory.set_group(a_group(SPOILT, name=SPOILT))
    async with opened(made, tmp_path) as page:
        for number, text in enumerate(HOSTILE):
            wanted = msgspec.json.encode(f"acme/{text}/{text}").decode()
            found = f"[...document.querySelectorAll('#list .open')].find(b => b.textContent === {wanted})"
            await page.until(found, f"a name as it was written: {text}")
            await page.ask(f"{found}.click()")
            await page.until("document.querySelector('#why')", f"why, of {text}")
            await page.press("Escape")
            await page.until("!document.querySelector('#drawer').open", f"an end of the drawer {number}")
        assert await page.ask("typeof spoilt") == "undefined"
        assert await page.ask("document.querySelectorAll('img, #list script, main script').length") == 0


async def test_a_service_that_is_opened_at_once_after_another_is_shown(tmp_path: Path) -> None:
    async with opened(await crowded(), tmp_path) as page:
        await page.ask("document.querySelector('#list .open').click()")
        await page.until("document.querySelector('#why')", "why")
        await page.ask(
            "document.querySelector('#drawer').close(), [...document.querySelectorAll('#list .open')][1].click()"
        )
        await page.until("document.querySelector('#why')", "why, of the second")
        assert await page.ask("location.hash") != ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everybody_can_read_it(tmp_path: Path, scheme: str) -> None:
    async with opened(await crowded(), tmp_path) as page:
        await page.colours(scheme)
        ground = await page.ask("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(","))) > 380) is (scheme == "light")
        count, faint = await faint_texts(page)
        assert (count > 60, faint) == (True, [])
        await page.ask("document.querySelector('#list .open').click()")
        await page.until("document.querySelector('#why')", "why")
        count, faint = await faint_texts(page)
        assert (count > 80, faint) == (True, [])


async def test_a_theme_that_is_chosen_stays(tmp_path: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    async with opened(await parts(), tmp_path) as page:
        await page.colours("light")
        light = await page.ask(ground)
        for theme in ("light", "dark"):
            await page.ask("document.querySelector('#theme').click()")
            assert await page.ask("document.querySelector('#theme').textContent") == f"Theme: {theme}"
        assert await page.ask(ground) != light
        await page.call("Page.reload")
        await page.until("document.documentElement.dataset.theme === 'dark'", "the theme after a reload")
        await page.until("document.querySelector('#link.live')", "a live page")


async def test_a_screen_reader_has_a_name_for_everything(tmp_path: Path) -> None:
    async with opened(await crowded(), tmp_path) as page:
        assert await nameless(page) == []
        found = await roles(page)
        assert {"banner", "main", "log", "table", "status"} <= found.keys()
        assert found["region"] >= 3
        assert await skipped_levels(page) == []
        assert await page.ask("document.documentElement.lang") == "en"
        await page.ask("document.querySelector('#list .open').click()")
        await page.until("document.querySelector('#why')", "why")
        assert await nameless(page) == []
        assert (await roles(page))["dialog"] == 1


async def test_a_keyboard_is_enough(tmp_path: Path) -> None:
    async with opened(await crowded(), tmp_path) as page:
        stops = await tab_stops(page)
        names = [name for _, name in stops]
        assert names[0] == "To the list of Services"
        assert {"theme", "find", "acme/shop/web"} <= set(names)
        await page.ask("document.querySelector('#find').focus()")
        focused = "document.activeElement.textContent"
        seen = []
        for key in ("ArrowDown", "ArrowDown", "ArrowUp", "End", "Home"):
            await page.press(key)
            seen.append(await page.ask("[...document.querySelectorAll('#list .open')].indexOf(document.activeElement)"))
        assert seen == [0, 1, 0, 4, 0]
        before = await page.ask(focused)
        await page.press("Enter")
        await page.until("document.querySelector('#drawer').open && document.querySelector('#why')", "the drawer")
        assert await page.ask("document.querySelector('#drawer').contains(document.activeElement)")
        await page.press("Escape")
        await page.until("!document.querySelector('#drawer').open", "the drawer's end")
        assert await page.ask(focused) == before


async def test_who_stands_on_a_service_stays_there_while_it_changes(tmp_path: Path) -> None:
    made = await crowded()
    async with opened(made, tmp_path) as page:
        await page.ask("document.querySelectorAll('#list .open')[1].focus()")
        before = await page.ask("document.activeElement.textContent")
        made.memory.set_load_balancer(a_load_balancer("a-new-one", addresses=("192.0.2.77",)))
        made.painter.paint(("tenant-acme", "a-new-one"))
        await page.until("document.body.innerText.includes('192.0.2.77')", "the new one")
        assert await page.ask("document.activeElement.textContent") == before


async def test_what_is_looked_for_is_found_by_word_and_by_state(tmp_path: Path) -> None:
    shown = "[...document.querySelectorAll('#list tr')].map(r => r.innerText).join()"
    async with opened(await crowded(), tmp_path) as page:
        await page.ask("document.querySelector('[data-state=refused]').click()")
        await page.until("document.querySelectorAll('#list tr').length === 1", "one that is refused")
        assert "PoolExhausted" in await page.ask(shown)
        await page.ask("document.querySelector('[data-state=refused]').click()")
        await page.ask("document.querySelector('#find').focus()")
        await page.call("Input.insertText", text="192.0.2.4")
        await page.until("document.querySelectorAll('#list tr').length === 1", "one of that address")
        assert "192.0.2.4" in await page.ask(shown)


async def test_ten_thousand_services_are_bearable(tmp_path: Path) -> None:
    made = await parts()
    for number in range(10_000):
        made.memory.set_load_balancer(a_load_balancer(f"many-{number}", addresses=()))
    made.painter.begin()
    async with served(made) as (_, url), browser(tmp_path / "profile") as chromium:
        page = await chromium.page()
        await page.goto(f"{url}/ui/")
        await page.until("document.body.innerText.includes('9802 more')", "a bounded list")
        assert await page.ask("document.querySelectorAll('*').length") < 5000
        made.memory.set_load_balancer(a_load_balancer(addresses=("192.0.2.77",)))
        made.painter.paint(("tenant-acme", "service-1"))
        await page.until("document.querySelector('#feed').innerText.includes('192.0.2.77')", "a change")
        assert page.complaints == []
