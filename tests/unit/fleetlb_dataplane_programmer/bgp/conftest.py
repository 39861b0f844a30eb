"""A model of BIRD for each test of what asks one."""

import pathlib
from collections.abc import AsyncIterator

import pytest

from tests.unit.fleetlb_dataplane_programmer.bgp.model_bird import ModelBird


@pytest.fixture
async def bird(tmp_path: pathlib.Path) -> AsyncIterator[ModelBird]:
    """It runs, and has read nothing."""
    async with ModelBird(tmp_path).running() as made:
        yield made
