"""What balancer nodes say of who announces which address, folded; and what follows for the verdict. Performs nothing.

Only groups with a pool that asks for it on layer 2 are followed; what routers are told a node says of itself. A word
costs O(load balancers of its address), a renewed lease O(1). A change of pools, groups or sessions with routers costs
O(load balancers).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fleetlb.contracts.objects import AddressPool, AnnouncedAddress, BalancerGroup, LoadBalancer
from fleetlb.contracts.v1 import NodePresent, NodeRealized, VipCarried
from fleetlb.domain.announcing import (
    ANNOUNCING_CURES,
    PASSING_SECONDS,
    Cause,
    Saying,
    Telling,
    announcer,
    cause,
    told,
)
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import ANNOUNCED, SERVING, WITHHELD, Reason, Status
from fleetlb.domain.reaching import reached_from
from fleetlb.domain.routing import BgpSpeaking, RouteAttributes
from fleetlb.domain.routing_rules import peers_told
from fleetlb.domain.verdicts import Verdict, with_announcement, with_reach
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.explaining.situation import spelled
from fleetlb_status.group_words import GroupWords
from fleetlb_status.memory import Key, Memory
from fleetlb_status.nodes import NodeKey
from fleetlb_status.reaching import unreached
from fleetlb_status.reporting import Realized
from fleetlb_status.routers import Routers

_SHOWN = 16
"""Interfaces of a node, and characters of the name of each: Linux has no longer one."""


class _Pool(NamedTuple):
    """What counts of a pool."""

    group: str = ""
    way: Announcement = Announcement.NONE
    bgp: RouteAttributes | None = None
    withheld: str = ""
    """Why nodes do not announce it, although they could."""


class Announcements:
    """`on_change` is called with every load balancer whose verdict may have changed."""

    def __init__(
        self,
        memory: Memory,
        *,
        on_change: Callable[[Key], None],
        on_follow: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        """`on_follow`: the words of a group are needed from now on; `clock`: seconds that never jump."""
        self._memory = memory
        self._on_change = on_change
        self._on_follow = on_follow
        self._clock = clock
        self._pools: dict[str, _Pool] = {}
        self._groups: dict[str, tuple[str, BgpSpeaking | None]] = {}
        """What counts of each group: its engine, and its routers."""
        self._routers = Routers()
        self._words: dict[str, GroupWords] = {}
        self._replayed: dict[str, GroupWords] = {}
        """Of groups that are being read, anew or for the first time."""
        self._followed: set[str] = set()
        self._of_address: defaultdict[str, set[Key]] = defaultdict(set)
        self._addresses: dict[Key, tuple[str, ...]] = {}
        self._doubts: dict[Key, float] = {}
        """Since when nobody is known to announce an address of a load balancer that would serve."""
        self._settled: set[Key] = set()
        """Those of which that has been so for long."""

    def set_pool(self, pool: AddressPool) -> None:
        """A pool is there or has changed."""
        spec = pool.spec
        self._set_pool(pool.metadata.name, _Pool(spec.group, spec.announcement, spec.bgp, _withheld(pool)))

    def drop_pool(self, pool: AddressPool) -> None:
        """A pool is gone."""
        self._set_pool(pool.metadata.name, _Pool())

    def _set_pool(self, name: str, now: _Pool) -> None:
        before = self._pools.pop(name, _Pool())
        if now.way is not Announcement.NONE:
            self._pools[name] = now
        if before == now or before.way is now.way is Announcement.NONE:
            return
        if now.way is Announcement.LAYER2:
            self._need(now.group)
        self._changed(key for key, balancer in self._memory.load_balancers.items() if balancer.spec.pool == name)

    def set_group(self, group: BalancerGroup) -> None:
        """A group is there or has changed."""
        name, now = group.metadata.name, (group.spec.engine.value, group.spec.bgp)
        before = self._groups.get(name, now)
        self._groups[name] = now
        if before != now and self._pools:
            self._changed(self._memory.of_group(name))

    def fold_node(self, word: NodeRealized) -> None:
        """A node has said how its sessions with routers are."""
        if self._routers.fold(word) and any(pool.way is Announcement.BGP for pool in self._pools.values()):
            self._changed(self._memory.of_group(word.group))

    def begin(self, group: str) -> None:
        """All that nodes of a group say comes from the beginning."""
        self._replayed[group] = GroupWords()

    def complete(self, group: str) -> None:
        """It has come: what was said before, and is not there any more, counts no longer."""
        self._words[group] = self._replayed.pop(group, GroupWords())
        self._changed(self._memory.of_group(group))

    def fold_present(self, group: str, word: NodePresent) -> None:
        """A node takes part."""
        words = self._replayed.get(group) or self._words[group]
        if words.take_present(word, self._clock()):
            self._changed_by(group, word.node)

    def fold_carried(self, group: str, word: VipCarried) -> None:
        """A node says whether it carries, and announces, an address."""
        words = self._replayed.get(group) or self._words[group]
        if words.take_carried(word, self._clock()):
            self._changed(self._of_address.get(word.address, ()))

    def unheard(self) -> list[NodeKey]:
        """Nodes whose lease may have ended, as nothing was heard of them for so long: to be asked about at the hub."""
        now = self._clock()
        return [(group, node) for group, words in self._words.items() for node in words.unheard(now)]

    def note_last(self, key: NodeKey, word: NodePresent | None) -> None:
        """The hub was asked what a node said last; None: nothing. That it is silent may be known now."""
        group, node = key
        if group in self._words and self._words[group].note_last(node, word):
            self._changed_by(group, node)

    def look_again(self) -> None:
        """What has been in doubt for long is none any more, unless what settles it is just being read."""
        now = self._clock()
        for key, since in tuple(self._doubts.items()):
            balancer = self._memory.load_balancers.get(key)
            is_read = balancer is not None and balancer.spec.group not in self._replayed
            if is_read and key not in self._settled and now - since >= PASSING_SECONDS:
                self._settled.add(key)
                self._on_change(key)

    def can_judge(self, balancer: LoadBalancer) -> bool:
        """Whether enough is known: while an address moves, of both groups."""
        if self._way_of(balancer) is not Announcement.LAYER2:
            return True
        self._need(balancer.spec.group)
        return balancer.spec.group in self._words

    def _need(self, group: str) -> None:
        if group not in self._followed:
            self._followed.add(group)
            self._on_follow(group)

    def judged(
        self, key: Key, balancer: LoadBalancer, verdict: Verdict, realized: Realized
    ) -> tuple[Verdict, tuple[AnnouncedAddress, ...]]:
        """The verdict where the addresses are to be announced, and who announces them."""
        way = self._way_of(balancer)
        if way is Announcement.NONE:
            self.forget(key)
            return verdict, ()
        self._note_addresses(key, balancer.spec.addresses)
        said = {address: self._said(balancer.spec.group, address) for address in balancer.spec.addresses}
        if way is Announcement.BGP:
            announced, lack = self._by_bgp(balancer)
        else:
            announced, lack = _on_links(said), self._lack(balancer.spec.group, said)
        if not lack or verdict.serving.status is not Status.TRUE:
            self._doubts.pop(key, None)
            self._settled.discard(key)
            return with_reach(verdict, unreached(balancer, said, realized)), announced
        self._doubts.setdefault(key, self._clock())
        meanwhile = lack if key in self._settled else _meanwhile(balancer, lack)
        return with_announcement(verdict, meanwhile), balancer.status.announced if meanwhile == "" else announced

    def forget(self, key: Key) -> None:
        """A load balancer is gone, or nobody announces its addresses."""
        if self._addresses:
            self._note_addresses(key, ())
            self._doubts.pop(key, None)
            self._settled.discard(key)

    def _way_of(self, balancer: LoadBalancer) -> Announcement:
        """As its pool says; in a group that the pool does not name any more, if that can announce at all."""
        pool = self._pools.get(balancer.spec.pool, _Pool())
        engine, speaking = self._groups.get(balancer.spec.group, (EngineName.ENVOY.value, None))
        is_able = engine == EngineName.IPVS and (pool.way is not Announcement.BGP or speaking is not None)
        is_there = pool.group == balancer.spec.group or is_able
        return pool.way if balancer.spec.addresses and is_there else Announcement.NONE

    def _by_bgp(self, balancer: LoadBalancer) -> tuple[tuple[AnnouncedAddress, ...], str]:
        """Who tells which routers of the addresses, and why none is told and what to do, or ""."""
        group, addresses = balancer.spec.group, balancer.spec.addresses
        pool, known = self._pools[balancer.spec.pool], self._groups.get(group)
        peers = peers_told(pool.bgp, known[1]) if known and known[1] else frozenset[str]()
        nodes = self._memory.nodes(group)
        tellers = self._routers.tellers(group, nodes, peers)
        announced = tuple(_told_of(address, tellers) for address in addresses if tellers)
        if pool.withheld and pool.group == group:
            return (), f"{addresses[0]} is announced by no node; pool {balancer.spec.pool}: {pool.withheld}"
        if known and not known[1]:
            why = Cause.BGP_NOT_ANNOUNCED
            return announced, f"{told(addresses[0], why, ())}; {ANNOUNCING_CURES[why]}"
        if tellers:
            return announced, ""
        lack = self._routers.lack(group, nodes, addresses[0], peers)
        return announced, f"{lack}; {ANNOUNCING_CURES[Cause.NO_ROUTER_TOLD]}"

    def _lack(self, group: str, said: dict[str, tuple[Saying, ...]]) -> str:
        """Why nobody answers for an address, and what to do; "": somebody does for each."""
        engine, _ = self._groups.get(group, ("ipvs", None))
        for address, words in said.items():
            if announcer(words) is None:
                why, carriers = cause(words), [each for each in words if each.carried]
                nodes = [each.node for each in [each for each in carriers if each.is_heard] or carriers]
                return f"{told(address, why, nodes, engine=engine)}; {ANNOUNCING_CURES[why]}"
        return ""

    def _said(self, group: str, address: str) -> tuple[Saying, ...]:
        """What nodes of a group say; if none of them has it, those of others, where it may come from."""
        mine = self._words[group].on(address, self._memory.nodes(group)) if group in self._words else ()
        if announcer(mine) is not None:
            return mine
        for other, words in self._words.items():
            found = words.on(address, self._memory.nodes(other)) if other != group else ()
            if announcer(found) is not None:
                return found
        return mine

    def _note_addresses(self, key: Key, addresses: tuple[str, ...]) -> None:
        before = self._addresses.get(key, ())
        if before == addresses:
            return
        for address in before:
            self._of_address[address].discard(key)
            if not self._of_address[address]:
                del self._of_address[address]
        for address in addresses:
            self._of_address[address].add(key)
        if addresses:
            self._addresses[key] = addresses
        else:
            del self._addresses[key]

    def _changed_by(self, group: str, node: str) -> None:
        """A node's part has changed: what it carries may be announced by another."""
        for address in self._words[group].of_node(node) if group in self._words else ():
            self._changed(self._of_address.get(address, ()))

    def _changed(self, keys: Iterable[Key]) -> None:
        for key in tuple(keys):
            self._on_change(key)


def _meanwhile(balancer: LoadBalancer, lack: str) -> str | None:
    """What is said while it is being settled who announces an address: what stands, if anything does."""
    standing = next((each for each in balancer.status.conditions if each.type == SERVING), None)
    if standing is not None and standing.reason == Reason.NOT_ANNOUNCED:
        return lack
    has_served = standing is not None and standing.status is Status.TRUE
    return "" if has_served and set(balancer.spec.addresses) <= set(balancer.status.addresses) else None


def _withheld(pool: AddressPool) -> str:
    """Why no node announces a pool, as it says itself; "": it does not say so."""
    said = next((each for each in pool.status.conditions if each.type == ANNOUNCED), None)
    return said.message if said is not None and said.reason == WITHHELD else ""


def _on_links(said: dict[str, tuple[Saying, ...]]) -> tuple[AnnouncedAddress, ...]:
    found = ((address, announcer(words)) for address, words in said.items())
    return tuple(_answered_for(address, each, said[address]) for address, each in found if each is not None)


def _answered_for(address: str, owner: Saying, said: tuple[Saying, ...]) -> AnnouncedAddress:
    return AnnouncedAddress(
        address=address,
        by=Announcement.LAYER2,
        nodes=(owner.node,),
        to=tuple(name[:_SHOWN] for name in owner.to[:_SHOWN]),
        since=spelled(owner.since / 1e6) if owner.since else "",
        reached_from=reached_from(said, owner),
    )


def _told_of(address: str, tellers: tuple[Telling, ...]) -> AnnouncedAddress:
    nodes, peers = tuple(each.node for each in tellers), sorted({peer for each in tellers for peer in each.peers})
    return AnnouncedAddress(address=address, by=Announcement.BGP, nodes=nodes, to=tuple(peers))
