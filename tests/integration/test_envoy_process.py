"""The Envoy of the testkit: that it starts, answers, and tells a failure by its log."""

import functools
import pathlib
import signal
import tempfile
from collections.abc import Iterator

import pytest

from fleetlb.testkit.envoy_process import ENVOY, EnvoyProcess
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.envoy.bootstrap import bootstrap, command

pytestmark = pytest.mark.integration


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """A short path: it holds unix sockets."""
    with tempfile.TemporaryDirectory(prefix="fleetlb-") as made:
        yield pathlib.Path(made)


def envoy(folder: pathlib.Path, **changes: object) -> EnvoyProcess:
    made = bootstrap(node="n", group="g", ads_socket=folder / "ads", admin=str(folder / "admin")) | changes
    return EnvoyProcess(folder, made, functools.partial(command, ENVOY, concurrency=1))


async def test_it_starts_stops_and_starts_again(folder: pathlib.Path) -> None:
    process = envoy(folder)
    for _ in range(2):
        await process.start()
        assert (await process.statistics("server."))["server.concurrency"] == 1
        assert "configs" in await process.configuration()
        assert process.pid > 0
        await process.stop()
    await process.stop()


async def test_the_bootstrap_has_nothing_to_complain_about(folder: pathlib.Path) -> None:
    process = envoy(folder)
    await process.start()
    await process.stop()
    complaints = [
        line for line in process.log.splitlines() if "[main]" not in line and "gRPC config stream" not in line
    ]
    assert complaints == []


async def test_a_signal_reaches_it(folder: pathlib.Path) -> None:
    process = envoy(folder)
    await process.start()
    process.send(signal.SIGTERM)
    await eventually(lambda: "ENVOY_SIGTERM" in process.log)
    await process.kill()


async def test_a_configuration_that_it_refuses_is_shown(folder: pathlib.Path) -> None:
    with pytest.raises(AssertionError, match="no_such_field"):
        await envoy(folder, no_such_field=1).start()
