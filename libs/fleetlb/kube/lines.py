"""The bytes of a watch: cut into lines, lines into events. Pure: reads nothing and keeps no objects."""

import msgspec


class LineSplitter:
    """Cuts a stream of chunks, split anywhere, into whole lines of any length."""

    def __init__(self) -> None:
        """Starts with nothing buffered."""
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their ends; the rest waits. Linear in the bytes fed."""
        if b"\n" not in chunk:
            self._pieces.append(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._pieces:
            self._pieces.append(lines[0])
            lines[0] = b"".join(self._pieces)
            self._pieces.clear()
        rest = lines.pop()
        if rest:
            self._pieces.append(rest)
        return [line for line in lines if line and not line.isspace()]


class Event(msgspec.Struct, frozen=True):
    """A watch event whose object has not been decoded yet."""

    type: str
    object: msgspec.Raw


class Outline(msgspec.Struct, frozen=True, rename="camel"):
    """The metadata that is read even of an object that does not fit its struct."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class Sketch(msgspec.Struct, frozen=True):
    """An object of which only the outline is known."""

    metadata: Outline = msgspec.field(default_factory=Outline)


decode_event = msgspec.json.Decoder(Event).decode
decode_sketch = msgspec.json.Decoder(Sketch).decode


def ends_initial_events(bookmark: Sketch) -> bool:
    """Whether a bookmark says that everything that existed when the watch began has been sent."""
    return (bookmark.metadata.annotations or {}).get("k8s.io/initial-events-end") == "true"
