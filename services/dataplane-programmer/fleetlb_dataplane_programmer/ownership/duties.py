"""Which node calls a VIP of another, to find whether it is reached: the one that would announce it next. Pure.

So each VIP is called from one other node, and each node calls its share of them. Two of them may for a moment, or none:
what they find is true all the same.
"""

import msgspec

from fleetlb_dataplane_programmer.ownership.carriers import Carriers
from fleetlb_dataplane_programmer.ownership.living import Living


class Announced(msgspec.Struct, frozen=True):
    """Who announces a VIP, and since when by its own word."""

    node: str
    term: int


def to_be_called(me: str, address: str, carriers: Carriers, living: Living, now: float) -> Announced | None:
    """At whom this node is to call a VIP; None: it is not, or who announces it is being settled."""
    if not living.takes_part(now):
        return None
    known = {name: said for name, said in carriers.of(address) if name == me or living.is_alive(name, now)}
    owners = [name for name, said in known.items() if said.announced]
    if len(owners) != 1 or me not in known or owners == [me]:
        return None
    [owner] = owners
    drains = {name: living.is_draining if name == me else living.word_of(name).draining for name in known}
    places = {name: (not drains[name], said.weight, name) for name, said in known.items() if name != owner}
    first = max(places, key=lambda name: places[name])
    return Announced(owner, known[owner].since) if first == me else None
