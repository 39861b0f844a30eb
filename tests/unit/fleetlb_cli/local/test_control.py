"""Orders and outcomes over a unix socket."""

import asyncio
import socket
from pathlib import Path

import pytest

from fleetlb_cli.local import control
from fleetlb_cli.local.control import Order, Outcome


async def obey(order: Order) -> Outcome:
    return Outcome(code=1, text=f"{order.verb} {order.process}")


async def test_an_order_gets_its_outcome(tmp_path: Path) -> None:
    path = tmp_path / "control"
    async with await control.serve(path, obey):
        outcome = await asyncio.to_thread(control.send, path, Order("kill", "nats"), 5)
    assert outcome == Outcome(code=1, text="kill nats")


async def test_nonsense_gets_an_answer_too(tmp_path: Path) -> None:
    path = tmp_path / "control"
    async with await control.serve(path, obey):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"verb": 7}\n')
        assert b'"code":2' in await reader.readline()
        writer.close()


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        control.send(tmp_path / "control", Order("kill", "nats"), 5)


async def test_a_fleet_that_goes_down_meanwhile_is_told(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        waiting = asyncio.to_thread(control.send, path, Order("kill", "nats"), 5)
        async with asyncio.TaskGroup() as tasks:
            answer = tasks.create_task(waiting)
            connection, _ = await asyncio.to_thread(server.accept)
            with connection:
                await asyncio.to_thread(connection.recv, 4096)
        assert answer.result() == Outcome(code=1, text="the fleet went down before it answered")
