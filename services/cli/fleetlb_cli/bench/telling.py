"""The benchmark's results as a page: figures beside their floors and goals, misses said aloud. Formats only."""

from fleetlb_cli.bench import churn as storm
from fleetlb_cli.bench.churn import Churn
from fleetlb_cli.bench.running import IDLE_SECONDS, Results
from fleetlb_cli.bench.samples import Series, ratio

SERVICES = ("manager", "status", "tenant-watcher", "dataplane-programmer")
MB = 1024 * 1024


def page(results: Results) -> str:
    """Markdown."""
    return (
        "\n".join(
            [
                *_latencies(results),
                "",
                *_burst(results),
                "",
                *_churn(results.churn),
                "",
                *_processes(results),
                "",
                *_goals(results),
            ]
        )
        + "\n"
    )


def _latencies(results: Results) -> list[str]:
    lines = [
        "## One at a time (ms, p50 / p95 / p99)",
        "",
        "| measured | standing | samples | p50 / p95 / p99 | × floor |",
        "|---|--:|--:|--:|--:|",
    ]
    for series in results.series:
        floor = _find(results, "floor: create to address", series.standing)
        times = f"{ratio(series.samples, floor.samples):.1f}" if series.name.startswith("create") else ""
        lines.append(f"| {series.name} | {series.standing} | {len(series.samples)} | {series.describe()} | {times} |")
    hops = results.hops
    bare = [("API create", hops.create), ("API patch", hops.patch), ("NATS acknowledged publish", hops.publish)]
    lines += [f"| bare {name} | 0 | {len(s)} | {Series('', 0, s).describe()} | |" for name, s in bare]
    ours = _find(results, "create to address", results.series[0].standing).quantile(0.5)
    lines += ["", f"Sum of the single hops: {hops.sum_of_hops():.1f} ms; ours / sum: {ours / hops.sum_of_hops():.1f}."]
    return lines


def _burst(results: Results) -> list[str]:
    burst, floor = results.burst, results.burst_floor
    made = ", ".join(f"{name} {count}" for name, count in sorted(burst.writes.items()) if count)
    return [
        f"## {burst.services} at once, 16 writers",
        "",
        "| | seconds | × bare clients |",
        "|---|--:|--:|",
        f"| fleetlb, until each has an address | {burst.seconds:.1f} | {burst.seconds / results.bare_seconds:.2f} |",
        f"| bare clients, the same writes | {results.bare_seconds:.1f} | 1 |",
        f"| null controller, one write each | {floor.seconds:.1f} | {floor.seconds / results.bare_seconds:.2f} |",
        "",
        f"API writes per Service: {burst.writes_per_service:.2f} ({made}).",
    ]


def _churn(churn: Churn) -> list[str]:
    stale = Series("", 0, churn.staleness)
    return [
        f"## Endpoints of {storm.COUNT} Services × {storm.ENDPOINTS} that come and go",
        "",
        f"{churn.changes} endpoints turned ready or unready in {churn.seconds:.1f} s"
        f" ({churn.changes / churn.seconds:.0f}/s), in {churn.writes} writes of EndpointSlices.",
        "",
        f"- Sets of endpoints sent to Envoy: {churn.pushes}, {churn.pushes / churn.writes:.2f} for each write.",
        f"- From the sight of a change until Envoy had it: {stale.describe()} ms (p50 / p95 / p99).",
    ]


def _processes(results: Results) -> list[str]:
    lines = [
        f"## Processes, with {results.series[-1].standing} standing",
        "",
        f"| process | RSS MB | CPU s in the burst | CPU % of a core at rest ({IDLE_SECONDS} s) |",
        "|---|--:|--:|--:|",
    ]
    for name, usage in results.usage.items():
        idle = results.idle.cpu_seconds.get(name, 0.0) / IDLE_SECONDS * 100
        burst = results.burst_cpu.get(name, 0.0)
        lines.append(f"| {name} | {usage.rss_bytes / MB:.0f} | {burst:.1f} | {idle:.2f} |")
    writes = ", ".join(f"{name} {count}" for name, count in results.idle.writes.items()) or "none"
    return [*lines, "", f"API writes at rest in {IDLE_SECONDS} s, leases and Events apart: {writes}."]


def _goals(results: Results) -> list[str]:
    first, last = results.series[0].standing, results.series[-1].standing
    small, large = (_find(results, "create to address", size) for size in (first, last))
    services = {name: usage for name, usage in results.usage.items() if name.split("/")[0] in SERVICES}
    fattest = max(usage.rss_bytes for usage in services.values()) / MB
    busiest = max(results.idle.cpu_seconds.get(name, 0.0) for name in services) / IDLE_SECONDS * 100
    growth = large.quantile(0.5) / small.quantile(0.5)
    removed = _find(results, "backend removed from traffic", last).quantile(0.99)
    pushes = results.churn.pushes / results.churn.writes
    stale = Series("", 0, results.churn.staleness).quantile(0.99)
    rows = [
        ("create to address p50, none standing", f"{small.quantile(0.5):.0f} ms", "60 ms", small.quantile(0.5) <= 60),
        (
            "create to address p99, none standing",
            f"{small.quantile(0.99):.0f} ms",
            "250 ms",
            small.quantile(0.99) <= 250,
        ),
        (f"growth from {first} to {last} standing", f"{growth:.2f}×", "1.2×", growth <= 1.2),
        (
            "API writes per Service",
            f"{results.burst.writes_per_service:.2f}",
            "6",
            results.burst.writes_per_service <= 6,
        ),
        (
            "burst / bare clients with the same writes",
            f"{results.burst.seconds / results.bare_seconds:.2f}×",
            "1.5×",
            results.burst.seconds / results.bare_seconds <= 1.5,
        ),
        (
            "backend removed from traffic p99",
            f"{removed:.0f} ms",
            "500 ms",
            removed <= 500,
        ),
        ("endpoint sets sent / slices written", f"{pushes:.2f}×", "1.05×", pushes <= 1.05),
        ("staleness under churn p99", f"{stale:.0f} ms", "1000 ms", stale <= 1000),
        ("largest service", f"{fattest:.0f} MB", "90 MB", fattest <= 90),
        ("busiest service at rest", f"{busiest:.2f} %", "1 %", busiest <= 1),
        ("API writes at rest", str(sum(results.idle.writes.values())), "0", not results.idle.writes),
    ]
    lines = ["## Goals", "", "| goal | measured | at most | |", "|---|--:|--:|---|"]
    return lines + [f"| {name} | {got} | {goal} | {'met' if met else '**missed**'} |" for name, got, goal, met in rows]


def _find(results: Results, name: str, standing: int) -> Series:
    return next(series for series in results.series if series.name == name and series.standing == standing)
