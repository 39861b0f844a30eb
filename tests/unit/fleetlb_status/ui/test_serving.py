"""The page over HTTP: what is answered, to whom, with which headers."""

import asyncio

import msgspec
import pytest
from aiohttp import ClientSession

from fleetlb.testkit.load_balancers import a_load_balancer
from fleetlb_status.ui.answers import HEADERS
from fleetlb_status.ui.feed import Feed
from tests.unit.fleetlb_status.ui.a_page import HEADER, OTHER, OTHERS, SPOILT, parts, served

FLEET = "/ui/v1/fleet"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/ui/", "text/html"),
        ("/ui/index.html", "text/html"),
        ("/ui/app.js", "text/javascript"),
        ("/ui/page.css", "text/css"),
        ("/ui/icon.svg", "image/svg+xml"),
        (FLEET, "application/json"),
        ("/ui/v1/services/acme/service-1", "application/json"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_there_is(path: str, kind: str, method: str) -> None:
    async with served(await parts()) as (session, url):
        answer = await session.request(method, url + path)
        body = await answer.read()
    assert (answer.status, answer.content_type) == (200, kind)
    assert bool(body) is (method == "GET")
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "Set-Cookie" not in answer.headers
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cache-Control"] == ("no-store" if "v1" in path else "no-cache")


@pytest.mark.parametrize("path", ["/", "/ui"])
async def test_the_way_in(path: str) -> None:
    async with served(await parts()) as (session, url):
        answer = await session.get(url + path, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (308, "/ui/")
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/ui/nothing.js",
        "/ui/../settings.py",
        "/ui/..%2fserving.py",
        "/ui/__init__.py",
        "/metrics",
        "/ui/v1/",
        "/ui/v1/services/acme",
        "/ui/v1/services/acme/nobody",
        "/ui/v1/services/nobody/service-1",
    ],
)
async def test_what_there_is_not(path: str) -> None:
    async with served(await parts()) as (session, url):
        answer = await session.get(url + path)
        told = await answer.json()
    assert answer.status == 404
    assert told["error"]
    assert told["cure"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/ui/", FLEET, "/ui/v1/changes", "/ui/v1/services/acme/service-1"])
async def test_it_only_reads(method: str, path: str) -> None:
    async with served(await parts()) as (session, url):
        answer = await session.request(method, url + path, data=b"x")
    assert (answer.status, (await answer.json())["field"]) == (405, "method")
    assert "GET" in answer.headers["Allow"]


async def test_files_are_sent_once() -> None:
    async with served(await parts()) as (session, url):
        first = await session.get(f"{url}/ui/app.js")
        again = await session.get(f"{url}/ui/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


async def test_a_snapshot_is_all_that_there_is() -> None:
    async with served(await parts()) as (session, url):
        fleet = await (await session.get(url + FLEET)).json()
    assert sorted(each["uid"] for each in fleet["services"]) == ["service-1", OTHER]
    assert {each["kind"] for each in fleet["things"]} == {"group", "hub", "pool", "process", "tenant"}
    assert fleet["tenant"] == ""


async def test_a_name_of_another_site_is_turned_away() -> None:
    async with served(await parts()) as (session, url):
        for path in ("/ui/", FLEET, "/ui/v1/changes", "/ui/v1/services/acme/service-1"):
            answer = await session.get(url + path, headers={"Host": "evil.example"})
            assert (answer.status, (await answer.json())["field"]) == (421, "Host")


async def get_as(session: ClientSession, url: str, tenant: str) -> bytes:
    answer = await session.get(url, headers={HEADER: tenant} if tenant else {})
    return b"%d " % answer.status + await answer.read()


async def test_MUL_2_a_tenant_sees_its_own_and_no_word_of_others() -> None:
    made = await parts()
    async with served(made, HEADER) as (session, url):
        for path in ("/ui/", FLEET, "/ui/v1/changes", "/ui/v1/services/acme/service-1"):
            assert (await get_as(session, url + path, "")).startswith(b"403 ")
        own = await get_as(session, url + FLEET, "acme")
        assert own.startswith(b"200 ")
        for secret in (OTHER, OTHERS, "node-1", "public", "192.0.2.2"):
            assert secret.encode() not in own
        assert (await get_as(session, f"{url}/ui/v1/services/acme/service-1", "acme")).startswith(b"200 ")
        assert (await get_as(session, f"{url}/ui/v1/services/{OTHERS}/{OTHER}", "acme")).startswith(b"404 ")
        assert (await get_as(session, f"{url}/ui/v1/services/{OTHERS}/{OTHER}", "*")).startswith(b"200 ")
        nobody = await get_as(session, url + FLEET, "nobody")
        assert msgspec.json.decode(nobody.partition(b" ")[2])["services"] == []
        everything = await get_as(session, url + FLEET, "*")
        assert all(each in everything for each in (b"service-1", OTHER.encode(), b"node-1", b"public"))


async def test_the_header_twice_is_nobodys() -> None:
    async with served(await parts(), HEADER) as (_, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(f"GET {FLEET} HTTP/1.1\r\nHost: x\r\n{HEADER}: acme\r\n{HEADER.lower()}: *\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
        writer.close()


async def test_what_a_tenant_wrote_is_data() -> None:
    made = await parts()
    spec = a_load_balancer().spec.service
    made.memory.set_load_balancer(a_load_balancer(service=msgspec.structs.replace(spec, name=SPOILT)))
    made.painter.paint(("tenant-acme", "service-1"))
    async with served(made) as (session, url):
        answer = await session.get(url + FLEET)
        fleet = await answer.json()
    assert answer.content_type == "application/json"
    assert SPOILT in [each["name"] for each in fleet["services"]]


async def test_too_many_readers_are_asked_to_come_again() -> None:
    async with served(await parts(Feed(readers=1))) as (session, url), session.get(f"{url}/ui/v1/changes") as first:
        assert first.status == 200
        second = await session.get(f"{url}/ui/v1/changes")
        assert (second.status, second.headers["Retry-After"]) == (503, "5")
        assert "too many pages" in (await second.json())["error"]


async def test_a_bug_is_told_to_the_log_and_not_to_the_reader(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await parts()

    def broken(_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(made.painter, "services", broken)
    async with served(made) as (session, url):
        answer = await session.get(url + FLEET)
        told = await answer.text()
    assert answer.status == 500
    assert "secret" not in told
    assert "Traceback" not in told
    assert "secret" in capsys.readouterr().out
