"""What an inventory proves: which Services are gone though nobody said so, and which messages were lost. Pure.

A Service is proven absent by two inventories in a row, at least ten seconds apart, both received after the stream had
been replayed. Silence proves nothing: without inventories nothing is ever absent.
"""

from collections.abc import Collection, Mapping

PROOF_SECONDS = 10.0


class Absences:
    """Services that the last inventory of one cluster did not name, and since when."""

    def __init__(self) -> None:
        """Nothing is missing."""
        self._since: dict[str, float] = {}
        self._proven: set[str] = set()

    def note(self, known: Collection[str], listed: Collection[str], now: float) -> set[str]:
        """Fold one live inventory; returns those that it proves absent for the first time."""
        missing = {uid for uid in known if uid not in listed}
        self._since = {uid: self._since.get(uid, now) for uid in missing}
        proven = {uid for uid, since in self._since.items() if now - since >= PROOF_SECONDS}
        fresh = proven - self._proven
        self._proven = proven
        return fresh

    def is_proven(self, uid: str) -> bool:
        """Whether a Service is gone."""
        return uid in self._proven

    def appeared(self, uid: str) -> None:
        """A message spoke of the Service as wanted: whatever was missing before does not count."""
        self._since.pop(uid, None)
        self._proven.discard(uid)


def is_out_of_step(known: Mapping[str, str], listed: Mapping[str, str]) -> bool:
    """Whether the watcher holds a Service that its messages did not show like this: one of them was lost.

    An empty digest says that the Service is held and nothing newer can be said of it: a refused edit, after a restart.
    """
    return any(digest and known.get(uid) != digest for uid, digest in listed.items())
