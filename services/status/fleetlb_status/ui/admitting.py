"""Whose view a request gets. Pure.

Without a trusted header everybody who reaches the page is an operator: it listens on the loopback alone then, and
answers no name but the loopback's, as a web site could have its own name resolve to it.
"""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from fleetlb.domain.errors import FleetlbError
from fleetlb_status.ui.views import OPERATOR, View

EVERYTHING = "*"
"""What the header says of an operator."""
_TENANT = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class TurnedAway(FleetlbError):
    """A request that is not answered as asked; says by which field, and what to do."""

    def __init__(self, status: int, field: str, problem: str, cure: str) -> None:
        """`status`: of HTTP."""
        super().__init__(f"{field}: {problem}; {cure}")
        self.status = status
        self.field = field
        self.problem = problem
        self.cure = cure


def admit(header: str, values: Sequence[str], host: str) -> View:
    """The view of a request; `values`: all that it says under the trusted header, which is empty where there is none.

    Raises TurnedAway.
    """
    if not header:
        if not is_loopback(_without_port(host)):
            raise TurnedAway(
                421, "Host", f"{host[:80]!r} is not the loopback's", "open the page at http://127.0.0.1 or localhost"
            )
        return OPERATOR
    if len(values) != 1:
        said = "is missing" if not values else "is there more than once"
        raise TurnedAway(403, header, said, "open the page through the proxy that sets it, once")
    if values[0] == EVERYTHING:
        return OPERATOR
    if not _TENANT.fullmatch(values[0]):
        raise TurnedAway(403, header, "is no tenant's name", f"have the proxy set one, or {EVERYTHING} for operators")
    return View(values[0])


def is_loopback(host: str) -> bool:
    """Whether a host, as written in an address or URL without its port, is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _without_port(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
