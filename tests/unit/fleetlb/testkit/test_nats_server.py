import os
from pathlib import Path

import pytest

from fleetlb.runtime.nats_accounts import parse_creds
from fleetlb.testkit.nats_server import NatsServer

pytestmark = pytest.mark.integration


def test_it_starts_on_a_free_port_and_keeps_it_over_a_restart(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    try:
        url, pid = server.url, server.pid
        assert server.port > 0
        server.restart(hard=True)
        assert server.url == url
        assert server.pid != pid
        os.kill(server.pid, 0)
    finally:
        server.stop()


def test_it_takes_the_port_reserved_for_it(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.reserve_port()
    port = server.port
    server.start()
    server.kill()
    assert server.port == port


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, binary=Path("/bin/false"))
    with pytest.raises(AssertionError, match="did not start"):
        server.start()


def test_another_server_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = NatsServer(tmp_path / "one"), NatsServer(tmp_path / "two")
    first.start()
    try:
        second._port = first.port
        with pytest.raises(AssertionError):
            second.start()
    finally:
        second.kill()
        first.kill()


def test_minted_tenants_have_usable_credentials(tmp_path: Path) -> None:
    tenant = NatsServer(tmp_path).mint_tenant("acme")
    jwt, seed = parse_creds(tenant.creds.read_text())
    assert jwt.count(".") == 2
    assert seed.startswith("SU")
