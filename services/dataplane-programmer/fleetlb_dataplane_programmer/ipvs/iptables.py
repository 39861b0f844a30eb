"""iptables where nftables cannot be used: masquerades what IPVS sends on, by one chain of our own. Filters nobody.

Must not touch another chain, but for one jump to ours at the end of POSTROUTING.
"""

import asyncio
import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence

import structlog

from fleetlb.domain.addresses import parse_network
from fleetlb.domain.errors import Transient
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_dataplane_programmer.ipvs import commands
from fleetlb_dataplane_programmer.ipvs.commands import CommandFailed
from fleetlb_dataplane_programmer.ipvs.filtering import Guard
from fleetlb_dataplane_programmer.ipvs.nft import REPAIRS, WRITES

CHAIN = "FLEETLB-POSTROUTING"
FLAVOURS = ("", "-nft", "-legacy")
"""Ends of the programs' names, in order of preference."""
_HEADS = {4: "iptables", 6: "ip6tables"}
_JUMP = f"-A POSTROUTING -j {CHAIN}"
_NETWORK = re.compile(r"--vaddr (\S+)")
_LOCK_SECONDS = "5"


def render_chain(prefixes: Iterable[str], *, jump: bool) -> str:
    """For `iptables-restore --noflush`: our chain with these networks of VIPs, in one transaction."""
    rules = [
        # MASQ: direct routing and tunnels keep the client's address.
        f"-A {CHAIN} -m ipvs --ipvs --vaddr {prefix} --vmethod MASQ -j MASQUERADE --random-fully"
        for prefix in sorted(str(parse_network(prefix)) for prefix in prefixes)
    ]
    return "\n".join(["*nat", f":{CHAIN} - [0:0]", *rules, *([_JUMP] if jump else []), "COMMIT", ""])


def read_chain(saved: str) -> tuple[frozenset[str], bool]:
    """The networks that our chain masquerades in `iptables-save -t nat`, and whether POSTROUTING leads to it."""
    lines = saved.splitlines()
    rules = [line for line in lines if line.startswith(f"-A {CHAIN} ")]
    found = [_NETWORK.search(rule) if "-j MASQUERADE" in rule else None for rule in rules]
    networks = [str(ipaddress.ip_network(match[1])) if match else "?" for match in found]
    return frozenset(networks if len(set(networks)) == len(networks) else ["?"]), _JUMP in lines


class IptablesFilter:
    """`PacketFilter` that masquerades only."""

    can_filter = False

    def __init__(self, flavours: Sequence[str] = FLAVOURS) -> None:
        """Not started."""
        self._flavours = flavours
        self._lock = asyncio.Lock()
        self._wanted: set[str] = set()
        self._held: set[str] = set()
        self._program: dict[int, str] = {}
        self._why: dict[int, CommandFailed] = {}
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """See `PacketFilter`. Raises CommandFailed if IPv4 cannot be masqueraded; IPv6 only when it is asked for."""
        async with self._lock:
            for version in _HEADS:
                await self._choose(version)
        if 4 not in self._program:
            raise self._why[4]

    async def change(self, key: VirtualServerKey, guard: Guard | None, prefix: str = "") -> None:
        """See `PacketFilter`. Raises Transient for any guard."""
        if guard is not None:
            raise Transient(f"{key}: source ranges need nftables on this node: install the package nftables")
        if not prefix:
            return
        network = str(parse_network(prefix))
        self._wanted.add(network)
        if network not in self._held:
            async with self._lock:
                if network not in self._held:  # what was asked for meanwhile went together
                    await self._bring()

    async def sync(self, prefixes: Collection[str], guards: Collection[Guard]) -> int:
        """See `PacketFilter`. Raises Transient for any guard."""
        for guard in guards:
            await self.change(guard.key, guard)
        # Before anything is awaited: what is asked for from now on comes on top.
        self._wanted = {str(parse_network(prefix)) for prefix in prefixes}
        async with self._lock:
            return await self._bring()

    async def audit(self) -> int:
        """See `PacketFilter`. Raises CommandFailed."""
        async with self._lock:
            repaired = await self._bring()
        if repaired:
            REPAIRS.inc(repaired)
            self._log.warning("others changed the packet filter; it is mended", networks=repaired)
        return repaired

    async def _choose(self, version: int) -> None:
        for flavour in self._flavours:
            program = _HEADS[version] + flavour
            try:
                held, is_reached = await self._read(program)
                if not is_reached:
                    await self._write(program, held - {"?"}, jump=True)
            except CommandFailed as problem:
                self._why.setdefault(version, problem)
            else:
                self._program[version] = program
                self._wanted |= held - {"?"}
                return

    async def _bring(self) -> int:
        """Returns how many networks were wrong. The lock is held."""
        prefixes, wrong = set(self._wanted), 0
        for version in _HEADS:
            wanted = frozenset(text for text in prefixes if parse_network(text).version == version)
            if version not in self._program:
                if wanted:
                    raise self._why[version]
                continue
            held, is_reached = await self._read(self._program[version])
            if held != wanted or not is_reached:
                await self._write(self._program[version], wanted, jump=not is_reached)
                wrong += len(held ^ wanted) or 1
        self._held = prefixes & self._wanted
        return wrong

    async def _read(self, program: str) -> tuple[frozenset[str], bool]:
        return read_chain((await commands.run(f"{program}-save", "-t", "nat")).decode())

    async def _write(self, program: str, prefixes: Iterable[str], *, jump: bool) -> None:
        WRITES.inc()
        script = render_chain(prefixes, jump=jump)
        await commands.run(f"{program}-restore", "--noflush", "-w", _LOCK_SECONDS, stdin=script)
