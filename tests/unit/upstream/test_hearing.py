"""A header is found before the words of one client, among all that a listener heard."""

import struct

import pytest

from fleetlb.testkit.proxy_protocol import Header
from tests.upstream.hearing import header_before

WORDS = b"GET /backend-1 "


def header(source: str, destination: str = "10.9.0.1") -> bytes:
    addresses = bytes(int(number) for number in f"{source}.{destination}".split("."))
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, 12) + addresses + struct.pack("!HH", 4321, 80)


async def test_the_header_right_before_the_words() -> None:
    heard = header("10.0.0.1") + header("10.0.0.2") + WORDS + b"HTTP/1.1\r\n\r\n" + header("10.0.0.3")
    assert await header_before(heard, WORDS) == Header(("10.0.0.2", 4321), ("10.9.0.1", 80))


@pytest.mark.parametrize(
    "heard",
    [
        b"",
        header("10.0.0.1"),
        WORDS,
        header("10.0.0.1") + b"GET /another HTTP/1.1\r\n\r\n" + WORDS,
        header("10.0.0.1")[:20] + WORDS,
        WORDS + header("10.0.0.1"),
        b"\r\n\r\n\0\r\nQUIT\n\x00\x00\x00\x00" + WORDS,
    ],
)
async def test_other_words_other_places_and_stumps_are_none(heard: bytes) -> None:
    assert await header_before(heard, WORDS) is None
