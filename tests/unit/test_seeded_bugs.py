from pathlib import Path

import pytest

from tests.seeded_bugs.bugs import BUGS, Bug
from tests.seeded_bugs.found_by_killing import FOUND_BY_KILLING
from tests.seeded_bugs.of_announcing import OF_ANNOUNCING
from tests.seeded_bugs.of_events import OF_EVENTS
from tests.seeded_bugs.of_lateness import OF_LATENESS
from tests.seeded_bugs.of_moving import OF_MOVING
from tests.seeded_bugs.of_nats import OF_NATS
from tests.seeded_bugs.of_signing import OF_SIGNING

ALL = (*BUGS, *OF_ANNOUNCING, *OF_EVENTS, *OF_LATENESS, *OF_MOVING, *OF_NATS, *OF_SIGNING, *FOUND_BY_KILLING)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.name)
def test_a_seeded_bug_can_be_planted_and_its_tests_are_there(bug: Bug) -> None:
    assert (ROOT / bug.file).read_text().count(bug.old) == 1
    assert bug.new != bug.old
    assert all((ROOT / test.partition("::")[0]).exists() for test in bug.tests)


def test_every_seeded_bug_has_a_name_of_its_own() -> None:
    assert len({bug.name for bug in ALL}) == len(ALL)
