"""Write the Grafana dashboards in this folder anew; with --check, only compare.

    python deploy/dashboards/generate.py [--check] [--into FOLDER]

What they show is in one module for each: fleet, tenant, node, latency.
"""

import argparse
import json
import sys
from pathlib import Path

from fleet import fleet
from latency import latency
from node import node
from tenant import tenant

HERE = Path(__file__).resolve().parent


def documents() -> dict[str, str]:
    """The text of each file, by its name."""
    boards = {"fleet": fleet(), "tenant": tenant(), "node": node(), "latency": latency()}
    return {f"{name}.json": json.dumps(board, indent=2, ensure_ascii=False) + "\n" for name, board in boards.items()}


def differing(folder: Path, wanted: dict[str, str]) -> list[str]:
    """Names of files that are missing, stray, or not as they should be."""
    present = {file.name: file.read_text("utf-8") for file in folder.glob("*.json")}
    return sorted(name for name in {*present, *wanted} if present.get(name) != wanted.get(name))


def write(folder: Path, wanted: dict[str, str]) -> None:
    """Write every file, and delete those that are no more."""
    for name in differing(folder, wanted):
        if name in wanted:
            (folder / name).write_text(wanted[name], "utf-8")
        else:
            (folder / name).unlink()


def main(arguments: list[str]) -> int:
    """0: everything is as generated; 1: with --check, something is not."""
    parser = argparse.ArgumentParser(description="Generate the Grafana dashboards.")
    parser.add_argument("--check", action="store_true", help="compare with the committed files and write nothing")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder that they are in")
    given = parser.parse_args(arguments)
    wanted = documents()
    if not given.check:
        write(given.into, wanted)
        return 0
    problems = differing(given.into, wanted)
    for name in problems:
        sys.stderr.write(f"{name} differs from what is generated; run `make dashboards` and review the diff\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
