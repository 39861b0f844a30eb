"""Options that say where a fleet is, the exit codes of all that look at one, and how they complain.

Imports no client and no formatter: whoever only wants to know a command's options must not wait for these.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

WELL, WRONG, USAGE, BLIND = 0, 1, 2, 3
INTERRUPTED = 130
SYSTEM_NAMESPACE = "fleetlb-system"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """Options that say where the fleet is."""

    kubeconfig: Annotated[Path | None, Parameter(help="Of the management cluster; $KUBECONFIG otherwise.")] = None
    nats_url: Annotated[str | None, Parameter(help="Where the hub's NATS is.")] = None
    nats_creds: Annotated[
        Path | None, Parameter(help="Credentials file of the hub account; reading streams is enough.")
    ] = None
    state: Annotated[Path | None, Parameter(help="Folder of a local fleet, instead of the three above.")] = None
    system_namespace: Annotated[str, Parameter(help="Where the fleet's processes hold their Leases.")] = (
        SYSTEM_NAMESPACE
    )


HERE = Whereabouts()
Output = Literal["table", "wide", "json", "yaml", "name"]
"""In which form something is printed."""


def complain(text: str, code: int) -> int:
    """Say on standard error what went wrong; returns the exit code."""
    print(text, file=sys.stderr)
    return code
