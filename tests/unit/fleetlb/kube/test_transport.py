import asyncio
import json
import time
from pathlib import Path

import aiohttp
import pytest

from fleetlb.kube.errors import Gone, NotFound, Unauthorized, Unavailable
from fleetlb.kube.transport import Stream, Timing, Transport, open_transport, proxy_of_environment
from fleetlb.testkit.scripted_kube import Hang, Json, Reset, ScriptedKube, Watch, refusal

FAST = Timing(request_seconds=0.2)


async def opened(kube: ScriptedKube, folder: Path, timing: Timing = FAST, token: str = "t") -> Transport:
    return await open_transport(kube.kubeconfig(folder, {"token": token}), timing)


async def read_all(stream: Stream) -> None:
    while await stream.read():
        pass


async def test_a_request_carries_credentials_and_body(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("PATCH", "/a", Json({"b": 1}))
    transport = await opened(kube, tmp_path)
    answer = await transport.request("PATCH", "/a?x=%2F", b'{"c": 2}', "application/merge-patch+json")
    await transport.close()
    assert (answer.status, json.loads(answer.body)) == (200, {"b": 1})
    (request,) = kube.requests
    assert (request.query, request.body) == ({"x": "/"}, {"c": 2})
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["authorization"] == "Bearer t"
    assert headers["content-type"] == "application/merge-patch+json"
    assert headers["user-agent"].startswith("fleetlb/")


async def test_refusals_become_errors(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("GET", "/a", refusal(404, "NotFound", 'things "a" not found'))
    transport = await opened(kube, tmp_path)
    with pytest.raises(NotFound, match=r'^GET /a: 404 NotFound: things "a" not found$'):
        await transport.request("GET", "/a?continue=long")
    await transport.close()


async def test_a_redirect_is_not_followed(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("GET", "/a", Json(b"", status=307, headers={"Location": "http://127.0.0.1:1/steal"}))
    transport = await opened(kube, tmp_path)
    with pytest.raises(Exception, match="307"):
        await transport.request("GET", "/a")
    await transport.close()


async def test_no_answer_in_time_is_an_unknown_outcome(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("POST", "/a", Hang())
    transport = await opened(kube, tmp_path)
    with pytest.raises(Unavailable, match="POST /a: TimeoutError"):
        await transport.request("POST", "/a", b"{}", "application/json")
    await transport.close()


async def test_a_broken_connection_is_an_unknown_outcome(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("POST", "/a", Reset())
    transport = await opened(kube, tmp_path)
    with pytest.raises(Unavailable, match="POST /a"):
        await transport.request("POST", "/a", b"{}", "application/json")
    await transport.close()


async def test_a_refused_connection_is_unavailable(kube: ScriptedKube, tmp_path: Path) -> None:
    transport = await opened(kube, tmp_path)
    await kube.stop()
    with pytest.raises(Unavailable, match="Connect"):
        await transport.request("GET", "/a")
    with pytest.raises(Unavailable, match="Connect"):
        async with transport.stream("/a", 1.0):
            pass
    await transport.close()


async def test_requests_in_flight_are_bounded_and_the_wait_counts(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("GET", "/slow", Hang())
    kube.on("GET", "/a", Json({}))
    transport = await opened(kube, tmp_path, Timing(request_seconds=0.3, concurrent_requests=2))
    started = time.monotonic()
    answers = await asyncio.gather(
        *(transport.request("GET", path) for path in ("/slow", "/slow", "/a")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert time.monotonic() - started < 2 * 0.3
    assert {request.path for request in kube.requests} == {"/slow"}
    assert (await transport.request("GET", "/a")).status == 200
    await transport.close()


async def test_connections_are_kept_warm(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("GET", "/a", Json({}))
    transport = await opened(kube, tmp_path)
    for _ in range(5):
        await transport.request("GET", "/a")
    assert len(kube.connections) == 1
    await transport.close()


async def test_a_refused_token_is_read_anew_and_tried_once(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("GET", "/a", refusal(401, "Unauthorized"), Json({}))
    kube.on("WATCH", "/w", refusal(401, "Unauthorized"), Watch().raw(b"x"))
    transport = await opened(kube, tmp_path, token="old")
    kube.kubeconfig(tmp_path, {"token": "new"})
    assert (await transport.request("GET", "/a")).status == 200
    kube.kubeconfig(tmp_path, {"token": "newer"})
    async with transport.stream("/w?watch=true", 1.0) as stream:
        assert await stream.read() == b"x"
    await transport.close()
    assert [r.headers["Authorization"].removeprefix("Bearer ") for r in kube.requests] == ["old", "new", "new", "newer"]


async def test_a_token_that_stays_refused_is_unauthorized(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("GET", "/a", refusal(401, "Unauthorized"))
    transport = await opened(kube, tmp_path)
    with pytest.raises(Unauthorized):
        await transport.request("GET", "/a")
    await transport.close()
    assert len(kube.requests) == 1


async def test_a_stream_gives_bytes_as_they_arrive(kube: ScriptedKube, tmp_path: Path) -> None:
    watch = Watch()
    kube.on("WATCH", "/a", watch)
    transport = await opened(kube, tmp_path)
    async with transport.stream("/a?watch=true", 5.0) as stream:
        for piece in (b"one", b"two\n"):
            watch.raw(piece)
            assert await stream.read() == piece
        watch.end()
        assert await stream.read() == b""
    await transport.close()


async def test_a_silent_stream_ends(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("WATCH", "/a", Watch())
    transport = await opened(kube, tmp_path)
    async with transport.stream("/a?watch=true", 0.05) as stream:
        with pytest.raises(Unavailable, match="Timeout"):
            await stream.read()
    await transport.close()


async def test_a_stream_may_be_silent_for_longer_than_a_request(kube: ScriptedKube, tmp_path: Path) -> None:
    watch = Watch()
    kube.on("WATCH", "/a", watch)
    transport = await opened(kube, tmp_path, Timing(request_seconds=0.05))
    asyncio.get_running_loop().call_later(0.15, watch.raw, b"late")
    async with transport.stream("/a?watch=true", 5.0) as stream:
        assert await stream.read() == b"late"
    await transport.close()


async def test_a_cut_stream_is_unavailable(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("WATCH", "/a", Watch().raw(b"x").cut())
    transport = await opened(kube, tmp_path)
    async with transport.stream("/a?watch=true", 5.0) as stream:
        with pytest.raises(Unavailable):
            await read_all(stream)
    await transport.close()


async def test_a_refused_stream_is_an_error(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("WATCH", "/a", refusal(410, "Expired"))
    transport = await opened(kube, tmp_path)
    with pytest.raises(Gone):
        async with transport.stream("/a?watch=true", 5.0):
            pass
    await transport.close()


async def test_a_stream_that_never_begins_is_unavailable(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.on("WATCH", "/a", Hang())
    transport = await opened(kube, tmp_path, Timing(request_seconds=0.05))
    with pytest.raises(Unavailable, match="TimeoutError"):
        async with transport.stream("/a?watch=true", 5.0):
            pass
    await transport.close()


@pytest.mark.parametrize(
    ("base", "proxy"),
    [
        ("https://api.example:6443", "http://proxy:3128"),
        ("http://api.example", None),
        ("https://inside.example:6443", None),
        ("https://127.0.0.1:6443", None),
        ("https://[::1]:6443", None),
        ("https://localhost:6443", None),
    ],
)
def test_proxies_of_the_environment(base: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_of_environment(base) == proxy


async def test_closing_survives_the_double_abort_of_older_interpreters(
    kube: ScriptedKube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = aiohttp.ClientSession.close

    async def abort_twice(session: aiohttp.ClientSession) -> None:
        await close(session)
        raise AttributeError("'NoneType' object has no attribute '_abort'")

    transport = await opened(kube, tmp_path)
    monkeypatch.setattr(aiohttp.ClientSession, "close", abort_twice)
    await transport.close()
    with pytest.raises(Exception, match=r"(?i)closed"):
        await transport.request("GET", "/a")
