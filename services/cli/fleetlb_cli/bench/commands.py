"""`fleetlb bench`: the command. What it needs is imported when it is called: its options are told at once."""

from pathlib import Path


def bench(
    *,
    samples: int = 50,
    standing: str = "0,100,1000",
    burst: int = 1000,
    state: Path = Path(".fleet/bench"),
    output: Path = Path("bench-results"),
) -> int:
    """Measure a fresh local fleet, and in the same run the floor.

    Parameters
    ----------
    samples
        Samples of each figure at each size.
    standing
        Numbers of Services standing while one more changes, ascending, separated by commas.
    burst
        Services created at once.
    state
        Where the fleet keeps its data.
    output
        Where raw.jsonl, results.json and results.md go.
    """
    from fleetlb_cli.bench.carrying_out import run

    return run(samples, standing, burst, state, output)
