import asyncio
import time

import pytest

from fleetlb.testkit.virtual_time import run_virtually


def test_an_hour_passes_at_once_and_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []
        loop.call_later(3600, lambda: seen.append(("late", loop.time())))
        loop.call_later(1, lambda: seen.append(("early", loop.time())))
        await asyncio.sleep(3601)
        return seen

    began = time.monotonic()
    seen = run_virtually(main())
    assert [name for name, _ in seen] == ["early", "late"]
    assert seen[1][1] == pytest.approx(3600, abs=0.01)
    assert time.monotonic() - began < 1


def test_waiting_for_nothing_fails_instead_of_hanging() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="nothing will ever happen"):
        run_virtually(main())


def test_what_is_given_to_a_thread_is_done_at_once() -> None:
    async def main() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 7), asyncio.get_running_loop().time()

    assert run_virtually(main()) == (7, 0.0)
