"""An engine in memory, with the same semantics as the real ones; one contract suite holds for all.

`dump` shows what it serves, in the words of `ipvsadm -L -n`. Faults are asked for by name. It must not know messages.
"""

import asyncio
from collections.abc import MutableMapping

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.engine import OnOutcome, Outcome, State


class FakeEngine:
    """`Engine` over a dictionary. The data plane survives its programmer: hand `plane` to the next one."""

    name = "fake"
    capabilities = frozenset({"tcp", "udp", "affinity", "source-ranges", "proxy-protocol"})

    def __init__(
        self, on_outcome: OnOutcome, plane: MutableMapping[VirtualServerKey, VirtualServer] | None = None
    ) -> None:
        """`plane`: what the data plane holds already."""
        self.plane: MutableMapping[VirtualServerKey, VirtualServer] = {} if plane is None else plane
        self.changes = 0
        """Changes made to the data plane."""
        self.rejecting: dict[VirtualServerKey, str] = {}
        """Keys that the data plane refuses, and its words."""
        self.is_away = False
        """The data plane does not answer."""
        self._on_outcome = on_outcome
        self._is_complete = False
        self._wishes: dict[VirtualServerKey, tuple[VirtualServer | None, int]] = {}

    def apply(self, server: VirtualServer, token: int) -> None:
        """Wish for this virtual server."""
        self._wish(server.key, server, token)

    def remove(self, key: VirtualServerKey, token: int) -> None:
        """Wish for nothing under this key."""
        self._wish(key, None, token)

    def complete(self) -> None:
        """Let changes start."""
        if self._is_complete:
            return
        self._is_complete = True
        for key in [key for key in self.plane if key not in self._wishes]:
            del self.plane[key]
            self.changes += 1
        self.settle()

    def settle(self) -> None:
        """Work on every wish again, as after the data plane came back or changed its mind."""
        for key in list(self._wishes):
            self._settle_soon(key)

    async def run(self) -> None:
        """Serve until cancelled."""
        await asyncio.Event().wait()

    def dump(self) -> str:
        """What the data plane serves, sorted."""
        lines: list[str] = []
        for key, server in sorted(self.plane.items()):
            lines.append(f"{key.protocol}  {str(key).rpartition('/')[0]} {server.scheduler}")
            lines += [f"  -> {real.address}:{real.port} {real.weight}" for real in server.real_servers]
        return "\n".join(lines)

    def _wish(self, key: VirtualServerKey, server: VirtualServer | None, token: int) -> None:
        self._wishes[key] = (server, token)
        self._settle_soon(key)

    def _settle_soon(self, key: VirtualServerKey) -> None:
        if self._is_complete and not self.is_away:
            asyncio.get_running_loop().call_soon(self._settle, key, self._wishes[key])

    def _settle(self, key: VirtualServerKey, wish: tuple[VirtualServer | None, int]) -> None:
        if self._wishes.get(key) is not wish or self.is_away:
            return
        server, token = wish
        if server is None:
            self.changes += self.plane.pop(key, None) is not None
            del self._wishes[key]
            self._on_outcome(key, Outcome(state=State.REMOVED, token=token))
        elif key in self.rejecting:
            self._on_outcome(key, Outcome(state=State.REJECTED, token=token, message=self.rejecting[key]))
        else:
            self.changes += self.plane.get(key) != server
            self.plane[key] = server
            self._on_outcome(key, Outcome(state=State.PROGRAMMED, token=token))
