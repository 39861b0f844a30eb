"""Messages between this release and the last one, both ways: whoever of the two reads, reads what the other wrote."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "proto-schemas" / "v1" / "examples"
RELEASES = ROOT / "tests" / "releases"
READING = """
import json, sys
from pathlib import Path
from fleetlb.contracts.channels import MESSAGES, name_of
from fleetlb.contracts.codec import decode

kinds = {name_of(kind): kind for kind in MESSAGES}
outcomes = {}
for path in map(Path, sys.argv[1:]):
    kind = kinds.get(path.name.split(".")[0])
    if kind is None:
        outcomes[path.name] = "unknown"
        continue
    try:
        decode(kind, path.read_bytes())
    except Exception as problem:
        outcomes[path.name] = f"{type(problem).__name__}: {problem}"
    else:
        outcomes[path.name] = "read"
print(json.dumps([sys.modules["fleetlb"].__version__, outcomes]))
"""


def read_by_the_last_release(folder: Path, examples: list[Path]) -> tuple[str, dict[str, str]]:
    """The version that read, and what became of each example."""
    (wheel,) = RELEASES.glob("fleetlb-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    command = [sys.executable, "-c", READING, *map(str, examples)]
    answer = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True, timeout=50
    )
    version, outcomes = json.loads(answer.stdout)
    assert wheel.name.split("-")[1] == version
    return version, outcomes


def test_the_last_release_reads_every_message_that_it_knows(tmp_path: Path) -> None:
    version, outcomes = read_by_the_last_release(tmp_path, sorted(EXAMPLES.glob("*.json")))
    released = {line.split()[1] for line in (RELEASES / f"examples-{version}.sha256").read_text().splitlines()}
    assert {name for name, outcome in outcomes.items() if outcome == "read"} >= released
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in ("read", "unknown")} == {}


def test_what_it_cannot_read_would_be_found(tmp_path: Path) -> None:
    example = next(EXAMPLES.glob("virtual_server_desired.*.json"))
    changed = tmp_path / example.name
    changed.write_text(example.read_text().replace('"generation"', '"era"'))
    _, outcomes = read_by_the_last_release(tmp_path / "release", [changed])
    assert outcomes[example.name].startswith("Poison")


@pytest.mark.parametrize("listed", sorted(RELEASES.glob("examples-*.sha256")), ids=lambda path: path.stem)
def test_a_released_example_stays_as_it_was(listed: Path) -> None:
    """That this release reads them, the tests of schemas show."""
    for line in listed.read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((EXAMPLES / name).read_bytes()).hexdigest() == digest, name
