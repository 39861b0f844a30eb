import json

import aiohttp
import pytest

from fleetlb.testkit.scripted_kube import Json, Reset, ScriptedKube, Watch, refusal


async def test_replies_are_used_up_and_the_last_one_stays() -> None:
    async with ScriptedKube() as kube, aiohttp.ClientSession() as session:
        kube.on("GET", "/a", Json({"n": 1}), Json({"n": 2}))
        answers = [await (await session.get(f"{kube.url}/a")).json() for _ in range(3)]
    assert answers == [{"n": 1}, {"n": 2}, {"n": 2}]


async def test_what_was_sent_is_recorded() -> None:
    async with ScriptedKube() as kube, aiohttp.ClientSession() as session:
        kube.on("POST", "/a", refusal(409, "AlreadyExists"))
        answer = await session.post(f"{kube.url}/a?x=y", json={"b": 1}, headers={"Authorization": "me"})
        assert (answer.status, (await answer.json())["reason"]) == (409, "AlreadyExists")
    (request,) = kube.sent("POST", "/a")
    assert (request.query, request.body, request.headers["Authorization"]) == ({"x": "y"}, {"b": 1}, "me")


async def test_a_watch_says_what_it_is_told() -> None:
    watch = Watch().send("ADDED", {"n": 1}).raw(b"half").end()
    async with ScriptedKube() as kube, aiohttp.ClientSession() as session:
        kube.on("WATCH", "/a", watch)
        text = await (await session.get(f"{kube.url}/a?watch=true")).text()
    assert text == json.dumps({"type": "ADDED", "object": {"n": 1}}) + "\nhalf"


@pytest.mark.parametrize("method", ["GET", "WATCH"])
async def test_connections_can_break(method: str) -> None:
    async with ScriptedKube() as kube, aiohttp.ClientSession() as session:
        kube.on("GET", "/a", Reset())
        kube.on("WATCH", "/a", Watch().raw(b"x").cut())
        with pytest.raises(aiohttp.ClientError):
            await (await session.get(f"{kube.url}/a?watch={str(method == 'WATCH').lower()}")).read()


async def test_it_comes_back_on_the_same_port() -> None:
    async with ScriptedKube() as kube, aiohttp.ClientSession() as session:
        url = kube.url
        await kube.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{url}/a")
        await kube.start()
        assert (await session.get(f"{url}/a")).status == 404
