"""What images are made of: the same wheel from the same sources, and what the lock has for each."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import fleetlb

ROOT = Path(__file__).resolve().parents[3]
RECIPES = ROOT / "deploy" / "containers"


def run(program: str, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """A program of deploy/containers."""
    command = [sys.executable, str(RECIPES / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environ})


def build(folder: Path, epoch: str = "1700000000") -> bytes:
    """Our wheel."""
    answer = run("wheel.py", str(folder), SOURCE_DATE_EPOCH=epoch)
    assert answer.returncode == 0, answer.stderr
    return Path(answer.stdout.strip()).read_bytes()


def test_two_builds_of_the_wheel_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = build(tmp_path / "one"), build(tmp_path / "two")
    assert first == second
    assert build(tmp_path / "later", "1700000060") != first


def test_a_wheel_without_a_time_is_refused(tmp_path: Path) -> None:
    answer = run("wheel.py", str(tmp_path), SOURCE_DATE_EPOCH="")
    assert (answer.returncode, "SOURCE_DATE_EPOCH is not set" in answer.stderr) == (1, True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Name and whole entry of what each image holds."""
    folder = tmp_path_factory.mktemp("requirements")
    answer = run("requirements.py", str(folder))
    assert answer.returncode == 0, answer.stderr
    found = {}
    for path in folder.iterdir():
        entries = re.split(r"\n(?=\w)", path.read_text().strip())
        found[path.stem] = {entry.partition("==")[0]: entry for entry in entries}
    return found


def test_each_image_has_its_own_means_and_no_others(files: dict[str, dict[str, str]]) -> None:
    assert {image for image, names in files.items() if "grpcio" in names} == {"dataplane-programmer", "all"}
    speak = {"tenant-watcher", "manager", "status", "cli", "bootstrap", "all"}
    assert {image for image, names in files.items() if "kubernetes-asyncio" in names} == speak
    services = ("tenant-watcher", "manager", "dataplane-programmer", "status", "cli")
    assert not [image for image in services if {"pytest", "mypy", "trustme", "hatchling"} & files[image].keys()]


def test_whatever_is_fetched_is_held_to_a_hash_of_the_lock(files: dict[str, dict[str, str]]) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for entry in files["all"].values():
        hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}", entry)
        assert hashes
        assert all(found in lock for found in hashes)
    assert "--hash=sha256:" in (RECIPES / "pip.txt").read_text()


def test_compose_names_the_images_of_this_version() -> None:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    ours = [part["image"] for part in composed["services"].values() if "IMAGE_PREFIX" in part["image"]]
    assert len(ours) >= 15
    assert {image.rpartition(":${")[2] for image in ours} == {f"FLEETLB_VERSION:-{fleetlb.__version__}}}"}


def test_compose_pins_what_comes_from_elsewhere() -> None:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    theirs = [part["image"] for part in composed["services"].values() if "IMAGE_PREFIX" not in part["image"]]
    assert len(theirs) == 3
    assert all(re.fullmatch(r"\$\{\w+:-[\w/]+:v?\d+\.\d+\.\d+\}", image) for image in theirs)
