from msgspec.structs import replace

from fleetlb.contracts.objects import AddressClaim
from fleetlb_manager.newest import DELETED_REMEMBERED, Newest, is_newer
from tests.unit.fleetlb_manager.manager_world import a_claim


def test_an_older_version_changes_nothing() -> None:
    known: Newest[AddressClaim] = Newest()
    new, old = a_claim(version=12), a_claim(version=9)
    assert known.put(new)
    assert not known.put(old)
    assert not known.put(a_claim(version=12))
    assert known.get("192.0.2.1") is new
    assert len(known) == 1


def test_versions_are_numbers_not_texts() -> None:
    assert is_newer(a_claim(version=10).metadata, a_claim(version=9).metadata)
    odd = replace(a_claim().metadata, resource_version="x")
    assert is_newer(odd, a_claim().metadata)
    assert not is_newer(odd, odd)


def test_a_late_event_brings_nothing_back() -> None:
    known: Newest[AddressClaim] = Newest()
    known.put(a_claim(version=3))
    assert known.drop(a_claim(version=3).metadata) is not None
    assert not known.put(a_claim(version=4))
    assert known.get("192.0.2.1") is None


def test_a_namesake_made_later_survives_the_deletion_of_the_first() -> None:
    known: Newest[AddressClaim] = Newest()
    known.put(a_claim(version=3, uid="first"))
    second = a_claim(version=7, uid="second")
    known.put(second)
    assert known.drop(a_claim(version=5, uid="first").metadata) is None
    assert list(known.values()) == [second]


def test_deleted_objects_are_forgotten_in_the_end() -> None:
    known: Newest[AddressClaim] = Newest()
    for number in range(DELETED_REMEMBERED + 1):
        known.drop(a_claim(uid=f"uid-{number}").metadata)
    assert known.put(a_claim(uid="uid-0"))
    assert not known.put(a_claim("192.0.2.2", uid="uid-1"))
