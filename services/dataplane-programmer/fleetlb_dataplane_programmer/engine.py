"""The port to whatever balances packets on this node: wishes go in, outcomes come back with the token of the wish.

It must not know Envoy or the kernel; an engine must not know messages, groups or revisions (a token is just a number).
"""

import enum
from collections.abc import Callable
from typing import Protocol

import msgspec

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey


class State(enum.StrEnum):
    """Where a wish ended."""

    PROGRAMMED = "programmed"
    REMOVED = "removed"
    REJECTED = "rejected"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the data plane says about the wish that carried `token`; `message` is filled when rejected.

    A rejected wish is tried again by the engine, so `programmed` may follow with the same token.
    """

    state: State
    token: int
    message: str = ""


OnOutcome = Callable[[VirtualServerKey, Outcome], None]
OnConnected = Callable[[bool], None]
OnRepaired = Callable[[int], None]


class Engine(Protocol):
    """Programs virtual servers. All methods but `run` return at once; outcomes arrive by the given callback, later.

    Every `apply` and `remove` leads to at least one outcome, unless a newer wish for the same key replaces it first or
    the data plane stays away. Nothing is pushed before `complete`: until then the engine cannot tell a virtual server
    that is no longer wished for from one that is not yet known.
    """

    @property
    def name(self) -> str:
        """`envoy` or `ipvs`."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What can be asked for, in the words of docs/glossary.md."""

    def apply(self, server: VirtualServer, token: int) -> None:
        """Wish for this virtual server, in place of any earlier wish for its key."""

    def remove(self, key: VirtualServerKey, token: int) -> None:
        """Wish for nothing under this key."""

    def complete(self) -> None:
        """Declare that every standing wish is known, so that whatever else the data plane holds of ours may go."""

    async def run(self) -> None:
        """Serve until cancelled. The data plane keeps what it has afterwards."""
