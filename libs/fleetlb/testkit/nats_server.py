"""A real nats-server in operator mode on a free port, for tests.

It asserts that its child lives and that the server it reached is the one it started: another server on the same port
would otherwise pass every health check and prove nonsense.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from fleetlb.runtime import nats_accounts as minting
from fleetlb.runtime.nats_config import ServerConfig, ServerTls, server_config
from fleetlb.runtime.nats_permissions import Permissions

START_SECONDS = 15.0


class TenantAccount(msgspec.Struct, frozen=True):
    """One minted tenant: its account, and credentials of a user in it."""

    name: str
    account: str
    account_seed: str
    jwt: str
    creds: Path


class NatsServer:
    """One server process with a hub and a system account. The port and the data survive `restart`."""

    def __init__(
        self, directory: Path, *, binary: Path | None = None, tls: ServerTls | None = None, host: str = "127.0.0.1"
    ) -> None:
        """`directory` must be empty; everything the server needs is written there. `host`: where it listens, in the
        network namespace of the thread that starts it."""
        self._host = host
        self._tls = tls
        self.directory = directory
        self.operator_seed = minting.new_seed(minting.KeyKind.OPERATOR)
        self.system_seed = minting.new_seed(minting.KeyKind.ACCOUNT)
        self.hub_seed = minting.new_seed(minting.KeyKind.ACCOUNT)
        self.system_account = minting.public_key(self.system_seed)
        self.hub_account = minting.public_key(self.hub_seed)
        self.name = f"test-{secrets.token_hex(8)}"
        self.log = directory / "nats.log"
        self.hub_creds = self.write_creds("hub", self.hub_seed)
        self.system_creds = self.write_creds("system", self.system_seed)
        self._binary = binary or Path(sys.executable).with_name("nats-server")
        self._port = -1
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect; stable from the first start on."""
        return f"{'tls' if self._tls else 'nats'}://{self._host}:{self._port}"

    @property
    def port(self) -> int:
        """The port of `url`."""
        return self._port

    @property
    def pid(self) -> int:
        """The running server's process id."""
        assert self._child is not None, "the server was not started"
        return self._child.pid

    def reserve_port(self) -> None:
        """Choose the port before the first start, for tests of a server that is not there yet."""
        with socket.socket() as probe:
            probe.bind((self._host, 0))
            self._port = probe.getsockname()[1]

    def start(self) -> None:
        """Start the server and wait until it greets under the name given to it."""
        config = self._configuration()
        path = self.directory / "nats.conf"
        path.write_text(server_config(config))
        with self.log.open("ab") as log:
            self._child = subprocess.Popen([self._binary, "-c", path], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._greets():
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"nats-server did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once."""
        self._end(signal.SIGKILL)

    def restart(self, *, hard: bool = False) -> None:
        """End and start again with the same port and data; `hard` kills it."""
        self._end(signal.SIGKILL if hard else signal.SIGTERM)
        self.start()

    def reload(self) -> None:
        """Have it read its configuration and its certificates again; whoever is connected stays."""
        self._signal(signal.SIGHUP)

    def pause(self) -> None:
        """Stop the process without closing its sockets; when this returns, none of its threads runs any more."""
        self._signal(signal.SIGSTOP)
        assert self._child is not None
        os.waitid(os.P_PID, self._child.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal(signal.SIGCONT)

    def mint_tenant(self, name: str, *, permissions: Permissions | None = None) -> TenantAccount:
        """A tenant's account and user, not yet pushed to the server."""
        seed = minting.new_seed(minting.KeyKind.ACCOUNT)
        account = minting.public_key(seed)
        claims = minting.tenant_account_claims(name, account, self.hub_account)
        jwt = minting.account_jwt(claims, account, self.operator_seed, issued_at=int(time.time()))
        creds = self.write_creds(f"tenant-{name}", seed, permissions=permissions)
        return TenantAccount(name, account, seed, jwt, creds)

    def write_creds(self, name: str, account_seed: str, *, permissions: Permissions | None = None) -> Path:
        """A new user of an account, as a credentials file."""
        seed = minting.new_seed(minting.KeyKind.USER)
        user = minting.public_key(seed)
        jwt = minting.user_jwt(name, user, account_seed, issued_at=int(time.time()), permissions=permissions)
        path = self.directory / f"{name}.creds"
        path.write_text(minting.creds_file(jwt, seed))
        return path

    def _configuration(self) -> ServerConfig:
        now = int(time.time())
        sign = self.operator_seed
        hub = minting.account_jwt(minting.hub_account_claims(), self.hub_account, sign, issued_at=now)
        system = minting.account_jwt(minting.system_account_claims(), self.system_account, sign, issued_at=now)
        return ServerConfig(
            name=self.name,
            operator_jwt=minting.operator_jwt("test", sign, system_account=self.system_account, issued_at=now),
            system_account=self.system_account,
            accounts={self.hub_account: hub, self.system_account: system},
            directory=self.directory,
            host=self._host,
            port=self._port,
            ports_directory=self.directory,
            tls=self._tls,
        )

    def _greets(self) -> bool:
        if self._port == -1 and not self._learn_port():
            return False
        try:
            with socket.create_connection((self._host, self._port), timeout=1.0) as connection:
                greeting = connection.makefile("rb").readline()
        except OSError:
            return False
        info = msgspec.json.decode(greeting.removeprefix(b"INFO "))
        assert info["server_name"] == self.name, "another server answers on this port"
        return True

    def _learn_port(self) -> bool:
        for path in self.directory.glob(f"*_{self.pid}.ports"):
            try:
                urls = msgspec.json.decode(path.read_bytes())["nats"]
            except (msgspec.DecodeError, KeyError):
                return False
            self._port = int(urls[0].rsplit(":", 1)[1])
            return True
        return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None, "the server was not started"
        self._child.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.send_signal(number)
            self._child.wait(timeout=15)
        self._child = None
