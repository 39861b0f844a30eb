"""What the demonstration prints: one line per step, one table, a few commands to try. Formats only."""

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from fleetlb_cli.demo.timeline import HOPS


class Row(msgspec.Struct, frozen=True):
    """One tenant's Service and its way to an address."""

    tenant: str
    service: str
    vip: str
    ports: str
    backends: str
    answer: str
    per_hop: dict[str, float]
    total: float
    first_answer: float


def table_of(rows: Sequence[Row]) -> Table:
    """The one table, a column per tenant: who answers where, and the milliseconds of each hop."""
    table = Table(title="from creating the Service to its address, hop by hop", title_justify="left", show_header=False)
    table.add_column()
    for _ in rows:
        table.add_column(justify="right")
    for name in ("tenant", "service", "vip", "ports", "backends", "answer"):
        table.add_row(name.upper() if name == "vip" else name, *(getattr(row, name) for row in rows))
    table.add_section()
    for hop in HOPS:
        table.add_row(f"{hop} ms", *(f"{row.per_hop[hop]:.1f}" if hop in row.per_hop else "-" for row in rows))
    table.add_section()
    table.add_row("total ms", *(f"{row.total:.1f}" for row in rows))
    table.add_row("first answer ms", *(f"{row.first_answer:.1f}" for row in rows))
    return table


class Teller:
    """Prints steps as they come true or not, and remembers whether all did."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.failures = 0

    def begin(self, text: str) -> None:
        """Say what is being done."""
        self.console.print(f"[bold]»[/] {text}", highlight=False, soft_wrap=True)

    def check(self, text: str, holds: bool, otherwise: str = "") -> None:
        """Say whether a step was true."""
        self.failures += not holds
        mark = "[green]✓[/]" if holds else "[red]✗[/]"
        tail = f": {otherwise}" if otherwise and not holds else ""
        self.console.print(f"  {mark} {text}{tail}", highlight=False, soft_wrap=True)


def lines_to_try(state: str, vip: str) -> list[str]:
    """Commands for a reader who wants to see for himself."""
    return [
        f".venv/bin/kubectl --kubeconfig {state}/clusters/acme/kubeconfig -n demo describe service web",
        f".venv/bin/kubectl --kubeconfig {state}/clusters/management/kubeconfig get fleetlb -A",
        f".venv/bin/kubectl --kubeconfig {state}/clusters/acme/kubeconfig -n demo delete service web",
        f"printf 'who\\n' | nc {vip} 8080",
        f".venv/bin/fleetlb local kill manager --state {state}",
    ]
