"""A plugin of pytest: the product that is tested is the copy with the bug, or nothing is proven."""

import importlib
import os

import pytest

PACKAGES = ("fleetlb", "fleetlb_manager", "fleetlb_dataplane_programmer", "fleetlb_tenant_watcher", "fleetlb_status")


def pytest_configure() -> None:
    copy = os.environ["SEEDED_BUG_COPY"]
    for name in PACKAGES:
        path = importlib.import_module(name).__file__ or ""
        if not path.startswith(copy):
            raise pytest.UsageError(f"{name} is taken from {path}, not from {copy}")
