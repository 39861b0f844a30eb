"""A speaker with a model of BIRD: what is asked for is there when the call returns, and whatever is lost is mended."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from prometheus_client import Counter

from fleetlb.domain.errors import Transient
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.bgp.configuring import ROUTES_FILE, SESSIONS_FILE, Route, host_route
from fleetlb_dataplane_programmer.bgp.measuring import REPAIRS
from fleetlb_dataplane_programmer.bgp.reading import Session
from fleetlb_dataplane_programmer.bgp.speaking import BirdSpeaker, Place
from tests.unit.fleetlb_dataplane_programmer.bgp.model_bird import ModelBird

A, B, C = "10.77.0.1", "10.77.0.2", "fd77::1"
PEER = BgpPeer(name="tor-1", address="10.0.0.254", asn=65000)


def group(*peers: BgpPeer, **fields: Any) -> BgpSpeaking:
    return BgpSpeaking(**{"asn": 65001, "peers": peers or (PEER,), **fields})


def place(bird: ModelBird, **fields: Any) -> Place:
    return Place(
        **{"node": "node-1", "router_id": "10.0.0.1", "directory": bird.folder, "audit_seconds": 0.01, **fields}
    )


def made(bird: ModelBird, speaking: BgpSpeaking | None = None, **fields: Any) -> BirdSpeaker:
    return BirdSpeaker(speaking or group(), bird.control, place(bird), **fields)


def networks(bird: ModelBird) -> set[str]:
    return set(bird.routes or ())


def count(counter: Counter) -> float:
    return float(counter._value.get())


@contextlib.asynccontextmanager
async def looking_after(speaker: BirdSpeaker) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(speaker.run())
        try:
            yield
        finally:
            running.cancel()


async def test_a_vip_is_there_when_the_call_returns_and_gone_likewise(bird: ModelBird) -> None:
    speaker = made(bird)
    await speaker.announce(A)
    assert networks(bird) == {f"{A}/32"}
    await speaker.announce(C)
    await speaker.withdraw(A)
    assert networks(bird) == {f"{C}/128"}


async def test_what_is_there_already_costs_nothing(bird: ModelBird) -> None:
    speaker = made(bird)
    await speaker.announce(A)
    before = len(bird.commands)
    await speaker.announce(A)
    await speaker.withdraw(B)
    await speaker.complete()
    await speaker.drain(False)
    assert len(bird.commands) == before


async def test_a_withdrawal_while_the_announcement_is_under_way_is_not_lost(bird: ModelBird) -> None:
    speaker = made(bird)
    bird.may_obey.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speaker.announce(A))
        await eventually(lambda: bird.configurations)
        withdrawn = tasks.create_task(speaker.withdraw(A))
        await asyncio.sleep(0)
        assert not withdrawn.done()
        bird.may_obey.set()
    assert networks(bird) == set()


async def test_a_burst_takes_two_configurations(bird: ModelBird) -> None:
    speaker = made(bird)
    async with asyncio.TaskGroup() as tasks:
        for n in range(200):
            tasks.create_task(speaker.announce(f"10.77.1.{n}"))
    assert len(networks(bird)) == 200
    assert bird.configurations == 2


async def test_a_failure_is_told_to_all_who_wait_and_what_they_asked_for_comes_later(bird: ModelBird) -> None:
    speaker = made(bird)
    bird.refusal = "bird.conf:1:1 syntax error"
    results = await asyncio.gather(*map(speaker.announce, (A, B, C)), return_exceptions=True)
    assert all(isinstance(result, Transient) and "syntax error" in str(result) for result in results)
    assert bird.configurations == 2
    bird.refusal = ""
    async with looking_after(speaker):
        await eventually(lambda: networks(bird) == {f"{A}/32", f"{B}/32", f"{C}/128"})


async def test_what_could_not_be_done_before_is_no_repair(bird: ModelBird) -> None:
    speaker = made(bird)
    await speaker.announce(A)
    before, bird.refusal = count(REPAIRS), "no"
    with pytest.raises(Transient):
        await speaker.announce(B)
    bird.refusal = ""
    async with looking_after(speaker):
        await eventually(lambda: networks(bird) == {f"{A}/32", f"{B}/32"})
    assert count(REPAIRS) == before


async def test_a_withdrawal_that_failed_is_tried_again(bird: ModelBird) -> None:
    speaker = made(bird)
    await speaker.announce(A)
    bird.refusal = "no"
    for _ in range(2):
        with pytest.raises(Transient):
            await speaker.withdraw(A)
    bird.refusal = ""
    await speaker.withdraw(A)
    assert networks(bird) == set()


async def test_before_anything_is_asked_for_nothing_is_written(bird: ModelBird) -> None:
    made(bird)
    await asyncio.sleep(0)
    assert not (bird.folder / ROUTES_FILE).exists()


async def test_sessions_do_not_wait_for_the_first_vip(bird: ModelBird) -> None:
    async with looking_after(made(bird)):
        await eventually(lambda: bird.sessions == ["fleetlb_to_tor_1"])
    assert networks(bird) == set()


async def test_what_was_left_stays_until_all_is_known(bird: ModelBird) -> None:
    before = made(bird)
    await before.announce(A)
    await before.announce(B)
    after = made(bird)
    async with looking_after(after):
        await after.announce(C)
        assert networks(bird) == {f"{A}/32", f"{B}/32", f"{C}/128"}
        await after.withdraw(B)
        assert networks(bird) == {f"{A}/32", f"{C}/128"}
        await after.complete()
        assert networks(bird) == {f"{C}/128"}


async def test_a_bird_that_lost_its_routes_has_them_back_and_that_is_counted(bird: ModelBird) -> None:
    speaker = made(bird)
    async with looking_after(speaker):
        await speaker.announce(A)
        before, bird.routes = count(REPAIRS), {}
        await eventually(lambda: networks(bird) == {f"{A}/32"})
        await eventually(lambda: count(REPAIRS) == before + 1)


async def test_what_is_right_is_not_touched(bird: ModelBird) -> None:
    speaker, looks = made(bird), 0
    async with looking_after(speaker):
        await speaker.announce(A)
        configurations, repairs = bird.configurations, count(REPAIRS)
        looks = len(bird.commands)
        await eventually(lambda: len(bird.commands) > looks + 20)
        assert (bird.configurations, count(REPAIRS)) == (configurations, repairs)


async def test_a_file_that_others_write_is_written_anew(bird: ModelBird) -> None:
    speaker = made(bird)
    async with looking_after(speaker):
        await speaker.announce(A)
        right = (bird.folder / ROUTES_FILE).read_text()
        (bird.folder / ROUTES_FILE).write_text("")
        await eventually(lambda: (bird.folder / ROUTES_FILE).read_text() == right)


async def test_a_node_leaves_and_comes_back(bird: ModelBird) -> None:
    speaker = made(bird)
    await speaker.announce(A)
    await speaker.drain(True)
    await speaker.announce(B)
    assert bird.routes is not None
    assert all("(65535, 0)" in text for text in bird.routes.values())
    await speaker.drain(False)
    assert not any("(65535, 0)" in text for text in bird.routes.values())
    assert networks(bird) == {f"{A}/32", f"{B}/32"}


async def test_attributes_are_asked_for_anew(bird: ModelBird) -> None:
    attributes = {A: RouteAttributes()}
    speaker = made(bird, route_of=lambda vip: Route(host_route(vip).network, attributes[vip]))
    await speaker.announce(A)
    attributes[A] = RouteAttributes(communities=("1:2",))
    await speaker.refresh()
    assert bird.routes is not None
    assert "(1, 2)" in bird.routes[f"{A}/32"]


async def test_a_group_speaks_otherwise_from_now_on(bird: ModelBird) -> None:
    speaker = made(bird)
    await speaker.announce(A)
    other = BgpPeer(name="tor-2", address="10.0.0.253", asn=65000)
    await speaker.speak(group(PEER, other, attributes=RouteAttributes(communities=("1:2",))))
    assert bird.sessions == ["fleetlb_to_tor_1", "fleetlb_to_tor_2"]
    assert bird.routes is not None
    assert "(1, 2)" in bird.routes[f"{A}/32"]


async def test_what_no_bird_could_be_told_is_refused_at_once(bird: ModelBird) -> None:
    hostile = BgpPeer(name="a", address="10.0.0.1; }", asn=1)
    with pytest.raises(ValueError, match="is not an IP address"):
        made(bird, group(hostile))
    speaker = made(bird)
    with pytest.raises(ValueError, match="is not an IP address"):
        await speaker.speak(group(hostile))
    with pytest.raises(ValueError, match="is not an IP address"):
        await speaker.announce("nonsense")
    await speaker.announce(A)
    assert bird.sessions == ["fleetlb_to_tor_1"]


class Ear:
    """The last that was said of sessions."""

    def __init__(self) -> None:
        self.sessions: Mapping[str, Session] = {}
        self.heard = 0

    def hear(self, sessions: Mapping[str, Session]) -> None:
        self.heard += 1
        self.sessions = sessions

    async def until(self, peer: str, word: str) -> Session:
        def is_heard() -> bool:
            session = self.sessions.get(peer)
            return session is not None and word in f"{session.state} {session.problem}"

        await eventually(is_heard)
        return self.sessions[peer]


async def test_how_sessions_are_is_told(bird: ModelBird) -> None:
    ear = Ear()
    elsewhere = BgpPeer(name="other", address="10.0.0.2", asn=1, nodes=("node-2",))
    speaker = made(bird, group(PEER, elsewhere), on_sessions=ear.hear)
    async with looking_after(speaker):
        await speaker.announce(A)
        assert (await ear.until("tor-1", "Established")).is_up
        await eventually(lambda: ear.sessions["tor-1"].advertised == 1)
        assert set(ear.sessions) == {"tor-1"}
        bird.sessions = []
        assert not (await ear.until("tor-1", "BIRD has no such session")).is_up


async def test_without_a_bird_each_peer_says_so(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    ear, bird = Ear(), ModelBird(tmp_path)
    speaker = made(bird, on_sessions=ear.hear)
    async with looking_after(speaker):
        await ear.until("tor-1", "BIRD cannot be asked")
        await eventually(lambda: ear.heard > 5)
        async with bird.running():
            await ear.until("tor-1", "Established")
    assert capsys.readouterr().out.count("VIPs cannot be announced by BGP") == 1, "it is said once, not at each look"


async def test_a_peer_without_its_password_says_why(bird: ModelBird, tmp_path: pathlib.Path) -> None:
    ear, locked = Ear(), BgpPeer(name="locked", address="10.0.0.2", asn=1, password_file="key")
    passwords = tmp_path / "passwords"
    passwords.mkdir()
    speaker = BirdSpeaker(group(PEER, locked), bird.control, place(bird, passwords=passwords), on_sessions=ear.hear)
    async with looking_after(speaker):
        await ear.until("locked", "there is no file")
        await ear.until("tor-1", "Established")
        (passwords / "key").write_text("secret\n")
        await ear.until("locked", "Established")
    assert '  password "secret";' in (bird.folder / SESSIONS_FILE).read_text()


async def test_a_node_without_passwords_says_so(bird: ModelBird) -> None:
    ear, locked = Ear(), BgpPeer(name="locked", address="10.0.0.2", asn=1, password_file="key")
    async with looking_after(made(bird, group(locked), on_sessions=ear.hear)):
        await ear.until("locked", "no directory of passwords")
