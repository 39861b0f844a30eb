"""The command's own manners."""

import subprocess
import sys

import pytest

from fleetlb import __version__
from fleetlb_cli.__main__ import app

MOST_MODULES = 260
"""That `--help` may import: about a fifth of a second on a machine at rest."""

CLIENTS = {"aiohttp", "kubernetes_asyncio", "nats", "nkeys", "prometheus_client", "structlog", "yaml", "asyncio"}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        app(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


def test_an_unknown_command_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        app(["no-such-command"])
    assert caught.value.code == 2


def modules_of(*arguments: str) -> set[str]:
    """What is imported when the command is called like this."""
    code = (
        "import sys; from fleetlb_cli.__main__ import app\n"
        f"try: app({list(arguments)!r})\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, timeout=20, capture_output=True, text=True)
    return set(told.stderr.split())


def test_help_imports_no_client_library() -> None:
    loaded = modules_of("--help")
    assert not (CLIENTS | {"msgspec", "rich.markdown"}) & loaded
    ours = {name for name in loaded if name.startswith("fleetlb")}
    assert ours == {"fleetlb", "fleetlb_cli", "fleetlb_cli.__main__"}


PACKAGES = {"trace": "why", "tenant": "tenants"}
"""Where a command lives that is not called like its package."""
COMMANDS = """why; trace; status; plan; top; tail; sysdump; hub init; node drain; node undrain; node remove;
    node bootstrap;
    restore show; restore accept; audit; bench; demo; local up; local down; local kill; local setup; tenant create;
    tenant list; tenant show; tenant join; tenant suspend; tenant resume; tenant rotate; tenant remove"""


@pytest.mark.parametrize("command", [command.strip() for command in COMMANDS.split(";")])
def test_options_are_told_without_what_carries_a_command_out(command: str) -> None:
    words = command.split()
    loaded = modules_of(*words, "--help")
    assert not (CLIENTS | {"rich.live", "rich.progress", "rich.markdown"}) & loaded
    assert f"fleetlb_cli.{PACKAGES.get(words[0], words[0])}.commands" in loaded
    assert not {name for name in loaded if name.startswith(("fleetlb.kube", "fleetlb.runtime", "fleetlb.contracts"))}
    assert len(loaded) < MOST_MODULES


def test_help_stays_quick() -> None:
    """Its time is that of what it imports, which hardly differs between machines as a number of modules."""
    assert len(modules_of("--help")) < MOST_MODULES


@pytest.mark.parametrize("command", ["status", "plan", "top", "tail", "sysdump"])
def test_exit_codes_are_told(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app([command, "--help"])
    assert "Exit codes: 0 " in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "top", "tail", "sysdump"])
@pytest.mark.parametrize(
    ("where", "code", "text"),
    [
        ((), 2, "say where the fleet is"),
        (("--state", "/none"), 2, "no fleet is up in /none"),
        (("--kubeconfig", "/none", "--nats-url", "nats://h", "--nats-creds", "/none"), 2, "there is no file /none"),
    ],
)
def test_a_fleet_that_nobody_can_find(
    command: str,
    where: tuple[str, ...],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(SystemExit) as caught:
        app([command, *where])
    assert caught.value.code == code
    said = capsys.readouterr()
    assert (said.out, text in said.err) == ("", True)
