"""Claims of ports and ranges across processes."""

import socket
import subprocess
import sys
from contextlib import closing

from fleetlb_cli.local import ports
from fleetlb_cli.local.ports import Claims

NAME = "test-of-claims/1"


def test_two_fleets_never_hold_the_same() -> None:
    with closing(Claims()) as one, closing(Claims()) as two:
        assert one.take(NAME)
        assert one.take(NAME)  # its own already
        assert not two.take(NAME)
        one.close()
        assert two.take(NAME)


def test_a_claim_ends_with_its_process() -> None:
    code = f"from fleetlb_cli.local.ports import Claims; import os; assert Claims().take({NAME!r}); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
    with closing(Claims()) as claims:
        assert claims.take(NAME)


def test_the_first_that_nobody_holds_is_taken_even_from_oneself() -> None:
    with closing(Claims()) as one, closing(Claims()) as two:
        one.take("test-of-claims/5")
        assert two.take_first("test-of-claims", [5, 6, 7]) == 6
        assert two.take_first("test-of-claims", [5, 6, 7]) == 7
        assert two.take_first("test-of-claims", [5, 6, 7]) is None


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not ports.is_free(server.getsockname()[1])


def test_taken_ports_are_free_and_differ() -> None:
    with closing(Claims()) as claims:
        taken = {claims.take_port() for _ in range(20)}
        assert len(taken) == 20
        assert all(ports.is_free(port) for port in taken)
