"""`make test-upstream` and `fleetlb local up --attach`, on a cluster of one node in a network of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.fleet import FLEETLB

pytestmark = pytest.mark.e2e

PRIVATE_NETWORK = ["unshare", "--user", "--map-root-user", "--net"]
RANGES = ["--pool-cidr", "10.9.0.0/24", "--node-cidr", "acme=10.8.0.0/24"]


def can_have_a_private_network() -> bool:
    return subprocess.run([*PRIVATE_NETWORK, "true"], capture_output=True, check=False).returncode == 0


def test_a_cluster_elsewhere_is_attached_tested_and_left_as_before(tmp_path: Path) -> None:
    if can_have_a_private_network():
        command = [*PRIVATE_NETWORK, sys.executable, "-m", "tests.e2e.elsewhere", str(tmp_path)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "| should answer with elsewhere node-1 | 1 | pass |  |" in answer.stdout
        assert answer.stdout.endswith("as before\n")
    else:  # then this user cannot add routes either, and is told so
        assert os.geteuid() != 0
        (tmp_path / "kubeconfig").touch()
        up = [FLEETLB, "local", "up", "--attach", f"acme={tmp_path / 'kubeconfig'}", *RANGES]
        refused = subprocess.run(up, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 2
        assert "--attach needs root" in refused.stderr
