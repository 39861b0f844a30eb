"""Local ranges, in a network of their own so that the machine's stays as it is."""

import pytest

from fleetlb_cli.local.routes import LocalRanges, RoutesError
from tests.integration.private_network import run_in_private_network

pytestmark = pytest.mark.integration

SCRIPT = """
import socket, subprocess
from fleetlb_cli.local.routes import LocalRanges, NONLOCAL_BIND

def bind(address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((address, 0))
        server.listen()
        with socket.create_connection(server.getsockname()[:2], timeout=5):
            return True

ranges = LocalRanges()
ranges.add(["198.18.7.0/24"])
assert bind("198.18.7.9") and NONLOCAL_BIND.read_text().strip() == "0"
ranges.add(["fd7f:f1ee:7b:4d::/112", "fd7f:f1ee:7b:a::/64"])
assert bind("fd7f:f1ee:7b:4d::1") and bind("fd7f:f1ee:7b:a::7")

LocalRanges().add(["fd7f:f1ee:7b:4d::/112"])  # left by a crash: taken over
ranges.remove()
assert NONLOCAL_BIND.read_text().strip() == "0"
for family in ("-4", "-6"):
    left = subprocess.run(["ip", family, "route", "show", "table", "local"], capture_output=True, text=True).stdout
    assert "fd7f" not in left and "198.18" not in left, left
try:
    bind("fd7f:f1ee:7b:4d::1")
except OSError:
    print("as before")
"""


def test_ranges_are_added_and_taken_back() -> None:
    answer = run_in_private_network(SCRIPT)
    if answer is not None:
        assert answer.stdout == "as before\n", answer.stderr
    else:  # then this user cannot add routes either, and is told so
        with pytest.raises(RoutesError, match="ip"):
            LocalRanges().add(["fd7f:f1ee:7b:4d::/112"])
