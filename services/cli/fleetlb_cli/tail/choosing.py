"""Which messages somebody wants to see. Pure."""

from typing import NamedTuple

from fleetlb_cli.naming import Wanted
from fleetlb_cli.tail.entries import Entry


class Choice(NamedTuple):
    """What is not said does not matter; but what is sent though nothing happens is shown only if its kind is asked
    for."""

    tenant: str = ""
    service: Wanted | None = None
    kinds: frozenset[str] = frozenset()

    def wants(self, entry: Entry) -> bool:
        """Whether a message is to be shown."""
        if self.tenant and entry.tenant != self.tenant:
            return False
        if self.service is not None and not _is_of(self.service, entry):
            return False
        return entry.kind in self.kinds if self.kinds else not entry.is_beat


def _is_of(wanted: Wanted, entry: Entry) -> bool:
    return wanted.tenant in ("", entry.tenant) and entry.service == f"{wanted.namespace}/{wanted.name}"
