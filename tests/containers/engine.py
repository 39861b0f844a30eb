"""The container engine as tests use it: docker's own command, and what its answers say."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import fleetlb

PREFIX = os.environ.get("IMAGE_PREFIX", "fleetlb")


def image(name: str) -> str:
    """The full name of one of our images."""
    return f"{PREFIX}/{name}:{fleetlb.__version__}"


def docker(*arguments: str, environ: Mapping[str, str] | None = None, seconds: float = 300) -> str:
    """What docker prints; the test fails with its complaint if it fails."""
    answer = asked(*arguments, environ=environ, seconds=seconds)
    said = answer.stderr[-4000:] + answer.stdout[-1000:]
    assert answer.returncode == 0, f"docker {' '.join(arguments)} ended with {answer.returncode}:\n{said}"
    return answer.stdout.strip()


def asked(
    *arguments: str, environ: Mapping[str, str] | None = None, seconds: float = 300
) -> "subprocess.CompletedProcess[str]":
    """The same, where it may fail."""
    command = ["docker", *arguments]
    whole = {**os.environ, **(environ or {})}
    return subprocess.run(command, capture_output=True, text=True, env=whole, timeout=seconds, check=False)


def inspected(*names: str) -> list[dict[str, Any]]:
    """`docker inspect`."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", *names))
    return found


def python_in(name: str, program: str) -> str:
    """What a Python program prints inside an image, without network, rights, or a place to write."""
    rights = ("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")
    return docker("run", "--rm", *rights, "--entrypoint", "/opt/fleetlb/bin/python", image(name), "-c", program)


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for it; the test fails if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come in {seconds} s"
        time.sleep(0.1)
