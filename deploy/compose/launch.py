"""Runs a program as the bootstrap has written it down, in its place: some settings are known only when keys are made.

    launch.py FILE [COMMAND...]

FILE is JSON: `environ` is added to the environment; `command` runs, unless one is given. Standard library only.
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Never returns."""
    told = json.loads(Path(sys.argv[1]).read_text())
    command = sys.argv[2:] or told["command"]
    os.execve(command[0], command, {**os.environ, **told.get("environ", {})})  # noqa: S606 - it becomes that program


if __name__ == "__main__":
    main()
