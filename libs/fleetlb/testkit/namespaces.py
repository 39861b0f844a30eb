"""Network namespaces joined by veth pairs, for tests that send real packets. Needs root; Linux only.

A namespace lives as long as the object: nothing is named in the file system, and a killed test leaves nothing behind.
A socket belongs for good to the namespace in which it was made, so `with ns.entered(): socket.socket()` is all that a
client or a server needs; it may be used outside. A subprocess inherits the namespace of the thread that starts it.

Must not know IPVS or what is tested.
"""

import contextlib
import ctypes
import ipaddress
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

_CLONE_NEWNET = 0x40000000
_SECONDS = 20.0
_LIBC = ctypes.CDLL(None, use_errno=True)
Result = TypeVar("Result")


class Namespace:
    """One network namespace with `lo` up, empty otherwise. Use it as a context manager, also on an event loop."""

    def __init__(self, name: str) -> None:
        """`name` is for messages only. Raises OSError without the right to make a namespace."""
        self.name = name
        self.descriptor = _in_thread(_fresh_namespace)
        """An open file of the kernel's that stands for it, such as a veth's other end wants."""
        try:
            with self.entered():
                self._links = _Links()
            self.up("lo")
            # Or the link-local address of each new device is unusable, and its neighbours unreachable, for 2 s.
            for scope in ("all", "default"):
                self.sysctl(f"net.ipv6.conf.{scope}.accept_dad", 0)
        except BaseException:
            os.close(self.descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Namespace({self.name!r})"

    def close(self) -> None:
        """Let go of it; the kernel takes it down when its last socket is closed too."""
        self._links.close()
        os.close(self.descriptor)

    @contextlib.contextmanager
    def entered(self) -> Iterator[Self]:
        """Within, the current thread is in this namespace. On an event loop: without awaiting anything."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self.descriptor)
            try:
                yield self
            finally:
                _enter(before)
        finally:
            os.close(before)

    def run_in_thread(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, done in a thread that is in this namespace; what it raises is raised here."""

        def entered() -> Result:
            _enter(self.descriptor)
            return work()

        return _in_thread(entered)

    def run(self, *command: str, stdin: str = "") -> str:
        """Standard output of a command. Raises AssertionError with its standard error if it fails."""
        with self.entered():
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} in {self.name}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def up(self, device: str) -> None:
        """Bring a device up."""
        self._links.set_up(self.index_of(device), up=True)

    def down(self, device: str) -> None:
        """Bring a device down; what routes over it is lost."""
        self._links.set_up(self.index_of(device), up=False)

    def add_device(self, device: str, kind: str) -> None:
        """A new device, up: `dummy`, `bridge` …"""
        self._links.add(device, kind)
        self.up(device)

    def add_pair(self, device: str, other: "Namespace", peer: str) -> None:
        """A veth pair, both ends down, the other end in another namespace."""
        self._links.add_pair(device, other.descriptor, peer)

    def address(self, device: str, address: str) -> None:
        """Give a device an address, `10.0.0.1/24`, at once usable also if it is v6."""
        self._links.add_address(self.index_of(device), ipaddress.ip_interface(address))

    def route(self, destination: str, via: str) -> None:
        """Send what goes to a network to the router at `via`."""
        self._links.add_route(ipaddress.ip_network(destination), ipaddress.ip_address(via))

    def default_route(self, via: str) -> None:
        """Send what goes anywhere else to the router at `via`."""
        self.route("::/0" if ":" in via else "0.0.0.0/0", via)

    def sysctl(self, name: str, value: object) -> None:
        """Set `net.ipv4.ip_forward` and the like; a device's dot is written as a slash, as `sysctl` wants it."""
        with self.entered():
            _sysctl_file(name).write_text(str(value))

    def read_sysctl(self, name: str) -> str:
        """What a sysctl says."""
        with self.entered():
            return _sysctl_file(name).read_text().strip()

    def index_of(self, device: str) -> int:
        """A device's number. Raises OSError if there is none of that name."""
        with self.entered():
            return socket.if_nametoindex(device)


def connect(
    one: Namespace, device: str, addresses: Sequence[str], other: Namespace, peer: str, peer_addresses: Sequence[str]
) -> None:
    """Join two namespaces by a veth pair, both ends up, with these addresses (`10.0.0.1/24`, `fd00::1/64`)."""
    one.add_pair(device, other, peer)
    # Up before the addresses, or the first packet of v6 waits a second for its neighbour.
    one.up(device)
    other.up(peer)
    for namespace, end, its_addresses in ((one, device, addresses), (other, peer, peer_addresses)):
        for address in its_addresses:
            namespace.address(end, address)


def _sysctl_file(name: str) -> Path:
    return Path("/proc/sys", *(part.replace("/", ".") for part in name.split(".")))


def _fresh_namespace() -> int:
    if _LIBC.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot make a network namespace: this needs root")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def _in_thread(work: Callable[[], Result]) -> Result:
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if errors:
        raise errors[0]
    if not results:
        raise AssertionError(f"not done after {_SECONDS:.0f} s: {work!r}")
    return results[0]


class _Links:
    """A routing-netlink socket of the namespace in which it is made; each request is acknowledged before the next."""

    _NEW_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 20, 24
    _REQUEST_ACK, _CREATE_EXCLUSIVELY = 0x05, 0x600
    _NAME, _LINK_INFO, _NAMESPACE, _KIND, _DATA, _PEER = 3, 18, 28, 1, 2, 1
    _UP, _NO_DUPLICATE_DETECTION = 0x1, 0x02  # IFF_UP, IFA_F_NODAD

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_SECONDS)

    def close(self) -> None:
        self._socket.close()

    def set_up(self, index: int, *, up: bool) -> None:
        self._ask(self._NEW_LINK, struct.pack("=BxHiII", 0, 0, index, self._UP if up else 0, self._UP), flags=0)

    def add(self, device: str, kind: str) -> None:
        info = _attribute(self._LINK_INFO, _attribute(self._KIND, kind.encode()))
        self._ask(self._NEW_LINK, bytes(16) + _attribute(self._NAME, device.encode() + b"\0") + info)

    def add_pair(self, device: str, namespace: int, peer: str) -> None:
        end = _attribute(self._NAME, peer.encode() + b"\0") + _attribute(self._NAMESPACE, struct.pack("=I", namespace))
        data = _attribute(self._DATA, _attribute(self._PEER, bytes(16) + end))
        info = _attribute(self._LINK_INFO, _attribute(self._KIND, b"veth") + data)
        self._ask(self._NEW_LINK, bytes(16) + _attribute(self._NAME, device.encode() + b"\0") + info)

    def add_address(self, index: int, address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> None:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        flags = self._NO_DUPLICATE_DETECTION if address.version == 6 else 0
        header = struct.pack("=BBBBI", family, address.network.prefixlen, flags, 0, index)
        packed = address.ip.packed
        self._ask(self._NEW_ADDRESS, header + _attribute(1, packed) + _attribute(2, packed))

    def add_route(
        self,
        destination: ipaddress.IPv4Network | ipaddress.IPv6Network,
        via: ipaddress.IPv4Address | ipaddress.IPv6Address,
    ) -> None:
        family = socket.AF_INET6 if via.version == 6 else socket.AF_INET
        # table main, protocol boot, scope universe, unicast
        header = struct.pack("=BBBBBBBBI", family, destination.prefixlen, 0, 0, 254, 3, 0, 1, 0)
        where = _attribute(1, destination.network_address.packed) if destination.prefixlen else b""
        self._ask(self._NEW_ROUTE, header + where + _attribute(5, via.packed))

    def _ask(self, kind: int, body: bytes, flags: int = _CREATE_EXCLUSIVELY) -> None:
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, self._REQUEST_ACK | flags, 1, 0) + body)
        error = -struct.unpack_from("=i", self._socket.recv(4096), 16)[0]
        if error:
            raise OSError(error, os.strerror(error))


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)
