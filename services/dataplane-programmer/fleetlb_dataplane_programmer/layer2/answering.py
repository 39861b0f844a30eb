"""Which questions on a link are answered: those for an owned VIP, and no other. Pure; one look into a set each."""

from fleetlb_dataplane_programmer.layer2 import frames


class Responder:
    """The VIPs that are owned on one interface. Addresses are packed."""

    def __init__(self) -> None:
        """None."""
        self._owned: set[bytes] = set()

    def own(self, address: bytes) -> bool:
        """Answer for it from now on. False if that was so already."""
        if address in self._owned:
            return False
        self._owned.add(address)
        return True

    def disown(self, address: bytes) -> bool:
        """Answer for it no more. False if that was so already."""
        if address not in self._owned:
            return False
        self._owned.discard(address)
        return True

    def answer(self, frame: bytes, mac: bytes) -> bytes | None:
        """The frame that answers another, from this MAC; None if there is nothing to say. Never raises."""
        question = frames.read_question(frame)
        if question is None or question.wanted not in self._owned:
            return None
        return frames.answer(question, mac)
