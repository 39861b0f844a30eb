from msgspec.structs import replace

from fleetlb.contracts.v1 import TenantAllowed
from fleetlb.testkit.wishes import an_allowance
from fleetlb_manager.allowance_table import AllowanceTable, said_by
from fleetlb_manager.identities import AllowanceKey

KEY = AllowanceKey("default", "acme")


def table(*messages: TenantAllowed) -> AllowanceTable:
    made = AllowanceTable()
    for message in messages:
        made.note_message(KEY, message, is_ours=True)
        made.trust(KEY)
    return made


def test_what_this_manager_said_is_current_until_there_is_doubt() -> None:
    known = AllowanceTable()
    assert not known.is_current(KEY)
    known.note(KEY, said_by(an_allowance()))
    assert known.is_current(KEY)
    assert known.note_message(KEY, an_allowance(), is_ours=True)
    assert known.is_current(KEY)
    known.doubt(KEY)
    assert not known.is_current(KEY)
    known.trust(KEY)
    assert known.is_current(KEY)


def test_what_another_manager_said_must_be_compared_first() -> None:
    known = AllowanceTable()
    assert known.note_message(KEY, an_allowance(), is_ours=True)
    assert not known.is_current(KEY)


def test_the_same_content_has_the_same_digest_whoever_said_it_when() -> None:
    first = said_by(an_allowance(revision=1))
    assert said_by(an_allowance(generation=9, revision=2)).digest == first.digest
    assert said_by(replace(an_allowance(), account="A")).digest != first.digest
    assert said_by(an_allowance(node_cidrs=("10.9.0.0/16",))).digest != first.digest
    assert said_by(an_allowance(node_cidrs=None)).removed


def test_what_is_older_or_not_ours_is_to_be_said_again_and_does_not_count() -> None:
    for message, is_ours in ((an_allowance(generation=1, revision=99), True), (an_allowance(generation=99), False)):
        known = table(an_allowance(generation=2, revision=5))
        assert not known.note_message(KEY, message, is_ours=is_ours)
        said = known.get(KEY)
        assert said is not None
        assert (said.generation, said.revision, said.digest) == (2, 5, "")
        assert not known.is_current(KEY)


def test_what_a_replay_does_not_bring_is_lost() -> None:
    other = AllowanceKey("default", "globex")
    known = table(an_allowance())
    known.note(other, said_by(an_allowance("globex")))
    known.restart("default")
    known.note_message(KEY, an_allowance(), is_ours=True)
    assert known.replayed("default") == 1
    assert (known.get(KEY) is None, known.get(other)) == (False, None)
    assert (list(known.of_tenant("acme")), list(known.of_tenant("globex"))) == ([KEY], [])
    assert known.of_group("default") == [KEY]
    assert known.replayed("default") == 0
