"""Which metrics each process has: those of the modules that its program imports, at once or when it needs them."""

import ast
import functools
import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import REGISTRY

from fleetlb.runtime.metrics_page import Described, describe

PROGRAMS = {
    "fleetlb-tenant-watcher": "fleetlb_tenant_watcher.__main__",
    "fleetlb-manager": "fleetlb_manager.__main__",
    "fleetlb-dataplane-programmer": "fleetlb_dataplane_programmer.__main__",
    "fleetlb-status": "fleetlb_status.__main__",
    "fleetlb audit --serve": "fleetlb_cli.audit.running",
}
"""By the name that people know a process by, the module that begins it."""


def metrics_of_processes() -> dict[str, set[Described]]:
    """What each process shows at `/metrics`, beside what prometheus-client tells of Python and the process."""
    return {name: set(_metrics(_modules(first))) for name, first in PROGRAMS.items()}


def _metrics(modules: Iterable[str]) -> Iterator[Described]:
    for name in modules:
        if "prometheus_client" in (_imported(name) or ()):
            values = {id(value) for value in vars(importlib.import_module(name)).values()}
            for collector in list(REGISTRY._collector_to_names):
                if id(collector) in values:
                    yield from describe(collector)


def _modules(first: str) -> set[str]:
    """A module of ours and all that it imports."""
    found: set[str] = set()
    waiting = [first]
    while waiting:
        name = waiting.pop()
        imported = _imported(name)
        if imported is not None and name not in found:
            found.add(name)
            waiting += imported
    return found


@functools.cache
def _imported(name: str) -> tuple[str, ...] | None:
    """Names that a module imports, at once or late, and that may be modules. None: there is no such module of ours."""
    path = _file_of(name)
    if path is None:
        return None
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _file_of(name: str) -> Path | None:
    """Found without importing anything but its top package."""
    top, *rest = name.split(".")
    package = importlib.util.find_spec(top) if top.startswith("fleetlb") else None
    if package is None or package.origin is None:
        return None
    place = Path(package.origin).parent.joinpath(*rest)
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
