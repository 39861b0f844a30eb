"""The page of a live fleet, in a real Chromium: what happens is seen, explained, and told to whom it concerns."""

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from fleetlb_cli.local.ports import free_port
from fleetlb_cli.local.programs import script
from tests.e2e.fleet import FLEETLB, PATIENCE, Fleet, TenantCluster, eventually, next_node_port, tcp
from tests.stage.browser import FETCH_SECONDS, Browser, Page, browser

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(FETCH_SECONDS + 180)]

STATUS = "status"
HEADER = "X-Fleetlb-Tenant"
SEEN_SECONDS = 5.0
"""From Serving=True in the tenant's cluster until the page shows it; measured: a quarter of a second."""


@pytest.fixture
async def chromium(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser."""
    async with browser(tmp_path / "profile") as running:
        yield running


def where(fleet: Fleet) -> str:
    """The page of the fleet's status service."""
    return str(fleet.environment.processes[STATUS].ui)


async def opened(chromium: Browser, url: str, tenant: str = "") -> Page:
    """The page, live."""
    page = await chromium.page(headers={HEADER: tenant} if tenant else None)
    await page.goto(url)
    await page.until("document.querySelector('#link.live')", "a live page")
    return page


def clean(page: Page, url: str) -> None:
    """Nothing was complained of, and nobody else was asked."""
    assert page.complaints == []
    assert [each for each in page.requests if not each.startswith(url)] == []
    assert len(page.requests) > 10


async def serving(tenant: TenantCluster, name: str) -> str:
    """A Service whose backends answer; its address."""
    port = next_node_port()
    await tenant.serve(tcp=(port,))
    await tenant.create(name, [tcp(8080, port)])
    return await tenant.serving(name)


def line(name: str) -> str:
    """The line of a Service in the list."""
    return f"[...document.querySelectorAll('#list tr')].find(r => r.querySelector('.open').textContent === '{name}')"


def told(name: str, wanted: str) -> str:
    """A change `i` of a Service in the feed of which something holds."""
    return f"[...document.querySelectorAll('#feed li')].find(i => i.innerText.includes('{name}') && {wanted})"


async def test_what_happens_is_seen_as_it_happens(fleet: Fleet, acme: TenantCluster, chromium: Browser) -> None:
    page, name = await opened(chromium, where(fleet)), f"acme/{acme.namespace}/web"
    address = await serving(acme, "web")
    begun = time.monotonic()
    await page.until(f"{line(name)}?.innerText.includes('serving')", "a Service that serves", SEEN_SECONDS)
    print(f"seen {time.monotonic() - begun:.3f} s after it served")
    assert address in await page.ask(f"{line(name)}.innerText")
    item = told(name, "i.querySelector('.hops')")
    await page.until(item, "a change with the way of its news")
    spoken = await page.ask(f"{item}.querySelector('.hops svg').getAttribute('aria-label')")
    for station in ("watch", "decide", "claim", "program", "acknowledge", "hear"):
        assert station in spoken
    assert await page.ask("document.querySelectorAll('#map .cell svg.serving').length") > 0
    await page.until("document.querySelector('#pools').innerText.includes('used')", "pools")
    await acme.delete("web")
    await page.until(f"!{line(name)}", "the Service's end")
    await page.until(told(name, "i.innerText.includes('is gone')"), "its end in the feed")
    clean(page, where(fleet))


async def test_a_keyboard_opens_what_the_command_line_says_too(
    fleet: Fleet, acme: TenantCluster, chromium: Browser
) -> None:
    await acme.create("web", [tcp(8080, next_node_port())])
    await acme.reason("web", "fleetlb.dev/Serving", "ProbeUnanswered")
    page, name = await opened(chromium, where(fleet)), f"acme/{acme.namespace}/web"
    await page.until(f"{line(name)}?.innerText.includes('ProbeUnanswered')", "a Service that does not serve")
    await page.ask(f"{line(name)}.querySelector('.open').focus()")
    await page.press("Enter")
    await page.until("document.querySelector('#why')?.innerText.includes('ProbeUnanswered')", "why")
    shown = await page.ask("[...document.querySelectorAll('#why dd')].map(d => d.textContent)")
    command = await page.ask("document.querySelector('#command').textContent")
    assert command == f"fleetlb why svc {name}"
    answer = await asyncio.to_thread(
        subprocess.run,
        [FLEETLB, *command.split()[1:], "--state", str(fleet.state), "-o", "json"],
        text=True,
        capture_output=True,
        timeout=60,
    )
    (told,) = json.loads(answer.stdout)
    for field in ("stage", "reason", "message", "cure"):
        assert told[field] in shown
    detail = await page.ask("document.querySelector('#detail').innerText")
    for node, address in acme.nodes.items():
        assert node in detail
        assert address in detail
    await page.press("Escape")
    await page.until("!document.querySelector('#drawer').open", "the drawer's end")
    clean(page, where(fleet))


async def test_a_drawer_follows_its_service(fleet: Fleet, acme: TenantCluster, chromium: Browser) -> None:
    port = next_node_port()
    await acme.create("web", [tcp(8080, port)])
    await acme.reason("web", "fleetlb.dev/Serving", "ProbeUnanswered")
    page = await opened(chromium, where(fleet))
    await page.until(line(f"acme/{acme.namespace}/web"), "the Service")
    await page.ask(f"{line(f'acme/{acme.namespace}/web')}.querySelector('.open').click()")
    await page.until("document.querySelector('#why')?.innerText.includes('ProbeUnanswered')", "why")
    await acme.serve(tcp=(port,))
    await acme.serving("web")
    await page.until("document.querySelector('#why').innerText.includes('ProbeAnswered')", "that it serves now")


async def test_it_says_since_when_it_is_not_live_and_goes_on_after_a_restart(
    fleet: Fleet, acme: TenantCluster, chromium: Browser
) -> None:
    await serving(acme, "before")
    page = await opened(chromium, where(fleet))
    await page.until(line(f"acme/{acme.namespace}/before"), "a Service")
    async with fleet.without(STATUS):
        await page.until("document.querySelector('#linktext').textContent.startsWith('Not live since ')", "the truth")
        assert "Trying again" in await page.ask("document.querySelector('#banner').textContent")
        await acme.delete("before")
        await acme.create("meanwhile", [tcp(8080, next_node_port())])
    await page.until("document.querySelector('#link.live')", "a live page again")
    await page.until(line(f"acme/{acme.namespace}/meanwhile"), "what came meanwhile")
    await page.until(f"!{line(f'acme/{acme.namespace}/before')}", "the end of what went meanwhile")
    assert await page.ask("document.querySelector('#banner').hidden")
    await serving(acme, "after")
    await page.until(f"{line(f'acme/{acme.namespace}/after')}?.innerText.includes('serving')", "what came later")
    assert [each for each in page.complaints if "ERR_CONNECTION_REFUSED" not in each] == []


async def test_a_broken_connection_loses_nothing(fleet: Fleet, acme: TenantCluster) -> None:
    """The same, seen from below: no snapshot is needed where the process lives on."""
    url = where(fleet)
    async with aiohttp.ClientSession() as session:
        place = (await (await session.get(f"{url}v1/fleet")).json())["id"]
        await serving(acme, "web")

        async def is_told() -> bool:
            async with session.get(f"{url}v1/changes", headers={"Last-Event-ID": place}) as answer:
                text = b""
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2):
                        while b'"state":"serving"' not in text:
                            text += await answer.content.readany()
                assert b"event: reset" not in text
                return f'"namespace":"{acme.namespace}","name":"web"'.encode() in text

        await eventually(is_told, "every change since the snapshot")


@contextlib.asynccontextmanager
async def for_tenants(fleet: Fleet, work: Path) -> AsyncIterator[str]:
    """A second status service, which stands by; its page believes a header."""
    place = fleet.environment.processes[STATUS]
    told = Path(f"/proc/{place.pid}/environ").read_text().rstrip("\0").split("\0")
    ports = free_port(), free_port()
    own = {
        "FLEETLB_IDENTITY": "status-for-tenants",
        "FLEETLB_HTTP_ADDRESS": f"127.0.0.1:{ports[0]}",
        "FLEETLB_UI_ADDRESS": f"127.0.0.1:{ports[1]}",
        "FLEETLB_UI_TENANT_HEADER": HEADER,
    }
    with (work / "status.log").open("wb") as log:
        environ = dict(each.split("=", 1) for each in told) | own
        child = subprocess.Popen([script("fleetlb-status")], env=environ, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{ports[1]}/ui/"

    async def is_open() -> bool:
        assert child.poll() is None, (work / "status.log").read_text()[-800:]
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == 403
        return False

    try:
        await eventually(is_open, "a page that asks who is there", PATIENCE)
        yield url
    finally:
        child.terminate()
        assert await asyncio.to_thread(child.wait, 30) == 0


async def test_MUL_2_a_tenant_sees_its_own_alone(
    fleet: Fleet, acme: TenantCluster, globex: TenantCluster, chromium: Browser, tmp_path: Path
) -> None:
    await serving(acme, "ours")
    await serving(globex, "theirs")
    async with for_tenants(fleet, tmp_path) as url:
        page, operator = await opened(chromium, url, "acme"), await opened(chromium, url, "*")
        for name in (f"acme/{acme.namespace}/ours", f"globex/{globex.namespace}/theirs"):
            await operator.until(line(name), f"{name}, which an operator sees")
        await page.until(line(f"acme/{acme.namespace}/ours"), "what is its own")
        address = await serving(globex, "later")
        await operator.until(f"document.body.innerText.includes('{address}')", "what an operator sees")
        await page.ask(f"{line(f'acme/{acme.namespace}/ours')}.querySelector('.open').click()")
        await page.until("document.querySelector('#why')?.innerText.includes('serving')", "why")
        shown = await page.ask("document.body.innerText")
        assert "Tenant acme" in shown
        assert "kubectl --namespace" in shown
        for secret in ("globex", "theirs", address, "127.0.0.1:", "Address pools"):
            assert secret not in shown
        assert await page.ask("document.querySelector('#pools-section').hidden")
        async with aiohttp.ClientSession() as session:
            assert (await session.get(f"{url}v1/fleet")).status == 403
            uid = (await globex.get("theirs"))["metadata"]["uid"]
            asked = await session.get(f"{url}v1/services/globex/{uid}", headers={HEADER: "acme"})
            assert asked.status == 404
        clean(page, url)
        clean(operator, url)
