"""What follows for a verdict from what nodes say of who announces its addresses."""

from typing import Any

import msgspec

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import (
    AddressPool,
    AddressPoolSpec,
    AddressPoolStatus,
    AnnouncedAddress,
    BalancerGroup,
    LoadBalancer,
    LoadBalancerStatus,
)
from fleetlb.contracts.v1 import NodePresent, NodeRealized, VipCarried
from fleetlb.domain.announcing import PASSING_SECONDS, VipReached
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.conditions import ANNOUNCED, SERVING, WITHHELD, Condition, Reason, Status
from fleetlb.domain.routing import BgpPeer, BgpSpeaking, RouteAttributes, RouterSession
from fleetlb.domain.virtual_servers import Announcement
from fleetlb.kube.holding import SKEW_SECONDS
from fleetlb.testkit.load_balancers import ADDRESS, a_group, a_load_balancer, a_word
from fleetlb_status.announcements import Announcements
from fleetlb_status.judging import Judged, Judging
from fleetlb_status.memory import Key, Memory
from fleetlb_status.reporting import status_of

KEY: Key = ("tenant-acme", "service-1")
SINCE = 1_799_990_000_000_000
LEASE_SECONDS = 1.5
LONG = PASSING_SECONDS + 0.1


def a_pool(announcement: Announcement = Announcement.LAYER2, *conditions: Condition, **spec: Any) -> AddressPool:
    made = AddressPoolSpec(addresses=("192.0.2.0/24",), announcement=announcement, **spec)
    return AddressPool(metadata=ObjectMeta(name="link"), spec=made, status=AddressPoolStatus(conditions=conditions))


def a_pair(**changes: Any) -> BalancerGroup:
    group = a_group("node-1", "node-2")
    spec = msgspec.structs.replace(group.spec, **({"engine": EngineName.IPVS} | changes))
    return msgspec.structs.replace(group, spec=spec)


def balancer(*conditions: Condition, **changes: Any) -> LoadBalancer:
    """One with an address of that pool."""
    found = a_load_balancer(pool="link", **changes)
    shown = {"addresses": (ADDRESS,), "conditions": conditions} if conditions else {}
    return msgspec.structs.replace(found, status=msgspec.structs.replace(found.status, **shown))


def serving(status: Status, reason: Reason) -> Condition:
    return Condition(type=SERVING, status=status, reason=reason)


class World:
    """A load balancer that serves, for all that nodes say of its ports."""

    def __init__(self, announcement: Announcement = Announcement.LAYER2, **group: Any) -> None:
        self.now = 100.0
        self.changes: list[Key] = []
        self.followed: list[str] = []
        self.memory = Memory(self.changes.append)
        self.announcements = Announcements(
            self.memory, on_change=self.changes.append, on_follow=self.begin, clock=lambda: self.now
        )
        self.judging = Judging(self.memory, self.announcements)
        self.set_group(**group)
        self.memory.complete_group("default")
        self.memory.set_load_balancer(balancer())
        self.announcements.set_pool(a_pool(announcement))
        for node in ("node-1", "node-2"):
            self.memory.fold_realized(a_word(node=node))
        self._number = 0

    def begin(self, group: str) -> None:
        self.followed.append(group)
        self.announcements.begin(group)

    def set_group(self, **changes: Any) -> None:
        group = a_pair(**changes)
        self.memory.set_group(group)
        self.announcements.set_group(group)

    def complete(self) -> "World":
        self.announcements.complete("default")
        self.judge()
        self.changes.clear()
        return self

    def present(self, *nodes: str, **word: Any) -> NodePresent:
        """They live."""
        for node in nodes:
            self._number += 1
            fields: dict[str, Any] = {
                "epoch": 1,
                "run": "r1",
                "number": self._number,
                "lease_ms": round(LEASE_SECONDS * 1000),
            } | word
            said = NodePresent(node=node, group="default", **fields)
            self.announcements.fold_present("default", said)
        return said

    def carried(
        self, node: str, *, announced: bool = False, carried: bool = True, reached: VipReached | None = None
    ) -> None:
        """A node says so."""
        self._number += 1
        word = VipCarried(
            node=node,
            group="default",
            address=ADDRESS,
            epoch=1,
            run="r1",
            number=self._number,
            carried=carried,
            announced=announced,
            announcement=Announcement.LAYER2,
            to=("eth1",) if announced else (),
            since=SINCE,
            reached=reached,
        )
        self.announcements.fold_carried("default", word)

    def judge(self) -> Judged:
        judged = self.judging.judge(KEY)
        assert judged is not None
        return judged

    def reason(self) -> str:
        return self.judge().verdict.serving.reason

    def later(self, seconds: float = LONG) -> "World":
        self.now += seconds
        self.announcements.look_again()
        return self

    def serves(self) -> "World":
        """Begun, and announced by node-1."""
        self.complete()
        self.present("node-1", "node-2")
        self.carried("node-1", announced=True)
        self.carried("node-2", announced=False)
        assert self.reason() == Reason.SERVING
        self.memory.set_load_balancer(self.written())
        self.changes.clear()
        return self

    def written(self) -> LoadBalancer:
        judged = self.judge()
        status = status_of(judged.balancer, judged.verdict, judged.nodes, judged.realized, "now", judged.announced)
        return msgspec.structs.replace(judged.balancer, status=status)


def test_a_pool_that_nobody_is_to_announce_is_not_followed_and_changes_nothing() -> None:
    world = World(Announcement.NONE)
    assert (world.followed, world.reason(), world.judge().announced) == ([], Reason.SERVING, ())
    world.announcements.drop_pool(a_pool(Announcement.NONE))
    assert world.announcements.unheard() == []


def test_nothing_is_said_before_all_words_are_read() -> None:
    world = World()
    assert world.followed == ["default"]
    assert world.judging.judge(KEY) is None
    world.changes.clear()
    world.announcements.complete("default")
    assert world.changes == [KEY]


def test_serving_needs_a_node_that_announces() -> None:
    world = World().complete()
    assert world.reason() == Reason.IN_PROGRESS
    world.present("node-1")
    world.carried("node-1", announced=False)
    assert world.reason() == Reason.IN_PROGRESS
    world.changes.clear()
    world.carried("node-1", announced=True)
    assert world.changes == [KEY]
    assert world.reason() == Reason.SERVING
    assert world.judge().announced == (
        AnnouncedAddress(
            address=ADDRESS, by=Announcement.LAYER2, nodes=("node-1",), to=("eth1",), since="2027-01-15T05:13:20Z"
        ),
    )
    assert world.written().status.announced_by == "layer2: node-1"


def test_what_nobody_announces_for_long_does_not_serve_and_says_why_and_what_to_do() -> None:
    world = World().complete()
    world.later(PASSING_SECONDS - 0.1)
    assert (world.changes, world.reason()) == ([], Reason.IN_PROGRESS)
    world.later(0.2)
    assert world.changes == [KEY]
    condition = world.judge().verdict.serving
    assert (condition.status, condition.reason) == (Status.FALSE, Reason.NOT_ANNOUNCED)
    assert condition.message.startswith(f"no node says that it carries {ADDRESS}; set FLEETLB_LAYER2_INTERFACES")
    assert condition.observed_generation == 1
    world.later()
    assert world.changes == [KEY], "it is said once"
    world.present("node-2")
    world.carried("node-2", announced=True)
    assert world.reason() == Reason.SERVING


def test_what_hinders_otherwise_is_said_first_and_the_patience_begins_after_it() -> None:
    world = World().complete()
    world.memory.fold_realized(a_word(revision=2, real_servers=0, reason=Reason.NO_READY_BACKEND))
    assert world.later().reason() == Reason.NO_READY_BACKEND
    world.memory.fold_realized(a_word(revision=3))
    assert world.reason() == Reason.IN_PROGRESS


def test_a_handover_changes_nothing_but_the_name() -> None:
    world = World().serves()
    world.carried("node-1", announced=False)
    assert (world.reason(), world.written().status) == (Reason.SERVING, world.memory.load_balancers[KEY].status)
    world.later(1.0)
    world.carried("node-2", announced=True)
    assert world.reason() == Reason.SERVING
    assert [each.nodes for each in world.judge().announced] == [("node-2",)]


def test_a_handover_that_nobody_takes_ends_serving() -> None:
    world = World().serves()
    world.carried("node-1", announced=False)
    assert world.reason() == Reason.SERVING
    world.later()
    assert (world.reason(), world.judge().announced) == (Reason.NOT_ANNOUNCED, ())
    assert f"{ADDRESS} is carried by node-1, node-2, and no node answers" in world.judge().verdict.serving.message


def test_a_node_is_silent_only_when_the_hub_says_so() -> None:
    world = World().serves()
    last = world.present("node-1")
    world.later(LEASE_SECONDS + SKEW_SECONDS - 0.1)
    assert world.announcements.unheard() == []
    world.present("node-2")
    world.later(0.2)
    assert world.announcements.unheard() == [("default", "node-1")]
    assert world.reason() == Reason.SERVING, "a silence alone says nothing"
    world.changes.clear()
    world.announcements.note_last(("default", "node-1"), msgspec.structs.replace(last, number=last.number + 9))
    assert world.announcements.unheard() == [("default", "node-1")], "it spoke, and was not heard here yet"
    assert world.changes == []
    world.announcements.note_last(("default", "node-1"), last)
    assert world.changes == [KEY]
    assert world.announcements.unheard() == []
    assert world.reason() == Reason.SERVING, "another may be taking over"
    world.later(LONG)
    assert world.reason() == Reason.NOT_ANNOUNCED
    world.changes.clear()
    world.present("node-1")
    assert (world.changes, world.reason()) == ([KEY], Reason.SERVING)


def test_a_renewed_lease_is_no_news() -> None:
    world = World().serves()
    world.present("node-1", "node-2")
    assert world.changes == []
    world.present("node-1", draining=True)
    assert world.changes == [KEY]


def test_the_same_word_again_is_no_news_and_that_on_another_address_neither() -> None:
    world = World().serves()
    world.carried("node-1", announced=True)
    other = VipCarried(
        node="node-1", group="default", address="192.0.2.9", epoch=1, run="r1", number=99, carried=True, announced=True
    )
    world.announcements.fold_carried("default", other)
    assert world.changes == []


def test_a_stream_that_begins_anew_holds_until_it_is_read_and_then_counts_alone() -> None:
    world = World().serves()
    world.announcements.begin("default")
    assert world.later().reason() == Reason.SERVING
    world.present("node-2")
    world.announcements.complete("default")
    assert world.later(0.0).reason() == Reason.SERVING, "it may be settled in a moment"
    assert world.later().reason() == Reason.NOT_ANNOUNCED


def test_what_is_just_being_read_settles_it() -> None:
    world = World().serves()
    world.carried("node-1", announced=False)
    assert world.reason() == Reason.SERVING
    world.announcements.begin("default")
    assert world.later().reason() == Reason.SERVING
    world.present("node-2")
    world.carried("node-2", announced=True)
    world.announcements.complete("default")
    assert (world.reason(), world.judge().announced[0].nodes) == (Reason.SERVING, ("node-2",))


def test_what_a_node_says_it_tells_is_bounded() -> None:
    world = World().complete()
    world.present("node-1")
    word = VipCarried(
        node="node-1", group="default", address=ADDRESS, epoch=1, run="r1", number=9, carried=True, announced=True,
        to=("x" * 1000,) * 64,
    )  # fmt: skip
    world.announcements.fold_carried("default", word)
    assert world.judge().announced[0].to == ("x" * 16,) * 16


def test_a_restart_unsays_nothing() -> None:
    world = World()
    world.memory.set_load_balancer(balancer(serving(Status.FALSE, Reason.NOT_ANNOUNCED)))
    assert world.complete().reason() == Reason.NOT_ANNOUNCED
    world.memory.set_load_balancer(balancer(serving(Status.TRUE, Reason.SERVING)))
    assert world.reason() == Reason.SERVING
    assert world.later().reason() == Reason.NOT_ANNOUNCED


def test_what_stood_of_another_address_does_not_stand() -> None:
    world = World()
    other = balancer(serving(Status.TRUE, Reason.SERVING))
    other = msgspec.structs.replace(other, status=msgspec.structs.replace(other.status, addresses=("192.0.2.9",)))
    world.memory.set_load_balancer(other)
    assert world.complete().reason() == Reason.IN_PROGRESS
    world.memory.set_load_balancer(msgspec.structs.replace(other, status=shows_another(other.status)))
    assert world.judge().announced == ()


def shows_another(status: LoadBalancerStatus) -> LoadBalancerStatus:
    """Who announced another address."""
    return msgspec.structs.replace(status, announced=(AnnouncedAddress(address="192.0.2.9", by=Announcement.LAYER2),))


def test_nodes_that_are_not_in_the_group_do_not_count() -> None:
    world = World().serves()
    world.set_group(nodes=("node-2",))
    assert world.reason() == Reason.SERVING
    assert world.later().reason() == Reason.NOT_ANNOUNCED


ROUTERS = BgpSpeaking(
    asn=65001, peers=tuple(BgpPeer(name=f"tor-{n}", address=f"10.0.0.{n}", asn=65000) for n in (1, 2))
)
TOLD, UNTOLD = RouterSession(peer="tor-1", up=True), RouterSession(peer="tor-2", problem="Connection refused")


def by_bgp(**group: Any) -> World:
    """Its pool is announced by BGP; nothing is followed for that."""
    world = World(Announcement.BGP, **({"bgp": ROUTERS} | group))
    assert world.followed == []
    return world


def says(world: World, node: str, *sessions: RouterSession, draining: bool = False) -> None:
    word = NodeRealized(node=node, group="default", engine="ipvs", sessions=sessions, draining=draining)
    world.announcements.fold_node(word)


def test_bgp_needs_a_router_that_is_told() -> None:
    world = by_bgp()
    assert world.reason() == Reason.IN_PROGRESS
    says(world, "node-2", UNTOLD)
    judged = world.later().judge()
    assert judged.verdict.serving.reason == Reason.NOT_ANNOUNCED
    assert judged.verdict.serving.message.startswith(
        f"no node tells a router where {ADDRESS} is:"
        " node-1: it says of no session; node-2: tor-2 (Connection refused); "
    )
    world.changes.clear()
    says(world, "node-1", UNTOLD, TOLD)
    assert (world.changes, world.reason()) == ([KEY], Reason.SERVING)
    [announced] = world.judge().announced
    assert announced == AnnouncedAddress(address=ADDRESS, by=Announcement.BGP, nodes=("node-1",), to=("tor-1",))
    world.changes.clear()
    says(world, "node-1", UNTOLD, TOLD)
    assert world.changes == [], "nothing of it has changed"
    says(world, "node-1")
    world.judge()
    assert world.later().reason() == Reason.NOT_ANNOUNCED


def test_a_pool_that_is_not_for_all_routers_needs_one_that_it_is_for() -> None:
    world = by_bgp()
    says(world, "node-1", UNTOLD, TOLD)
    assert world.judge().announced[0].to == ("tor-1",)
    world.changes.clear()
    world.announcements.set_pool(a_pool(Announcement.BGP, bgp=RouteAttributes(peers=("tor-2",))))
    assert world.changes == [KEY]
    assert world.judge().announced == ()
    judged = world.later().judge()
    assert judged.verdict.serving.reason == Reason.NOT_ANNOUNCED
    assert "node-1: tor-2 (Connection refused); " in judged.verdict.serving.message
    world.announcements.set_pool(a_pool(Announcement.BGP, bgp=RouteAttributes(peers=("tor-9",))))
    assert world.judge().announced[0].to == ("tor-1",), "it is not followed; the pool itself says so"


def test_a_group_that_tells_some_routers_needs_one_of_them() -> None:
    world = by_bgp(bgp=msgspec.structs.replace(ROUTERS, attributes=RouteAttributes(peers=("tor-1",))))
    says(world, "node-1", TOLD, RouterSession(peer="tor-2", up=True))
    assert world.judge().announced[0].to == ("tor-1",)


def test_a_pool_that_no_node_announces_before_it_is_mended_is_not_announced() -> None:
    world = by_bgp()
    says(world, "node-1", TOLD)
    assert world.reason() == Reason.SERVING
    said = Condition(type=ANNOUNCED, status=Status.FALSE, reason=WITHHELD, message="mend spec.bgp")
    world.announcements.set_pool(a_pool(Announcement.BGP, said))
    assert world.judge().announced == ()
    judged = world.later().judge()
    assert judged.verdict.serving.reason == Reason.NOT_ANNOUNCED
    assert judged.verdict.serving.message == f"{ADDRESS} is announced by no node; pool link: mend spec.bgp"
    world.announcements.set_pool(a_pool(Announcement.BGP, said, group="spare"))
    assert world.reason() == Reason.SERVING, "the group that it moves away from goes on with what it was told"
    world.announcements.set_pool(a_pool(Announcement.BGP))
    assert world.reason() == Reason.SERVING


def test_a_node_that_is_emptied_tells_only_what_no_other_does() -> None:
    world = by_bgp()
    for node in ("node-1", "node-2"):
        says(world, node, TOLD)
    assert world.judge().announced[0].nodes == ("node-1", "node-2")
    says(world, "node-1", TOLD, draining=True)
    assert world.judge().announced[0].nodes == ("node-2",)
    says(world, "node-2", UNTOLD)
    assert (world.judge().announced[0].nodes, world.reason()) == (("node-1",), Reason.SERVING)


def test_sessions_are_no_news_where_nothing_is_announced_by_bgp() -> None:
    world = World().serves()
    world.changes.clear()
    says(world, "node-1", TOLD)
    assert world.changes == []


def test_bgp_needs_a_group_that_has_routers() -> None:
    world = by_bgp(bgp=None)
    says(world, "node-1", TOLD)
    world.judge()
    assert world.later().reason() == Reason.NOT_ANNOUNCED
    world.changes.clear()
    world.set_group(bgp=ROUTERS)
    assert (world.changes, world.reason()) == ([KEY], Reason.SERVING)
    world.set_group(bgp=None)
    world.judge()
    assert world.later().reason() == Reason.NOT_ANNOUNCED


def test_an_engine_that_announces_nothing_is_named() -> None:
    world = World(engine=EngineName.ENVOY).complete()
    assert "nodes with engine envoy announce nothing" in world.later().judge().verdict.serving.message


def test_a_pool_that_begins_or_ends_to_be_announced_is_news() -> None:
    world = World(Announcement.NONE)
    world.changes.clear()
    world.announcements.set_pool(a_pool())
    assert (world.changes, world.followed) == ([KEY], ["default"])
    world.complete()
    world.announcements.set_pool(a_pool())
    assert world.changes == [], "nothing of it has changed"
    world.announcements.drop_pool(a_pool())
    assert (world.changes, world.reason()) == ([KEY], Reason.SERVING)
    world.announcements.set_pool(a_pool())
    assert world.followed == ["default"], "it is followed once"


def test_nothing_is_kept_of_a_load_balancer_that_is_gone() -> None:
    world = World().serves()
    world.memory.drop_load_balancer(balancer())
    assert world.judging.judge(KEY) is None
    world.changes.clear()
    world.carried("node-1", announced=False)
    assert world.changes == []


def test_while_a_pool_moves_who_announces_is_named_whichever_group_it_is_of() -> None:
    world = World().serves()
    spec = msgspec.structs.replace(a_pool().spec, group="spare")
    world.announcements.set_pool(msgspec.structs.replace(a_pool(), spec=spec))
    assert (world.reason(), world.written().status.announced_by) == (Reason.SERVING, "layer2: node-1")

    spare = a_group("node-9")
    spare = msgspec.structs.replace(
        spare,
        metadata=ObjectMeta(name="spare"),
        spec=msgspec.structs.replace(spare.spec, engine=EngineName.IPVS),
    )
    world.memory.set_group(spare)
    world.announcements.set_group(spare)
    world.memory.complete_group("spare")
    standing = world.written()
    moved = msgspec.structs.replace(standing, spec=msgspec.structs.replace(standing.spec, group="spare"))
    world.memory.set_load_balancer(moved)
    world.memory.fold_realized(a_word(node="node-9"))
    assert world.followed == ["default", "spare"]
    world.announcements.complete("spare")
    assert (world.reason(), world.written().status.announced_by) == (Reason.SERVING, "layer2: node-1")

    world.carried("node-1", announced=False)
    assert world.reason() == Reason.SERVING, "it is being handed over"
    world.announcements.fold_carried(
        "spare",
        VipCarried(
            node="node-9",
            group="spare",
            address=ADDRESS,
            epoch=1,
            run="r1",
            number=1,
            carried=True,
            announced=True,
            announcement=Announcement.LAYER2,
        ),
    )
    world.announcements.fold_present(
        "spare", NodePresent(node="node-9", group="spare", epoch=1, run="r1", number=2, lease_ms=1500)
    )
    assert (world.reason(), world.written().status.announced_by) == (Reason.SERVING, "layer2: node-9")


def test_a_group_that_can_announce_nothing_is_not_blamed_while_its_pool_moves_to_one_that_can() -> None:
    world = World(Announcement.NONE, engine=EngineName.ENVOY)
    spec = msgspec.structs.replace(a_pool().spec, group="spare")
    world.announcements.set_pool(msgspec.structs.replace(a_pool(), spec=spec))
    assert world.later().reason() == Reason.SERVING


LOST = VipReached(node="node-1", term=SINCE, lost=(443,), over="eth1")
REACHED = VipReached(node="node-1", term=SINCE, ports=(443,))


def test_what_another_node_reaches_serves_and_the_object_names_that_node() -> None:
    world = World().serves()
    world.carried("node-2", reached=REACHED)
    assert world.changes == [KEY]
    assert (world.reason(), world.judge().announced[0].reached_from) == (Reason.SERVING, ("node-2",))
    world.changes.clear()
    world.carried("node-2", reached=REACHED)
    assert world.changes == [], "it is no news"


def test_what_another_node_does_not_reach_does_not_serve_and_it_is_told_who_and_what_to_do() -> None:
    world = World().serves()
    world.carried("node-2", reached=LOST)
    condition = world.judge().verdict.serving
    assert (condition.status, condition.reason) == (Status.FALSE, Reason.NOT_REACHABLE)
    assert condition.message.startswith(f"node-2 does not reach {ADDRESS}:443 over eth1, which node-1 answers for")
    assert "firewall" in condition.message
    assert (condition.observed_generation, world.judge().announced[0].reached_from) == (1, ())
    world.carried("node-2", reached=REACHED)
    assert world.reason() == Reason.SERVING


def test_of_what_other_nodes_do_not_reach_only_a_port_of_its_own_counts() -> None:
    world = World().serves()
    world.carried("node-2", reached=msgspec.structs.replace(LOST, lost=(80,)))
    assert world.reason() == Reason.SERVING


def test_a_caller_that_says_nothing_or_is_silent_or_has_begun_anew_changes_nothing() -> None:
    world = World().serves()
    world.carried("node-2", reached=LOST)
    assert world.reason() == Reason.NOT_REACHABLE
    world.carried("node-2")
    assert world.reason() == Reason.SERVING
    world.carried("node-2", reached=LOST)
    world.changes.clear()
    last = world.present("node-2", run="r2")
    assert (world.changes, world.reason()) == ([KEY], Reason.SERVING), "what it found in an earlier life"
    world.present("node-2")
    assert world.reason() == Reason.NOT_REACHABLE
    last = world.present("node-2")
    world.announcements.note_last(("default", "node-2"), last)
    assert world.reason() == Reason.SERVING


def test_a_handover_makes_what_was_found_before_it_void() -> None:
    world = World().serves()
    world.carried("node-2", reached=LOST)
    world.carried("node-1", announced=False)
    world.carried("node-2", announced=True, reached=LOST)
    assert world.reason() == Reason.SERVING


def test_where_some_backends_fail_nothing_is_concluded_from_a_call() -> None:
    world = World().serves()
    world.carried("node-2", reached=LOST)
    world.memory.fold_realized(a_word(node="node-1", revision=2, real_servers=3, healthy=2))
    assert world.reason() == Reason.SERVING
    world.memory.fold_realized(a_word(node="node-1", revision=3, real_servers=3, healthy=3, brake=True))
    assert world.reason() == Reason.SERVING
    world.memory.fold_realized(a_word(node="node-1", revision=4, real_servers=3, healthy=3))
    assert world.reason() == Reason.NOT_REACHABLE
    world.memory.fold_realized(a_word(node="node-1", revision=5, real_servers=0, reason=Reason.NO_READY_BACKEND))
    assert world.reason() == Reason.NO_READY_BACKEND, "what hinders otherwise is said first"
