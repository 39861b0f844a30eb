"""Write the configuration of a Prometheus for a local fleet: the one beside this file, with the fleet's own targets.

    python deploy/observability/local_fleet.py --state DIR --into FOLDER [--every SECONDS] [--audit HOST:PORT]

Ports of a local fleet change when it is made anew; write it again then, and Prometheus reads the targets by itself.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from fleetlb_cli.local.layout import Environment, NoFleetError, read_environment

HERE = Path(__file__).resolve().parent
AUDIT = "fleetlb-audit"
PROGRAMS = ("manager", "status", "dataplane-programmer", "tenant-watcher")
Group = dict[str, object]


def targets_of(fleet: Environment, audit: str) -> dict[str, list[Group]]:
    """By job, where its processes are and what they are to be labelled with."""
    jobs: dict[str, list[Group]] = {f"fleetlb-{program}": [] for program in PROGRAMS}
    for name, process in fleet.processes.items():
        if process.http is not None:
            program, _, owner = name.partition("/")
            job = f"fleetlb-{next(known for known in PROGRAMS if program.startswith(known))}"
            labels = dict(_labels(fleet, program, owner))
            jobs[job].append({"targets": [process.http.removeprefix("http://")], "labels": labels})
    jobs[AUDIT] = [{"targets": [audit]}] if audit else []
    return jobs


def _labels(fleet: Environment, program: str, owner: str) -> Iterator[tuple[str, str]]:
    if program == "tenant-watcher":
        yield "tenant", owner
    if program == "dataplane-programmer":
        yield "node", owner
        yield "group", next(name for name, group in fleet.groups.items() if owner in group.nodes)


def write(fleet: Environment, into: Path, every: str, audit: str) -> None:
    """The whole folder."""
    text = (HERE / "prometheus.yml").read_text("utf-8")
    for setting in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
        before = next(line for line in text.splitlines() if line.strip().startswith(f"{setting}: "))
        text = text.replace(before, f"  {setting}: {every}") if every else text
    (into / "targets").mkdir(parents=True, exist_ok=True)
    (into / "prometheus.yml").write_text(text, "utf-8")
    shutil.copy(HERE / "alerts.yaml", into)
    for job, groups in {**targets_of(fleet, audit), "alertmanager": []}.items():
        _replace(into / "targets" / f"{job}.yaml", json.dumps(groups))


def _replace(file: Path, text: str) -> None:
    """At once: Prometheus reads it as soon as it changes."""
    fresh = file.with_suffix(".tmp")
    fresh.write_text(text, "utf-8")
    fresh.replace(file)


def main(arguments: list[str]) -> int:
    """0: written; 1: no fleet is up there."""
    parser = argparse.ArgumentParser(description="Configure a Prometheus for a local fleet.")
    parser.add_argument("--state", type=Path, required=True, help="the fleet's folder")
    parser.add_argument("--into", type=Path, required=True, help="the folder to write")
    parser.add_argument("--every", default="", metavar="TIME", help="how often to scrape, such as 5s; 15s otherwise")
    parser.add_argument("--audit", default="", metavar="HOST:PORT", help="what `fleetlb audit --serve` was given")
    given = parser.parse_args(arguments)
    try:
        write(read_environment(given.state), given.into, given.every, given.audit)
    except NoFleetError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
