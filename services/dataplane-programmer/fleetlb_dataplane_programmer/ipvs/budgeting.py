"""How many virtual servers of a node may use the scheduler mh, whose table costs 41 KiB of kernel memory each. Pure."""

from fleetlb.domain.virtual_servers import Scheduler, VirtualServer, VirtualServerKey

MAX_MAGLEV = 1000


class MaglevBudget:
    """Who has a table now."""

    def __init__(self, limit: int = MAX_MAGLEV) -> None:
        """`limit`: virtual servers."""
        self._limit = limit
        self._keys: set[VirtualServerKey] = set()

    def objection_to(self, key: VirtualServerKey, server: VirtualServer | None) -> str:
        """Why the wish costs too much, or ""; then what it costs is taken. None and other schedulers give back."""
        if server is None or server.scheduler is not Scheduler.MAGLEV:
            self._keys.discard(key)
            return ""
        if key not in self._keys and len(self._keys) >= self._limit:
            return (
                f"this node carries {self._limit} virtual servers with scheduler mh and takes no more"
                " (each costs 41 KiB of kernel memory): choose another scheduler"
            )
        self._keys.add(key)
        return ""

    def forget(self, key: VirtualServerKey) -> None:
        """The virtual server is gone."""
        self._keys.discard(key)
