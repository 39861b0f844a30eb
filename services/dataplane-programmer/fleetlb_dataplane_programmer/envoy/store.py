"""The wanted resources by name, shared by all streams. Knows no stream: what an Envoy has is each session's affair."""

from collections.abc import Iterator

from fleetlb_dataplane_programmer.envoy.resources import Resources


class Store:
    """What every Envoy should hold, by name. Incomplete until told otherwise: then nothing may be pushed."""

    def __init__(self) -> None:
        """Empty and incomplete."""
        self.complete = False
        self._wishes: dict[str, Resources | None] = {}

    def get(self, name: str) -> Resources | None:
        """The wanted resources of a name, None if it is to go or unheard of."""
        return self._wishes.get(name)

    def put(self, name: str, resources: Resources | None) -> None:
        """Want these resources, or want the name gone."""
        self._wishes[name] = resources

    def forget(self, name: str) -> None:
        """Drop a name that is gone."""
        self._wishes.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        """All names, also those that are to go."""
        return iter(self._wishes)
