"""Builds fleetlb's wheel: the same sources at the same commit give the same bytes.

SOURCE_DATE_EPOCH=SECONDS wheel.py FOLDER
"""

import os
import sys
from pathlib import Path

from hatchling import build

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Print the wheel's path."""
    folder = Path(sys.argv[1]).absolute()
    if not os.environ.get("SOURCE_DATE_EPOCH", "").isdecimal():
        print("wheel: SOURCE_DATE_EPOCH is not set: set it to the time of the commit, in seconds", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    os.umask(0o022)
    os.chdir(ROOT)
    print(folder / build.build_wheel(str(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
