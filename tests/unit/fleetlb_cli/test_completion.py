"""What a real shell completes with the script that is printed."""

import subprocess
from pathlib import Path

import pytest

from fleetlb_cli.__main__ import app


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For bash, as the command prints it."""
    path = tmp_path_factory.mktemp("completion") / "fleetlb.bash"
    path.write_text(app.generate_completion(prog_name="fleetlb", shell="bash"))
    return path


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["fleetlb", "sta"], {"status"}),
        (["fleetlb", "t"], {"tail", "tenant", "top", "trace"}),
        (["fleetlb", "status", "--sy"], {"--system-namespace"}),
        (["fleetlb", "tenant", "cr"], {"create"}),
        (["fleetlb", "tail", "--kind", "rea"], {"realized"}),
    ],
)
def test_bash_completes(words: list[str], found: set[str], script: Path) -> None:
    line = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _fleetlb; echo ${{COMPREPLY[@]}}"
    answer = subprocess.run(
        ["bash", "-c", f"source {script}; {line}"], capture_output=True, text=True, check=True, timeout=20
    )
    assert (set(answer.stdout.split()), answer.stderr) == (found, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        app(["completion", shell])
    assert caught.value.code == 0
    assert "--system-namespace" in capsys.readouterr().out
