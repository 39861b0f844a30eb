import pytest

from fleetlb.domain.bars import Bar
from fleetlb.domain.errors import Poison
from fleetlb.testkit.wishes import a_virtual_server, an_allowance
from fleetlb_dataplane_programmer.allowances import Allowances

MINE = a_virtual_server("192.0.2.1:443/tcp", ["10.0.0.1:31000"])
THEIRS = a_virtual_server("192.0.2.1:443/tcp", ["10.2.0.1:31000"])


def known(*said: object, **options: object) -> Allowances:
    allowances = Allowances(**options)  # type: ignore[arg-type]
    for one in said or (an_allowance(),):
        allowances.fold(one)  # type: ignore[arg-type]
    return allowances


def test_a_tenant_is_held_to_what_was_said_of_it() -> None:
    allowances = known()
    assert allowances.knows("acme")
    assert allowances.objection_to("acme", MINE) == ""
    assert "10.2.0.1 port 31000" in allowances.objection_to("acme", THEIRS)


@pytest.mark.parametrize(
    ("generation", "revision", "is_news"), [(1, 5, False), (1, 4, False), (0, 9, False), (1, 6, True), (2, 1, True)]
)
def test_the_highest_generation_and_revision_stands(generation: int, revision: int, is_news: bool) -> None:
    allowances = known(an_allowance(generation=1, revision=5))
    later = an_allowance(node_cidrs=("10.2.0.0/16",), generation=generation, revision=revision)
    assert allowances.fold(later) is is_news
    assert (allowances.objection_to("acme", THEIRS) == "") is is_news


def test_of_a_tenant_that_was_taken_back_nothing_is_known_and_the_past_brings_nothing_back() -> None:
    allowances = known(an_allowance(revision=1), an_allowance(node_cidrs=None, revision=2))
    assert not allowances.knows("acme")
    assert not allowances.fold(an_allowance(revision=1))
    assert [record.said.revision for record in allowances.records()] == [2]


def test_a_tenant_of_which_nothing_is_known_is_held_to_nothing_unless_that_is_required() -> None:
    assert Allowances().objection_to("acme", THEIRS) == ""
    assert "has not said what its tenant may have" in Allowances(operator_key="OKEY").objection_to("acme", MINE)
    assert known(operator_key="OKEY").objection_to("acme", MINE) == ""


def test_this_machine_is_nobodys_backend_whatever_is_allowed() -> None:
    allowances = known(own_addresses=frozenset({"10.0.0.1"}))
    assert "an address of this balancer node" in allowances.objection_to("acme", MINE)
    assert "an address of this balancer node" in allowances.objection_to("nobody", MINE)


def test_what_cannot_be_read_leaves_the_last_word() -> None:
    allowances = known()
    with pytest.raises(Poison, match="CIDR"):
        allowances.fold(an_allowance(node_cidrs=("everywhere",), revision=9))
    assert allowances.objection_to("acme", MINE) == ""


def test_what_was_believed_by_another_signature_or_by_none_is_not_believed_after_a_restart() -> None:
    (record,) = known(operator_key="OKEY").records()
    for key, is_believed in (("OKEY", True), ("OTHER", False), ("", False)):
        after = Allowances(operator_key=key)
        after.recall(record)
        assert after.knows("acme") is is_believed
    (unsigned,) = known().records()
    after = Allowances(operator_key="OKEY")
    after.recall(unsigned)
    assert not after.knows("acme")


def test_no_objection_names_another_tenant() -> None:
    allowances = known(an_allowance(), an_allowance("globex", node_cidrs=("10.2.0.0/16",)))
    assert "globex" not in allowances.objection_to("acme", THEIRS)


def test_a_word_that_an_earlier_version_remembered_without_its_bars_is_taken_again_with_them() -> None:
    allowances = known()
    assert not allowances.is_late("acme", 1, 11)
    assert allowances.fold(an_allowance(bars=(Bar(2, 10),)))
    assert not allowances.fold(an_allowance(bars=(Bar(2, 10),)))
    assert not allowances.fold(an_allowance())
    assert allowances.is_late("acme", 1, 11)
    assert not allowances.is_late("globex", 1, 11)
