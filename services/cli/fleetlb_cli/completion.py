"""`fleetlb completion`: a script with which a shell completes every command and option. Changes nobody's files."""

from typing import Literal

from fleetlb_cli.__main__ import app


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a script that makes a shell complete commands and options: `source <(fleetlb completion bash)`."""
    print(app.generate_completion(prog_name="fleetlb", shell=shell))
    return 0
