"""How often a Lease is renewed, and when it is given up. Values."""

import msgspec


class LeaseTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds; the defaults suit API servers that may be away for some seconds."""

    duration: int = 15
    """Others wait so long after the last renewal they saw."""
    renew: float = 5.0
    """The holder renews this often: one write."""
    retry: float = 2.0
    """After a failure, and between looks at somebody else's Lease."""

    @property
    def hold(self) -> float:
        """The holder gives up so long after its last successful renewal: well before anybody else may begin."""
        return self.duration * 2 / 3


DEFAULT_TIMING = LeaseTiming()
