from msgspec.structs import replace

from fleetlb.contracts.v1 import NodeRealized, RealizedState, VirtualServerRealized
from fleetlb.domain.virtual_servers import parse_key
from fleetlb.testkit.wishes import OWNER, a_virtual_server, a_wish
from fleetlb_manager.identities import Slot
from fleetlb_manager.publishing import owner_of_service
from fleetlb_manager.virtual_server_tables import Acknowledged, Content, DesiredTable, Published, RealizedTable
from tests.unit.fleetlb_manager.manager_world import a_key

SLOT = Slot("default", parse_key("192.0.2.1:443/tcp"))


def a_content(backends: tuple[str, ...] = ("10.0.0.1:31000",)) -> Content:
    return Content(owner=OWNER, server=a_virtual_server("192.0.2.1:443/tcp", backends))


def realized(revision: int = 1, generation: int = 1, state: RealizedState = RealizedState.REMOVED, node: str = "n1"):  # type: ignore[no-untyped-def]
    return VirtualServerRealized(
        node=node, key=SLOT.key, generation=generation, revision=revision, state=state, owner=OWNER
    )


def test_a_message_and_its_content_have_one_digest() -> None:
    table = DesiredTable()
    wish = a_wish()
    table.note_message(SLOT, wish)
    assert wish.server is not None
    content = Content(owner=wish.owner, server=wish.server, load_balancer=wish.load_balancer)
    found = table.get(SLOT)
    assert found is not None
    assert found.digest == content.digest != a_content(("10.0.0.2:31000",)).digest
    assert not found.removed


def test_the_owner_is_part_of_the_content() -> None:
    assert a_content().digest != replace(a_content(), owner=owner_of_service(a_key())).digest


def test_revisions_grow_over_everything_seen() -> None:
    table = DesiredTable()
    table.note(SLOT, Published(1, 7, "d"))
    table.see(11)
    assert (table.next_revision(), table.next_revision()) == (12, 13)


def test_an_echo_of_an_earlier_message_changes_nothing() -> None:
    table = DesiredTable()
    table.note(SLOT, Published(2, 5, "new"))
    assert table.note(SLOT, Published(2, 4, "old"))
    assert table.get(SLOT) == Published(2, 5, "new")


def test_a_lower_generation_over_ours_means_that_ours_is_gone() -> None:
    table = DesiredTable()
    table.note(SLOT, Published(2, 5, "ours"))
    assert not table.note(SLOT, Published(1, 9, "theirs"))
    assert table.get(SLOT) == Published(2, 5, "")
    assert table.next_revision() == 10


def test_what_a_replay_does_not_show_again_is_lost() -> None:
    table = DesiredTable()
    other, elsewhere = Slot("default", parse_key("192.0.2.2:80/tcp")), Slot("other", SLOT.key)
    for slot in (SLOT, other, elsewhere):
        table.note(slot, Published(1, 1, "d"))
    table.restart("default")
    table.note(other, Published(1, 1, "d"))
    assert table.replayed("default") == [SLOT]
    assert set(table.slots()) == {other, elsewhere}
    assert set(table.at("192.0.2.1")) == {elsewhere}
    assert table.replayed("default") == []


def test_the_highest_word_of_a_node_stays() -> None:
    table = RealizedTable()
    table.note("default", realized(3, 2, RealizedState.PROGRAMMED))
    table.note("default", realized(9, 1))
    assert table.get(SLOT)["n1"] == Acknowledged(2, 3, RealizedState.PROGRAMMED)
    table.note("default", realized(3, 2, RealizedState.REMOVED))
    assert table.get(SLOT)["n1"].state is RealizedState.REMOVED
    assert set(table.at("192.0.2.1")) == {SLOT} == set(table.slots())
    purged = table.get(SLOT)["n1"]
    table.note("default", realized(3, 2, RealizedState.REMOVED))
    table.forget(SLOT, "n1", purged)
    assert set(table.slots()) == {SLOT}
    table.forget(SLOT, "n1", table.get(SLOT)["n1"])
    assert not table.get(SLOT)
    assert not table.at("192.0.2.1")


def test_a_node_that_says_the_same_again_says_nothing() -> None:
    table = RealizedTable()
    node = NodeRealized(node="n1", group="default", engine="envoy")
    assert table.note_node("default", node)
    assert not table.note_node("default", node)
    assert table.nodes("default") == {"n1": node}
    assert table.nodes("other") == {}


def test_how_far_a_stream_was_read_is_what_came_from_it_since_its_start() -> None:
    table, other = DesiredTable(), Slot("other", SLOT.key)
    assert table.read_through("default") == 0
    for sequence in (5, 9, 7):
        table.note_message(SLOT, a_wish(), sequence)
    table.note(SLOT, Published(9, 9, "d", sequence=12))
    table.note_message(other, a_wish(), 99)
    assert table.read_through("default") == 9
    table.restart("default")
    assert (table.read_through("default"), table.read_through("other")) == (0, 99)
