"""The command's own manners."""

import subprocess
import sys

import pytest

from fleetlb import __version__
from fleetlb_cli.__main__ import app


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        app(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


def test_an_unknown_command_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        app(["no-such-command"])
    assert caught.value.code == 2


def test_help_imports_no_client_library() -> None:
    code = (
        "import sys; from fleetlb_cli.__main__ import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'aiohttp', 'nats', 'kubernetes_asyncio', 'nkeys'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20, stdout=subprocess.DEVNULL)
