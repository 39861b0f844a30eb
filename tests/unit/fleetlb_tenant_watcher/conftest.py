"""A cluster's memory fed by hand, and clocks that stand still until told."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import Selection
from fleetlb.testkit.tenant_objects import a_service
from fleetlb_tenant_watcher.memory import Memory


class HandClocks:
    """Time by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def micros(self) -> int:
        return int(self.seconds * 1e6)


@pytest.fixture
def clocks() -> HandClocks:
    return HandClocks()


@pytest.fixture
def memory() -> Memory:
    return Memory(Selection())


@pytest.fixture
def see(memory: Memory) -> Callable[..., bool]:
    """Show the memory a Service."""

    def show(**given: Any) -> bool:
        return memory.see(msgspec.convert(a_service(**given), Service), 1000.0)

    return show
