"""What this node has to say of VIPs that it called at others, and what the stream holds of that. Pure."""

from fleetlb.domain.announcing import VipReached


class ReachWords:
    """Words count only with the life in which they were said: another one may never look at that VIP."""

    def __init__(self) -> None:
        """Nothing was found."""
        self._found: dict[str, VipReached] = {}
        self._heard: dict[str, tuple[str, VipReached]] = {}
        """What was read back, and of which life."""

    def find(self, address: str, found: VipReached | None) -> bool:
        """What was found of a VIP; None: nothing that can be said. Whether it is news."""
        before = self._found.pop(address, None)
        if found is not None:
            self._found[address] = found
        return before is not found

    def hear(self, address: str, run: str, reached: VipReached | None) -> None:
        """A word of this node was read."""
        self._heard.pop(address, None)
        if reached is not None:
            self._heard[address] = (run, reached)

    def on(self, address: str) -> VipReached | None:
        """What there is to say."""
        return self._found.get(address)

    def needs_word_on(self, address: str, run: str) -> bool:
        """Whether the others do not hold of a VIP what this life would say."""
        heard, found = self._heard.get(address), self._found.get(address)
        if found is None:
            return heard is not None and heard[0] == run
        return heard != (run, found)
