"""Questions to a control socket: every way that it can fail to answer is told as such, and within bounds."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest

from fleetlb.domain.errors import Transient
from fleetlb_dataplane_programmer.bgp.control import BirdControl, BirdRefusal, Progress, parse_reply

GREETING = b"0001 BIRD 2.0.12 ready.\n"


@contextlib.asynccontextmanager
async def saying(folder: pathlib.Path, *answers: bytes, hangs: bool = False) -> AsyncIterator[BirdControl]:
    """Something that greets with the first answer, and says the others after one line each."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            for n, answer in enumerate(answers):
                if n:
                    await reader.readline()
                writer.write(answer)
                await writer.drain()
            if hangs:
                await reader.read()

    server = await asyncio.start_unix_server(serve, folder / "ctl")
    try:
        yield BirdControl(folder / "ctl", seconds=0.2, max_bytes=1000)
    finally:
        server.close()


def test_lines_that_go_on_have_the_code_of_the_one_before() -> None:
    reply = parse_reply(["1000-BIRD 2.0.12", "1011-Router ID is 10.0.0.1", " Hostname is vm", "0013 Daemon is up"])
    assert reply.lines == (
        (1000, "BIRD 2.0.12"),
        (1011, "Router ID is 10.0.0.1"),
        (1011, "Hostname is vm"),
        (13, "Daemon is up"),
    )
    assert reply.texts(1011, 13) == ["Router ID is 10.0.0.1", "Hostname is vm", "Daemon is up"]


def test_what_bird_tells_besides_is_no_answer() -> None:
    assert parse_reply(["+<INFO> Reconfigured", "0000 "]).lines == ((0, ""),)


@pytest.mark.parametrize("rows", [[], ["nonsense"], [" first"], ["٠٠٠٠ "]])
def test_what_is_no_answer_is_not_read(rows: list[str]) -> None:
    with pytest.raises(ValueError, match=r"no answer of BIRD's|empty"):
        parse_reply(rows)


@pytest.mark.parametrize(
    ("code", "progress"),
    [
        (3, Progress.DONE),
        (4, Progress.UNDER_WAY),
        (5, Progress.QUEUED),
        (18, Progress.CONFIRMED),
        (19, Progress.NOTHING_TO_DO),
    ],
)
async def test_how_far_a_new_configuration_is(tmp_path: pathlib.Path, code: int, progress: Progress) -> None:
    async with saying(tmp_path, GREETING, b"0002-Reading configuration\n%04d Words\n" % code) as control:
        assert await control.configure() is progress


async def test_a_bird_that_is_about_to_end_takes_no_configuration(tmp_path: pathlib.Path) -> None:
    async with saying(tmp_path, GREETING, b"0006 Reconfiguration ignored, shutting down\n") as control:
        with pytest.raises(Transient, match="ignored, shutting down"):
            await control.configure()


@pytest.mark.parametrize("code", [8000, 8002, 9001])
async def test_a_refusal_is_told_in_birds_words(tmp_path: pathlib.Path, code: int) -> None:
    async with saying(tmp_path, GREETING, b"0002-Reading\n%04d bird.conf:3:1 syntax error\n" % code) as control:
        with pytest.raises(BirdRefusal, match=r"bird\.conf:3:1 syntax error"):
            await control.check()


@pytest.mark.parametrize(
    ("answers", "hangs", "words"),
    [
        ((), True, "did not answer 'show status' within 0.2 s"),
        ((GREETING, b""), True, "did not answer"),
        ((GREETING, b"1000-half\n"), True, "did not answer"),
        ((GREETING, b"1000-half\n"), False, "cannot be asked"),
        ((GREETING, b"1000-" + b"x" * 70000), True, "cannot be asked"),
        ((GREETING, b"1000-row\n" * 200), True, "longer than 1000 bytes"),
        ((GREETING, b"HTTP/1.1 400 Bad Request\n\n0000 \n"), True, "no answer of BIRD's"),
    ],
)
async def test_what_does_not_answer_well_is_given_up_on(
    tmp_path: pathlib.Path, answers: tuple[bytes, ...], hangs: bool, words: str
) -> None:
    async with saying(tmp_path, *answers, hangs=hangs) as control:
        with pytest.raises(Transient, match=words):
            await control.status()


async def test_where_nobody_listens_that_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Transient, match=r"BIRD cannot be asked at .*No such file"):
        await BirdControl(tmp_path / "ctl").status()


async def test_a_command_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="one line"):
        await BirdControl(tmp_path / "ctl").ask("show status\ndown")
