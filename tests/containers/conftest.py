"""An engine must answer, and the images must be there: nothing here is skipped. `make test-containers` sees to both."""

import os
from collections.abc import Iterator

import pytest

from tests.containers.composition import Composition
from tests.containers.engine import asked, image


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """Ends the session where nothing could be proved."""
    for name in ("manager", "bootstrap", "control-plane"):
        answer = asked("image", "inspect", image(name))
        if answer.returncode != 0:
            pytest.exit(f"{answer.stderr.strip()}: run `make test-containers`", returncode=1)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Composition]:
    """One fleet for all; afterwards nothing of it is there."""
    composition = Composition(f"fleetlb-test-{os.getpid()}")
    try:
        composition.up()
        yield composition
    finally:
        composition.down()
    assert composition.left() == []
