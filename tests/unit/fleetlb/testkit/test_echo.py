import asyncio
import socket

import pytest

from fleetlb.testkit.echo import ask_tcp, ask_udp, tcp_echo, udp_echo


async def test_a_tcp_echo_answers_line_by_line_with_its_name() -> None:
    async with tcp_echo("one") as port:
        assert await ask_tcp("127.0.0.1", port) == "one hello"
        assert await ask_tcp("127.0.0.1", port, "again") == "one again"


async def test_a_udp_echo_answers_with_its_name() -> None:
    async with udp_echo("one") as port:
        assert await ask_udp("127.0.0.1", port) == "one hello"


async def test_a_client_comes_from_where_it_is_told_to() -> None:
    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("peername")[0].encode() + b"\n")
        writer.close()

    async with await asyncio.start_server(tell, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await ask_tcp("127.0.0.1", port, source="127.0.0.9") == "127.0.0.9"
        assert await ask_tcp("127.0.0.1", port) == "127.0.0.1"
    with socket.socket(type=socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        with pytest.raises(TimeoutError):
            await ask_udp(*heard.getsockname(), timeout=0.01, source="127.0.0.9")
        assert heard.recvfrom(100)[1][0] == "127.0.0.9"


async def test_asking_nobody_fails() -> None:
    async with tcp_echo("one") as tcp_port, udp_echo("one") as udp_port:
        pass
    with pytest.raises(OSError, match=r"refused|failed"):
        await ask_tcp("127.0.0.1", tcp_port)
    with pytest.raises(OSError, match=r"."):
        await ask_udp("127.0.0.1", udp_port, timeout=0.2)


async def test_a_connection_closed_unanswered_is_the_empty_answer() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        assert await ask_tcp("127.0.0.1", server.sockets[0].getsockname()[1]) == ""
