from pathlib import Path

import pytest

from tests.seeded_bugs.bugs import Bug
from tests.seeded_bugs.every_bug import ALL

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.name)
def test_a_seeded_bug_can_be_planted_and_its_tests_are_there(bug: Bug) -> None:
    assert (ROOT / bug.file).read_text().count(bug.old) == 1
    assert bug.new != bug.old
    assert all((ROOT / test.partition("::")[0]).exists() for test in bug.tests)


def test_every_seeded_bug_has_a_name_of_its_own() -> None:
    assert len({bug.name for bug in ALL}) == len(ALL)
