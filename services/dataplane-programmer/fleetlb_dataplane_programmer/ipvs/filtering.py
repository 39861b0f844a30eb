"""What nftables holds for this node's virtual servers: elements of a table, scripts that change them, and what is read
back. Pure.

A script is one transaction in nft's JSON, built of parsed addresses and numbers alone, so nothing that a tenant wrote
can be taken for a command. Guards fail closed: who is not admitted is dropped, and where a script adds and removes at
once, the kernel never shows less guarded than both what was and what will be.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import msgspec

from fleetlb.domain.addresses import IPNetwork, Protocol, parse_address, parse_network
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb_dataplane_programmer.ipvs.filter_table import TABLE, JsonObject, named, shape

_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}
_NUMBER_OF_SET = {f"admitted_{protocol.lower()}": str(number) for protocol, number in _NUMBERS.items()}
_JOIN = " . "
_ATOM = re.compile(r"[0-9a-fA-F:.]+((/|-)[0-9a-fA-F:.]+)?")


class Guard(msgspec.Struct, frozen=True):
    """A virtual server that only clients in `ranges` may reach; with none of the VIP's family, nobody may."""

    key: VirtualServerKey
    ranges: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ValueError naming what is wrong, so that one bad guard fails alone and before others are written."""
        parse_address(self.key.address)
        if self.key.protocol not in _NUMBERS or not isinstance(self.key.port, int) or not 0 < self.key.port < 65536:
            raise ValueError(f"{self.key!r:.200}: source ranges need a port of TCP, UDP or SCTP")
        for text in self.ranges:
            parse_network(text)


def guard_of(server: VirtualServer) -> Guard | None:
    """What guards a virtual server; None if it is open to everybody. Raises ValueError."""
    return Guard(server.key, server.source_ranges) if server.source_ranges else None


class Element(NamedTuple):
    """A member of one of the table's sets, in one spelling: `10.77.0.0/16`, `10.77.0.1 . 443 . 192.0.2.0/24`."""

    set: str
    text: str


Owner = tuple[str, ...]
"""Whose an element is: a virtual server's address, protocol number and port; or of all pools together `POOLS`."""
POOLS: Owner = ("pools",)


def pool_elements(prefixes: Iterable[str]) -> frozenset[Element]:
    """The networks of VIPs, which may overlap. Raises ValueError for a bad one."""
    outermost = _outermost(parse_network(prefix) for prefix in prefixes)
    return frozenset(Element(f"pools{network.version}", _spelled(network)) for network in outermost)


def guard_elements(guard: Guard) -> frozenset[Element]:
    """What one guard puts into the sets."""
    address, number, port = owner_of(guard.key)
    version = ipaddress.ip_address(address).version
    name = f"admitted_{guard.key.protocol.lower()}{version}"
    admitted = [
        Element(name, _JOIN.join((address, port, _spelled(network)))) for network in _collapsed(guard.ranges, version)
    ]
    return frozenset((Element(f"guarded{version}", _JOIN.join((address, number, port))), *admitted))


def owner_of(key: VirtualServerKey) -> Owner:
    """The owner of the elements of a virtual server."""
    return str(ipaddress.ip_address(key.address)), str(_NUMBERS[key.protocol]), str(key.port)


def by_owner(elements: Iterable[Element]) -> dict[Owner, frozenset[Element]]:
    """Elements that were read, sorted by whose they are; those that can be nobody's are owned by their own name."""
    found: dict[Owner, set[Element]] = {}
    for element in elements:
        found.setdefault(_owner(element), set()).add(element)
    return {owner: frozenset(its) for owner, its in found.items()}


def elements(prefixes: Iterable[str], guards: Iterable[Guard]) -> frozenset[Element]:
    """What the table should hold. Raises ValueError for a bad prefix."""
    return pool_elements(prefixes).union(*map(guard_elements, guards))


def render_table(wanted: Collection[Element]) -> str:
    """The script that replaces our whole table, be it there or not."""
    return _script(_whole_table(wanted))


def render_change(before: AbstractSet[Element], after: AbstractSet[Element]) -> str:
    """The script that leads from one to the other, or "" if they are equal. It fails if it does not find `before`."""
    commands = _difference(before, after)
    return _script(commands) if commands else ""


class Listing(msgspec.Struct, frozen=True):
    """Our table as the kernel has it."""

    shape: frozenset[str] = frozenset()
    """Its objects without elements, handles and counts; those of a chain's rules carry their place."""
    elements: frozenset[Element] = frozenset()
    refused_packets: int = 0
    """Since the table was made."""


class Repair(msgspec.Struct, frozen=True):
    """What brings the kernel to what is wanted."""

    script: str
    size: int
    """Elements that were wrong; one if the whole table has to be replaced."""


def differs(wanted: frozenset[Element], listing: Listing, expected: frozenset[str] | None = None) -> Repair | None:
    """None if the table is right. `expected`: the shape that this nft is known to list ours in, if not `EXPECTED`.

    Only elements are changed where that is enough: then no packet ever meets a table that is half there.
    """
    expected = EXPECTED if expected is None else expected
    if listing.shape != expected or not all(_is_plain(element.text) for element in listing.elements):
        return Repair(render_table(wanted), 1)
    if listing.elements == wanted:
        return None
    return Repair(render_change(listing.elements, wanted), len(listing.elements ^ wanted))


def read_listing(text: str | bytes) -> Listing:
    """Read `nft -j -n list table`. Raises ValueError if it is something else."""
    try:
        objects = [next(iter(entry.items())) for entry in msgspec.json.decode(text)["nftables"]]
        contents = [(kind, dict(body)) for kind, body in objects if kind != "metainfo"]
        held = [
            Element(body["name"], _text(element))
            for kind, body in contents
            if kind == "set"
            for element in body.get("elem", ())
        ]
        refused = sum(body.get("packets", 0) for kind, body in contents if kind == "counter")
        return Listing(_shape_of(contents), frozenset(held), refused)
    except (AttributeError, LookupError, TypeError, StopIteration, ValueError):
        raise ValueError(f"nft's listing cannot be read: {text[:200]!r}") from None


def known(held: Iterable[Element]) -> frozenset[Element]:
    """Those of a listing that our own table can hold: what is taken over from a damaged one."""
    return frozenset(element for element in held if _is_plain(element.text) and _owner(element) != element)


def _shape_of(contents: Iterable[tuple[str, JsonObject]]) -> frozenset[str]:
    """Order matters among the rules of a chain, and nowhere else."""
    places: dict[str, int] = {}
    found = []
    for kind, body in contents:
        kept = {name: value for name, value in body.items() if name not in ("handle", "elem", "packets", "bytes")}
        if kind == "rule":
            kept["place"] = places[body["chain"]] = places.get(body["chain"], 0) + 1
        found.append(msgspec.json.encode([kind, kept], order="sorted").decode())
    return frozenset(found)


EXPECTED = _shape_of(next(iter(entry.items())) for entry in shape())
"""The shape that nft gives back for our table."""


def _whole_table(wanted: Collection[Element]) -> list[JsonObject]:
    table = named("table", name=TABLE)
    return [{"add": table}, {"delete": table}, *({"add": thing} for thing in shape()), *_commands("add", wanted)]


def _difference(before: AbstractSet[Element], after: AbstractSet[Element]) -> list[JsonObject]:
    """Removals first: a set of intervals refuses what overlaps with what is still there."""
    return _commands("delete", before - after) + _commands("add", after - before)


def _commands(verb: str, changed: Iterable[Element]) -> list[JsonObject]:
    """One command for each set."""
    by_set: dict[str, list[Any]] = {}
    for name, text in sorted(changed):
        by_set.setdefault(name, []).append(_json(text))
    return [{verb: named("element", name=name, elem=listed)} for name, listed in by_set.items()]


def _owner(element: Element) -> Owner:
    atoms = element.text.split(_JOIN)
    if element.set.startswith("pools"):
        return POOLS
    if element.set.startswith("guarded") and len(atoms) == 3:
        return tuple(atoms)
    number = _NUMBER_OF_SET.get(element.set[:-1])
    return (atoms[0], number, atoms[1]) if number and len(atoms) == 3 else element


def _script(commands: list[JsonObject]) -> str:
    return msgspec.json.encode({"nftables": commands}).decode()


def _collapsed(ranges: Iterable[str], version: int) -> list[IPNetwork]:
    """Ranges of one family, without those that lie in others: nftables refuses overlaps."""
    networks = [network for network in map(parse_network, ranges) if network.version == version]
    return list(ipaddress.collapse_addresses(networks))  # type: ignore[type-var]


def _outermost(networks: Iterable[IPNetwork]) -> list[IPNetwork]:
    """Without those that lie in others. Neighbours stay apart, so that one more of them changes one element."""
    kept: list[IPNetwork] = []
    for network in sorted(set(networks), key=lambda each: (each.version, int(each.network_address), each.prefixlen)):
        if not kept or kept[-1].version != network.version or network[0] not in kept[-1]:
            kept.append(network)
    return kept


def _spelled(network: IPNetwork) -> str:
    """As nft lists it: a network of one is an address."""
    return str(network) if network.prefixlen < network.max_prefixlen else str(network.network_address)


def _json(text: str) -> Any:
    atoms = [_json_atom(atom) for atom in text.split(_JOIN)]
    return {"concat": atoms} if len(atoms) > 1 else atoms[0]


def _json_atom(text: str) -> Any:
    if "/" in text:
        address, _, length = text.partition("/")
        return {"prefix": {"addr": address, "len": int(length)}}
    if "-" in text:
        return {"range": [_json_atom(end) for end in text.split("-")]}
    return int(text) if text.isdecimal() else text


def _text(element: Any) -> str:
    """The one spelling of an element out of a listing; what can be none of ours is spelled so that it is not plain."""
    atoms = element["concat"] if isinstance(element, dict) and set(element) == {"concat"} else [element]
    return _JOIN.join(map(_text_atom, atoms))


def _text_atom(atom: Any) -> str:
    if isinstance(atom, dict) and set(atom) == {"prefix"}:
        return f"{_text_atom(atom['prefix']['addr'])}/{int(atom['prefix']['len'])}"
    if isinstance(atom, dict) and set(atom) == {"range"}:
        return "-".join(map(_text_atom, atom["range"]))
    if isinstance(atom, int):
        return str(atom)
    try:
        return str(ipaddress.ip_address(atom))
    except ValueError:
        return f"?{atom}"


def _is_plain(text: str) -> bool:
    return all(_ATOM.fullmatch(atom) for atom in text.split(_JOIN))
