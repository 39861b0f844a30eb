"""The console script, as far as it goes without servers."""

import json

import pytest

from fleetlb.runtime.process import run
from fleetlb_status.__main__ import SERVICE, serve
from fleetlb_status.settings import Settings

ENVIRON = {"FLEETLB_NATS_URL": "nats://hub:4222", "FLEETLB_NATS_CREDS": "/creds"}


def test_check_shows_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SERVICE, Settings, serve, ["--check"], ENVIRON) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["nats_url"], shown["system_namespace"]) == ("nats://hub:4222", "fleetlb-system")


def test_missing_settings_are_exit_code_78(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SERVICE, Settings, serve, ["--check"], {}) == 78
    assert "FLEETLB_NATS_URL" in capsys.readouterr().err
