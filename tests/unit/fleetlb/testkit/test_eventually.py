import asyncio

import pytest

from fleetlb.testkit.eventually import eventually


async def test_returns_once_the_condition_holds() -> None:
    happened = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, happened.set)
    await eventually(happened.is_set)
    assert happened.is_set()


async def test_fails_when_it_does_not() -> None:
    with pytest.raises(AssertionError, match=r"not true after 0\.01 s"):
        await eventually(lambda: False, seconds=0.01)
