"""What the nodes of each balancer group were told of their group, as the streams hold it. Pure."""

from fleetlb.contracts.v1 import GroupInstructed


class InstructionTable:
    """The fleet's own output about groups: what was not signed by its key is none of it."""

    def __init__(self) -> None:
        """Nothing said, and nothing read."""
        self._said: dict[str, GroupInstructed] = {}
        self._standing: set[str] = set()
        self.read: set[str] = set()
        """Groups of which everything that was said is known."""

    def of(self, group: str) -> GroupInstructed | None:
        """What was said last."""
        return self._said.get(group)

    def stands(self, group: str) -> bool:
        """Whether the stream holds what was said last."""
        return group in self._standing

    def note(self, message: GroupInstructed) -> None:
        """The stream holds this message of the fleet's; it is no news if it is from before the last one."""
        known = self._said.get(message.group)
        if known is not None and _order_of(message) < _order_of(known):
            self.spoil(message.group)
            return
        self._said[message.group] = message
        self._standing.add(message.group)

    def spoil(self, group: str) -> None:
        """Something else stands in the place of what was said last."""
        self._standing.discard(group)

    def forget(self, group: str) -> None:
        """The stream is about to be read anew."""
        self._said.pop(group, None)
        self._standing.discard(group)
        self.read.discard(group)


def _order_of(said: GroupInstructed) -> tuple[int, int]:
    return said.generation, said.revision
