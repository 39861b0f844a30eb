import pytest

from fleetlb.domain.errors import Transient
from fleetlb_cli.tenants.waiting import until


class Look:
    """Answers one by one; the last one stays."""

    def __init__(self, *answers: str | Exception | None) -> None:
        self.answers = list(answers)

    async def __call__(self) -> str | None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_it_looks_until_there_is_something() -> None:
    assert await until(Look(None, Transient("away"), "there"), 5) == "there"


async def test_it_looks_at_least_once() -> None:
    assert await until(Look("there"), 0) == "there"


async def test_it_ends_when_the_time_is_over() -> None:
    assert await until(Look(None), 0.3) is None


async def test_what_is_away_to_the_end_is_an_error() -> None:
    with pytest.raises(Transient, match="away"):
        await until(Look(None, Transient("away")), 0.3)


async def test_other_errors_end_it_at_once() -> None:
    with pytest.raises(ValueError, match="wrong"):
        await until(Look(ValueError("wrong"), "there"), 5)
