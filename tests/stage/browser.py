"""A real headless Chromium, driven by its DevTools protocol. It reaches nothing but the loopback."""

import asyncio
import base64
import contextlib
import itertools
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

FETCH = Path(__file__).resolve().parents[2] / "deploy" / "chromium" / "fetch.sh"
FETCH_SECONDS = 600.0
START_SECONDS = 60.0
PATIENCE = 30.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it needs rights that not everybody has; the page under test is our own
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "Home": 36, "End": 35}

Json = dict[str, Any]


class BrowserError(Exception):
    """There is no Chromium here, or it does not do as it is told; and why."""


def find_chromium() -> str:
    """The path of the command, fetched if it is not there. Raises BrowserError."""
    found = subprocess.run([str(FETCH)], capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    if found.returncode:
        raise BrowserError(found.stderr.strip()[-500:])
    return found.stdout.strip()


class Browser:
    """One running browser."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Json]] = {}
        self._pages: dict[str, Page] = {}

    async def listen(self) -> None:
        """Hand answers and events to whom they belong, until the browser is gone."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                answer = self._answers.pop(said["id"])
                if not answer.done():
                    answer.set_result(said)
            elif page := self._pages.get(said.get("sessionId", "")):
                page.hear(said["method"], said["params"])

    async def call(self, method: str, session: str = "", **params: Any) -> Json:
        """One command. Raises BrowserError."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        more = {"sessionId": session} if session else {}
        await self._socket.send_json({"id": number, "method": method, "params": params, **more})
        async with asyncio.timeout(PATIENCE):
            said = await answer
        if "error" in said:
            raise BrowserError(f"{method}: {said['error']['message']}")
        result: Json = said["result"]
        return result

    async def page(self, *, width: int = 1440, height: int = 900, headers: dict[str, str] | None = None) -> "Page":
        """A new page with nothing in it, of its own profile. `headers`: sent with all that it asks for."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            await page.call(f"{domain}.enable")
        await page.resize(width, height)
        if headers:
            await page.call("Network.setExtraHTTPHeaders", headers=headers)
        return page


class Page:
    """One page, and all that it asked for and complained about."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def hear(self, event: str, params: Json) -> None:
        """Something has happened in it."""
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("exception", params)))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert", "warning"):
            self.complaints.append(str([each.get("value", each.get("description")) for each in params["args"]]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    async def call(self, method: str, **params: Any) -> Json:
        """One command."""
        return await self._browser.call(method, self._session, **params)

    async def resize(self, width: int, height: int) -> None:
        """The window, in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def colours(self, scheme: str) -> None:
        """What the system prefers: light or dark, and no motion."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def goto(self, url: str) -> None:
        """Begin to load a page."""
        await self.call("Page.navigate", url=url)

    async def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of its promise. Raises BrowserError."""
        said = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if problem := said.get("exceptionDetails"):
            raise BrowserError(f"{expression}: {problem.get('exception', problem).get('description', problem)}")
        return said["result"].get("value")

    async def until(self, expression: str, what: str, patience: float = PATIENCE) -> Any:
        """Wait until an expression is true; its value. Fails with `what`, and with what the page shows."""
        end = time.monotonic() + patience
        wanted = f"(value => value instanceof Node ? true : value)({expression})"
        while not (value := await self._asked(wanted)):
            if time.monotonic() > end:
                shown = await self._asked("document.body.innerText")
                raise AssertionError(f"{what} did not come true in {patience:g} s; the page shows:\n{shown}")
            await asyncio.sleep(0.05)
        return value

    async def _asked(self, expression: str) -> Any:
        with contextlib.suppress(BrowserError):  # between two documents there is nothing to ask
            return await self.ask(expression)
        return None

    async def press(self, key: str) -> None:
        """A key, down and up."""
        more = {"text": "\r"} if key == "Enter" else {}
        about = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        await self.call("Input.dispatchKeyEvent", type="keyDown" if more else "rawKeyDown", **about, **more)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    async def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    async def tree(self) -> list[Json]:
        """What a screen reader is told: every node that is not ignored."""
        nodes = (await self.call("Accessibility.getFullAXTree"))["nodes"]
        return [node for node in nodes if not node.get("ignored")]


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Browser]:
    """A browser with a new profile in a folder, for the time of a block. Raises BrowserError."""
    command = [await asyncio.to_thread(find_chromium), *FLAGS, f"--user-data-dir={profile}"]
    with (profile.parent / f"{profile.name}.log").open("wb") as log:
        child = subprocess.Popen([*command, "about:blank"], stdout=log, stderr=log)
        try:
            url = await _address(profile / "DevToolsActivePort", child.poll, Path(log.name))
            async with ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
                made = Browser(socket)
                async with asyncio.TaskGroup() as tasks:
                    listening = tasks.create_task(made.listen())
                    yield made
                    listening.cancel()
        finally:
            child.terminate()
            await asyncio.to_thread(child.wait, 30)


async def _address(port_file: Path, ended: Callable[[], int | None], log: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while not port_file.exists() or len(port_file.read_text().splitlines()) < 2:
        if ended() is not None or time.monotonic() > end:
            raise BrowserError(f"Chromium does not start: {log.read_text(errors='replace')[-800:]}")
        await asyncio.sleep(0.05)
    port, path = port_file.read_text().splitlines()[:2]
    return f"ws://127.0.0.1:{port}{path}"
