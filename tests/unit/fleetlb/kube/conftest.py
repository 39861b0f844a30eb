"""A scripted API server and a Cluster connected to it, with bounds short enough for tests of timeouts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.transport import Timing
from fleetlb.testkit.scripted_kube import ScriptedKube


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with ScriptedKube() as scripted:
        yield scripted


@pytest.fixture
async def cluster(kube: ScriptedKube, tmp_path: Path) -> AsyncIterator[Cluster]:
    connected = await Cluster.connect(kube.kubeconfig(tmp_path), timing=Timing(request_seconds=0.5))
    yield connected
    await connected.close()
