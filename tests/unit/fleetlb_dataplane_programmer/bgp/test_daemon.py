"""A BIRD and its files: what it refuses is taken back, and what it has is compared with what it should."""

import pytest

from fleetlb.domain.errors import Transient
from fleetlb.domain.routing import RouteAttributes
from fleetlb_dataplane_programmer.bgp.configuring import (
    ROUTES_FILE,
    SESSIONS_FILE,
    Line,
    host_route,
    line_of,
    routes_text,
)
from fleetlb_dataplane_programmer.bgp.control import BirdRefusal
from fleetlb_dataplane_programmer.bgp.daemon import Bird
from tests.unit.fleetlb_dataplane_programmer.bgp.model_bird import ModelBird

LINES = {f"{vip}/32": line_of(host_route(vip), RouteAttributes()) for vip in ("10.77.0.1", "10.77.0.2")}


def texts_of(lines: dict[str, Line], *, is_leaving: bool = False) -> dict[str, str]:
    return {ROUTES_FILE: routes_text(lines.values(), is_leaving=is_leaving), SESSIONS_FILE: "protocol bgp a {\n"}


async def test_it_has_what_it_was_given(bird: ModelBird) -> None:
    daemon, texts = Bird(bird.control, bird.folder), texts_of(LINES)
    await daemon.take(texts)
    await daemon.settle(LINES.values(), is_leaving=False)
    assert await daemon.is_as(texts, LINES)
    assert (await daemon.sessions())["a"].is_up


async def test_the_file_that_includes_another_is_written_last(bird: ModelBird) -> None:
    (bird.folder / f".{SESSIONS_FILE}.new").mkdir()
    with pytest.raises(Transient, match=r"BIRD's files in .* cannot be written: .*Is a directory"):
        await Bird(bird.control, bird.folder).take(texts_of(LINES))
    assert (bird.folder / ROUTES_FILE).exists()
    assert not (bird.folder / SESSIONS_FILE).exists()
    assert bird.configurations == 0


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_is_refused_is_taken_back(bird: ModelBird, is_first: bool) -> None:
    daemon = Bird(bird.control, bird.folder)
    if not is_first:
        await daemon.take(texts_of({}))
    before = {path.name: path.read_text() for path in bird.folder.iterdir() if path.is_file()}
    bird.refusal = "fleetlb.conf:3:1 syntax error"
    with pytest.raises(BirdRefusal, match=r"fleetlb\.conf:3:1 syntax error"):
        await daemon.take(texts_of(LINES))
    assert {path.name: path.read_text() for path in bird.folder.iterdir() if path.is_file()} == before


async def test_files_that_cannot_be_read_are_named(bird: ModelBird) -> None:
    daemon, texts = Bird(bird.control, bird.folder), texts_of(LINES)
    await daemon.take(texts)
    (bird.folder / ROUTES_FILE).unlink()
    (bird.folder / ROUTES_FILE).mkdir()
    with pytest.raises(Transient, match=r"BIRD's files in .* cannot be read: .*Is a directory"):
        await daemon.is_as(texts, LINES)


async def test_what_cannot_be_understood_is_no_bug(bird: ModelBird) -> None:
    daemon, texts = Bird(bird.control, bird.folder), texts_of(LINES)
    await daemon.take(texts)
    bird.routes = {"10.77.0.1/99": ""}
    with pytest.raises(Transient, match=r"BIRD's answer cannot be read: '10\.77\.0\.1/99'"):
        await daemon.is_as(texts, LINES)


async def test_what_no_bird_was_there_to_refuse_stays(bird: ModelBird) -> None:
    bird.may_obey.clear()
    with pytest.raises(Transient, match="did not answer"):
        await Bird(bird.control, bird.folder).take(texts_of(LINES))
    assert "10.77.0.1" in (bird.folder / ROUTES_FILE).read_text()


async def test_a_file_that_is_right_is_not_written_again(bird: ModelBird) -> None:
    daemon = Bird(bird.control, bird.folder)
    await daemon.take(texts_of({}))
    before = (bird.folder / SESSIONS_FILE).stat()
    await daemon.take(texts_of(LINES))
    after = (bird.folder / SESSIONS_FILE).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_a_bird_that_lags_is_waited_for_and_given_up_on(bird: ModelBird) -> None:
    daemon = Bird(bird.control, bird.folder)
    await daemon.take(texts_of({}))
    bird.lags, bird.verdict = True, "0004 Reconfiguration in progress"
    await daemon.take(texts_of(LINES))
    with pytest.raises(Transient, match=r"BIRD has 0 of 2 routes 0\.3 s after it was told"):
        await daemon.settle(LINES.values(), is_leaving=False)


async def test_routes_that_do_not_ask_for_others_yet_are_not_enough(bird: ModelBird) -> None:
    daemon = Bird(bird.control, bird.folder)
    await daemon.take(texts_of(LINES))
    with pytest.raises(Transient, match="BIRD has 0 of 2 routes"):
        await daemon.settle(LINES.values(), is_leaving=True)
    await daemon.take(texts_of(LINES, is_leaving=True))
    await daemon.settle(LINES.values(), is_leaving=True)


async def test_a_bird_that_does_not_include_the_files_is_told_how(bird: ModelBird) -> None:
    bird.includes = False
    daemon = Bird(bird.control, bird.folder)
    await daemon.take(texts_of(LINES))
    with pytest.raises(Transient) as told:
        await daemon.settle(LINES.values(), is_leaving=False)
    assert f'add include "{bird.folder}/*.conf"; to its own' in str(told.value)
    assert await daemon.sessions() == {}


@pytest.mark.parametrize("change", ["file", "routes", "exchange"])
async def test_what_others_change_shows(bird: ModelBird, change: str) -> None:
    daemon, texts = Bird(bird.control, bird.folder), texts_of(LINES)
    await daemon.take(texts)
    assert bird.routes is not None
    if change == "file":
        (bird.folder / SESSIONS_FILE).write_text("")
    else:
        del bird.routes["10.77.0.1/32"]
        if change == "exchange":
            bird.routes["10.77.0.3/32"] = ""
    assert not await daemon.is_as(texts, LINES)
