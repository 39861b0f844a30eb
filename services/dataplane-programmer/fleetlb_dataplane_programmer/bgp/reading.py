"""Reads what BIRD answers: sessions, and routes. Pure; it must not know who asked."""

import re

import msgspec

from fleetlb.domain.addresses import parse_network
from fleetlb_dataplane_programmer.bgp.control import Reply

ESTABLISHED = "Established"
UNKNOWN = "Unknown"
"""What a session's state is as long as BIRD has not said it."""

_PROTOCOL, _DETAIL, _ROUTE = 1002, 1006, 1007
_COUNT_CODES = (_ROUTE, 14)
_COUNT = re.compile(r"(\d+) of (\d+) routes for (\d+) networks")
_EXPORTED = re.compile(r"(\d+) exported")
_NETWORK = re.compile(r"([0-9a-f:.]+/[0-9]+)(?=\s|$)")
_IS_SESSION = re.compile(r"\S+\s+BGP\s+\S+\s+\S")
_SINCE = re.compile(r"[0-9][-0-9:. ]*[0-9]")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session as BIRD tells of it."""

    protocol: str
    state: str = UNKNOWN
    """As RFC 4271 names them, `Established`, `Active` …, or `Down` while BIRD does not even try."""
    since: str = ""
    """Since when the protocol is in its state, as BIRD spells times."""
    problem: str = ""
    """Why it is not up, or was not, in BIRD's words."""
    advertised: int = 0
    """Routes that are told."""
    is_limited: bool = False
    """As many are told as may be; if there are more, they are not."""

    @property
    def is_up(self) -> bool:
        """Whether routes are told."""
        return self.state == ESTABLISHED


def parse_sessions(reply: Reply) -> list[Session]:
    """The BGP sessions of `show protocols all`, in BIRD's order."""
    blocks: list[tuple[str, list[str]]] = []
    for code, text in reply.lines:
        if code == _PROTOCOL:
            blocks.append((text, []))
        elif code == _DETAIL and blocks:
            blocks[-1][1].append(text)
    return [_session(head, details) for head, details in blocks if _IS_SESSION.match(head)]


def _session(head: str, details: list[str]) -> Session:
    name, _, _, state, *rest = head.split(None, 4)
    since = _SINCE.match(rest[0]) if rest else None
    info = rest[0][since.end() :].strip() if rest and since else ""
    fields = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in details)]
    told = dict(fields)
    is_down = state == "down"
    advertised = [int(match[1]) for key, value in fields if key == "Routes" for match in _EXPORTED.finditer(value)]
    limit = told.get("Export limit", "").split(" ")[0]  # [HIT] stands behind it, but not after each way to hit it
    return Session(
        protocol=name,
        state="Down" if is_down else told.get("BGP state", info.split(None, 1)[0] if info else UNKNOWN),
        since=since[0] if since else "",
        problem="" if told.get("BGP state") == ESTABLISHED else _problem(info, told),
        advertised=sum(advertised),
        is_limited=limit.isdigit() and any(count >= int(limit) for count in advertised),
    )


def _problem(info: str, told: dict[str, str]) -> str:
    """BIRD keeps the last error; what is behind the state's name on the first line is the same, or is news."""
    _, _, behind = info.partition(" ")
    return told.get("Last error") or behind.strip()


def parse_count(reply: Reply) -> int:
    """The routes of `show route … count`. Raises ValueError."""
    counts = [match for text in reply.texts(*_COUNT_CODES) if (match := _COUNT.search(text))]
    if not counts:
        raise ValueError(f"{str(reply.lines[-1][1])[:64]!r} is no count of BIRD's")
    return sum(int(match[1]) for match in counts)


def parse_networks(reply: Reply) -> set[str]:
    """The destinations of `show route`."""
    found = set()
    for text in reply.texts(_ROUTE):
        if match := _NETWORK.match(text):
            found.add(str(parse_network(match[1])))
    return found
