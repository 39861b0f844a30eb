from pathlib import Path

from aiohttp import web

from fleetlb.domain.virtual_servers import parse_key
from fleetlb_dataplane_programmer.envoy_admin import listeners, parse_listeners

TEXT = """\
127.77.0.5:443/tcp::127.77.0.5:443
127.77.0.5:53/udp::127.77.0.5:53
[2001:db8::1]:443/tcp::[2001:db8::1]:443
metrics::0.0.0.0:9901
weird/tcp::0.0.0.0:1

"""
KEYS = frozenset(map(parse_key, ("127.77.0.5:443/tcp", "127.77.0.5:53/udp", "[2001:db8::1]:443/tcp")))


def test_listeners_that_are_virtual_servers_are_found() -> None:
    assert parse_listeners(TEXT) == KEYS
    assert parse_listeners("") == frozenset()


async def test_nobody_there_is_not_an_empty_data_plane(tmp_path: Path) -> None:
    assert await listeners(str(tmp_path / "none")) is None
    assert await listeners("127.0.0.1:1") is None


async def test_both_kinds_of_addresses_are_asked(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=TEXT)

    app = web.Application()
    app.add_routes([web.get("/listeners", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "admin")).start()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = next(address[1] for address in runner.addresses if isinstance(address, tuple))
        assert await listeners(str(tmp_path / "admin")) == KEYS
        assert await listeners(f"127.0.0.1:{port}") == KEYS
    finally:
        await runner.cleanup()


async def test_an_error_page_is_not_an_empty_data_plane(tmp_path: Path) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "admin")).start()
        assert await listeners(str(tmp_path / "admin")) is None
    finally:
        await runner.cleanup()
