"""BIRD as far as a speaker needs it, at a control socket: reads the files, and tells what is in them. It has no peers;
what a real one does is shown in the lab.
"""

import asyncio
import contextlib
import pathlib
import re
from collections.abc import AsyncIterator

from fleetlb_dataplane_programmer.bgp.configuring import ROUTES_FILE, SESSIONS_FILE, parse_routes
from fleetlb_dataplane_programmer.bgp.control import BirdControl

_SESSION = """1002-{name} BGP        ---        up     03:10:21.468  Established
1006-  BGP state:          Established
   Channel ipv4
     Routes:         0 imported, {routes} exported, 0 preferred
"""


class ModelBird:
    """Has nothing before the first `configure`."""

    def __init__(self, folder: pathlib.Path) -> None:
        """`folder` holds the files and the socket."""
        self.folder, self.socket = folder, folder / "ctl"
        self.control = BirdControl(self.socket, seconds=0.3)
        self.commands: list[str] = []
        self.refusal = ""
        """What it says to `configure` instead of obeying."""
        self.verdict = "0003 Reconfigured"
        self.includes = True
        """Whether its own configuration includes the files."""
        self.may_obey = asyncio.Event()
        """Until then `configure` takes its time."""
        self.may_obey.set()
        self.lags = False
        """Whether it says that it obeyed, and has nothing new yet."""
        self.routes: dict[str, str] | None = None
        """What it has, by network; None: it knows no table of that name."""
        self.sessions: list[str] = []

    @property
    def configurations(self) -> int:
        """How often it was asked to read the files."""
        return self.commands.count("configure")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ModelBird"]:
        """It answers until the end of the block."""
        server = await asyncio.start_unix_server(self._serve, self.socket)
        try:
            yield self
        finally:
            server.close()
            self.socket.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            writer.write(b"0001 BIRD 2.0.12 ready.\n")
            while line := await reader.readline():
                command = line.decode().strip()
                self.commands.append(command)
                writer.write(f"{await self._answer(command)}\n".encode())
                await writer.drain()

    async def _answer(self, command: str) -> str:
        if command == "configure":
            await self.may_obey.wait()
            return self._configure()
        if command.startswith("show route"):
            return self._show_routes(command)
        if command.startswith("show protocols"):
            return self._show_sessions()
        return "9001 syntax error"

    def _configure(self) -> str:
        if self.refusal:
            return f"0002-Reading configuration from bird.conf\n8002 {self.refusal}"
        if self.includes and not self.lags:
            self.read()
        return f"0002-Reading configuration from bird.conf\n{self.verdict}"

    def read(self) -> None:
        """Take what the files hold, as it does at a start."""
        text = (self.folder / ROUTES_FILE).read_text()
        left = parse_routes(text)
        more = " (65535, 0)" if left.is_leaving else ""
        self.routes = {network: line.text + more for network, line in left.lines.items()}
        self.sessions = re.findall("protocol bgp (.*) {", (self.folder / SESSIONS_FILE).read_text())

    def _show_routes(self, command: str) -> str:
        if self.routes is None:
            return "9001 syntax error, unexpected CF_SYM_UNDEFINED, expecting CF_SYM_KNOWN or ALL"
        is_v6 = "table fleetlb_ipv6" in command
        found = [network for network, text in self.routes.items() if (":" in network) is is_v6]
        if command.endswith("count"):
            if " where " in command:
                found = [network for network in found if "(65535, 0)" in self.routes[network]]
            return f"1007-{len(found)} of {len(found)} routes for {len(found)} networks in table t\n0000 "
        rows = [f" {network}  blackhole [p 03:10:21.468] * (200)\n" for network in found]
        return "1007-Table t:\n" + "".join(rows) + "0000 "

    def _show_sessions(self) -> str:
        if not self.sessions:
            return "8003 No protocols match"
        routes = len(self.routes or ())
        blocks = "".join(_SESSION.format(name=name, routes=routes) for name in self.sessions)
        return f"2002-Name       Proto      Table      State  Since         Info\n{blocks}\n0000 ".replace("\n\n", "\n")
