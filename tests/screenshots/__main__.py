"""`python -m tests.screenshots [STATE]`: write docs/images/ui-*.png, of a fleet in STATE or of one of its own.

With a second argument, the pictures go into that folder.
"""

import asyncio
import contextlib
import struct
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.fleet import Fleet
from tests.screenshots.scene import set_up
from tests.stage.browser import Page, browser
from tests.stage.starting import running_fleet

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDTH, HEIGHT = 1200, 760


@asynccontextmanager
async def looked_at(fleet: Fleet, work: Path) -> AsyncIterator[Page]:
    """The page in a window, live."""
    async with browser(work / "profile") as chromium:
        page = await chromium.page(width=WIDTH, height=HEIGHT)
        await page.colours("light")
        await page.goto(str(fleet.environment.processes["status"].ui))
        await page.until(
            "document.querySelector('#link.live') && document.querySelectorAll('#list tr').length > 12", "it"
        )
        yield page


async def take(state: Path, images: Path) -> None:
    """Set the scene, and take its pictures."""
    fleet = await Fleet.open(state)
    with tempfile.TemporaryDirectory() as work:
        async with looked_at_scene(fleet, Path(work)) as page:
            await keep(page, images / "ui-light.png")
            await page.colours("dark")
            await open_drawer(page)
            await keep(page, images / "ui-dark.png")
    await fleet.close()


@asynccontextmanager
async def looked_at_scene(fleet: Fleet, work: Path) -> AsyncIterator[Page]:
    """The page is open while things happen, so that its feed has something to tell."""
    async with contextlib.AsyncExitStack() as stack:
        scene = await stack.enter_async_context(set_up(fleet))
        page = await stack.enter_async_context(looked_at(fleet, work))
        await scene.go_on()
        await page.until("document.querySelector('#feed p').textContent.startsWith('not serving')", "the last change")
        yield page


async def open_drawer(page: Page) -> None:
    """Of the Service that nobody answers for."""
    await page.ask("[...document.querySelectorAll('#list .open')].find(b => b.textContent.endsWith('reports')).click()")
    await page.until("document.querySelector('#why')", "why")
    await page.ask("document.activeElement.blur()")


async def keep(page: Page, file: Path) -> None:
    """Write what the window shows."""
    file.write_bytes(smaller(await page.picture()))
    print(f"{file}: {file.stat().st_size // 1000} kB")


def smaller(png: bytes) -> bytes:
    """The same picture, packed with more patience."""
    at, before, data, after = 8, png[:8], b"", b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        chunk, at = png[at : at + 12 + length], at + 12 + length
        if kind == b"IDAT":
            data += chunk[8:-4]
        elif data:
            after += chunk
        else:
            before += chunk
    body = b"IDAT" + zlib.compress(zlib.decompress(data), 9)
    return before + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + after


def main(arguments: list[str]) -> None:
    """Take them."""
    images = Path(arguments[1]) if len(arguments) > 1 else IMAGES
    if arguments:
        asyncio.run(take(Path(arguments[0]), images))
        return
    with tempfile.TemporaryDirectory() as work, running_fleet(Path(work) / "fleet") as state:
        asyncio.run(take(state, images))


if __name__ == "__main__":
    main(sys.argv[1:])
