"""Headers byte by byte, as the specification of the PROXY protocol has them."""

import asyncio
import contextlib
import socket

import pytest

from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.proxy_protocol import Header, proxied_server, read_header

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
IPV4 = SIGNATURE + bytes.fromhex("2111000c") + bytes([192, 0, 2, 7, 10, 0, 0, 1]) + b"\x12\x34\x01\xbb"


def stream(content: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    reader.feed_eof()
    return reader


async def test_a_header_of_ipv4_is_read_and_what_follows_is_left() -> None:
    reader = stream(IPV4 + b"payload")
    assert await read_header(reader) == Header(("192.0.2.7", 0x1234), ("10.0.0.1", 443))
    assert await reader.read() == b"payload"


async def test_a_header_of_ipv6_is_read_and_its_extensions_are_passed_over() -> None:
    addresses = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    reader = stream(
        SIGNATURE + bytes.fromhex("21210028") + addresses + b"\0\x01\0\x02" + b"\x04\0\x01\xff" + b"payload"
    )
    assert await read_header(reader) == Header(("2001:db8::7", 1), ("2001:db8::1", 2))
    assert await reader.read() == b"payload"


@pytest.mark.parametrize(
    "content",
    [
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 443\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        SIGNATURE + bytes.fromhex("20000000"),  # the proxy's own connection
        IPV4.replace(b"\x21\x11", b"\x21\x12"),  # datagrams
    ],
)
async def test_what_is_no_header_of_a_clients_connection_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no header"):
        await read_header(stream(content))


async def test_the_server_greets_first_and_tells_checks_from_strangers() -> None:
    async with proxied_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(IPV4)
        assert await reader.readline() == b"welcome 192.0.2.7 4660\n"
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"shorter"):
            with contextlib.closing(socket.create_connection(("127.0.0.1", server.port))) as stranger:
                stranger.sendall(said)
        await eventually(lambda: server.checks == 1 and len(server.complaints) == 2)
        assert len(server.headers) == 1
