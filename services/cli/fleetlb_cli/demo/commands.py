"""`fleetlb demo`: the command. What it needs is imported when it is called: its options are told at once."""

from pathlib import Path


def demo(*, once: bool = False, state: Path = Path(".fleet/demo"), tenants: str = "acme,globex") -> int:
    """Show the whole way: two tenants' Services get addresses and carry bytes, on a real local fleet.

    Parameters
    ----------
    once
        Leave after the last step, with exit code 0 only if every step was true.
    state
        Where the fleet keeps its data.
    tenants
        Names of the tenants, separated by commas.
    """
    from fleetlb_cli.demo.showing import run

    return run(state, tenants, once=once)
