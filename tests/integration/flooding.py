"""One who writes to a server as fast as it reads, from a thread of its own so that measuring goes on.

Must not read what the server answers, and must not know what it sends.
"""

import contextlib
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from fleetlb.runtime.nats_accounts import parse_creds, sign_nonce


class Flood:
    """Sends the same lines of the protocol over and over while in its block. `messages`: how many they are."""

    def __init__(self, port: int, creds: Path, lines: bytes, messages: int) -> None:
        """Not begun yet."""
        self._lines, self._messages = lines, messages
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._greet(creds)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._over = threading.Event()
        self._rounds = 0
        self._began = 0.0

    @property
    def sent(self) -> int:
        """How many messages so far."""
        return self._rounds * self._messages

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.sent / (time.monotonic() - self._began)

    def say(self) -> None:
        """Send the lines once."""
        self._socket.sendall(self._lines)

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        """Begin."""
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._over.set()
        self.close()
        self._thread.join()

    def _greet(self, creds: Path) -> None:
        with self._socket.makefile("rb") as reader:
            info = msgspec.json.decode(reader.readline().removeprefix(b"INFO "))
            jwt, seed = parse_creds(creds.read_text())
            signature = sign_nonce(seed, info["nonce"]).decode()
            greeting = {"jwt": jwt, "sig": signature, "verbose": False, "headers": True, "lang": "x", "version": "0"}
            self._socket.sendall(b"CONNECT " + msgspec.json.encode(greeting) + b"\r\nPING\r\n")
            assert reader.readline().startswith(b"PONG")

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                self._socket.sendall(self._lines)
                self._rounds += 1


def publications(subjects: list[str], body: bytes, reply: str = "") -> bytes:
    """The lines that say a body on each of the subjects."""
    words = [f"{subject} {reply}".strip().encode() for subject in subjects]
    return b"".join(b"PUB %b %d\r\n%b\r\n" % (word, len(body), body) for word in words)
