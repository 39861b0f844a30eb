"""What the streams `allowed` hold, as far as the manager needs it, and what of it may be out of date. Pure.

Highest (generation, revision) wins, as in `desired`. Every operation is O(1) but those about a whole stream.
"""

from collections.abc import Iterable
from typing import NamedTuple

from fleetlb.contracts.v1 import TenantAllowed
from fleetlb.domain.bars import Bar
from fleetlb.domain.services import digest_of
from fleetlb_manager.identities import AllowanceKey


class Said(NamedTuple):
    """The last message of one key; `digest` is empty when the stream does not hold what it should."""

    generation: int
    revision: int
    digest: str
    removed: bool = False
    bars: tuple[Bar, ...] = ()


def said_by(message: TenantAllowed) -> Said:
    """A message of this manager's fleet, without its content."""
    digest = digest_of((message.account, message.allowed))
    return Said(message.generation, message.revision, digest, message.allowed is None, message.bars)


class AllowanceTable:
    """The manager's own output about tenants."""

    def __init__(self) -> None:
        """Nothing said."""
        self._said: dict[AllowanceKey, Said] = {}
        self._of_tenant: dict[str, set[AllowanceKey]] = {}
        self._doubtful: set[AllowanceKey] = set()
        self._unconfirmed: dict[str, set[AllowanceKey]] = {}

    def get(self, key: AllowanceKey) -> Said | None:
        """The last message of a key."""
        return self._said.get(key)

    def of_tenant(self, tenant: str) -> Iterable[AllowanceKey]:
        """The keys of a tenant that have a message."""
        return self._of_tenant.get(tenant, ())

    def of_group(self, group: str) -> list[AllowanceKey]:
        """The keys of a group that have a message. O(all)."""
        return [key for key in self._said if key.group == group]

    def is_current(self, key: AllowanceKey) -> bool:
        """Whether what was said last is what should be said."""
        return key in self._said and key not in self._doubtful

    def bars(self, key: AllowanceKey) -> tuple[Bar, ...]:
        """By which nodes judge what is late; none if nothing was said."""
        said = self._said.get(key)
        return said.bars if said is not None else ()

    def doubt(self, key: AllowanceKey) -> None:
        """What a key depends on has changed."""
        self._doubtful.add(key)

    def trust(self, key: AllowanceKey) -> None:
        """What was said last was compared with what should be said."""
        self._doubtful.discard(key)

    def note(self, key: AllowanceKey, said: Said) -> None:
        """This manager said so."""
        self._confirm(key)
        self._said[key] = said
        self._of_tenant.setdefault(key.tenant, set()).add(key)

    def note_message(self, key: AllowanceKey, message: TenantAllowed, *, is_ours: bool) -> bool:
        """The stream holds this. False if it should not: it is older than what was known, or nobody's of ours."""
        self._confirm(key)
        known, said = self._said.get(key), said_by(message)
        if known is not None and is_ours and said[:2] == known[:2]:
            return True  # the echo of this manager's own message
        self._doubtful.add(key)
        if not is_ours or (known is not None and said[:2] < known[:2]):
            if known is not None:
                self._said[key] = known._replace(digest="")
            return False
        self.note(key, said)
        return True

    def restart(self, group: str) -> None:
        """A group's stream is replayed from the start: what does not come again is lost."""
        self._unconfirmed[group] = set(self.of_group(group))

    def replayed(self, group: str) -> int:
        """The replay is complete; how many messages were lost, which count as never said."""
        lost = self._unconfirmed.pop(group, set())
        for key in lost:
            del self._said[key]
            self._of_tenant[key.tenant].discard(key)
        return len(lost)

    def _confirm(self, key: AllowanceKey) -> None:
        self._unconfirmed.get(key.group, set()).discard(key)
