"""One interface, by packet sockets: reads questions that the kernel's filter lets through, and sends frames.

Decides nothing. Sockets belong to the network namespace of the thread that opens them. Needs CAP_NET_RAW.
"""

import contextlib
import ctypes
import errno
import fcntl
import socket
import struct
from collections.abc import Iterator

import msgspec

from fleetlb_dataplane_programmer.layer2 import filtering

_SO_ATTACH_FILTER, _SOL_PACKET, _ADD_MEMBERSHIP, _ALL_MULTICAST = 26, 263, 1, 2
_GET_FLAGS, _GET_HARDWARE, _GET_INDEX = 0x8913, 0x8927, 0x8933  # SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFINDEX
_UP, _RUNNING, _ETHERNET = 0x1, 0x40, 1
_NAME_BYTES = 15


class LinkUnusable(Exception):
    """There is no speaking on the interface at this moment: the text says why, and names the cure if there is one."""


class Appearance(msgspec.Struct, frozen=True):
    """An interface that can be spoken on. What differs in it calls for a new `Link`."""

    index: int
    mac: bytes


def check_name(interface: str) -> str:
    """The name, if an interface can have it. Raises ValueError."""
    is_plain = not any(letter in "/:" or letter.isspace() for letter in interface)
    if not (interface.isascii() and is_plain and 0 < len(interface) <= _NAME_BYTES):
        raise ValueError(f"{interface[:64]!r} is no name of an interface")
    if interface in (".", "..", "all", "default"):  # for the kernel's switches these are no interfaces
        raise ValueError(f"no interface is called {interface!r}")
    return interface


def look(interface: str) -> Appearance:
    """What the interface looks like now. Raises LinkUnusable."""
    name = interface.encode("ascii").ljust(_NAME_BYTES + 1, b"\0")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            index, flags, (kind, mac) = (
                struct.unpack_from(form, fcntl.ioctl(asking, what, name + bytes(24)), len(name))
                for what, form in ((_GET_INDEX, "@i"), (_GET_FLAGS, "@H"), (_GET_HARDWARE, "@H6s"))
            )
    except OSError as problem:
        if problem.errno == errno.ENODEV:
            raise LinkUnusable(f"interface {interface} is not there") from problem
        raise LinkUnusable(f"interface {interface} cannot be looked at: {problem.strerror}") from problem
    if kind != _ETHERNET:
        raise LinkUnusable(f"interface {interface} is no Ethernet: name one that VIPs are reached over")
    if not flags[0] & _UP:
        raise LinkUnusable(f"interface {interface} is down")
    if not flags[0] & _RUNNING:
        raise LinkUnusable(f"interface {interface} has no carrier")
    return Appearance(index[0], mac)


class Link:
    """Packet sockets on an interface as it looked; once it looks different, they are of no use."""

    def __init__(self, interface: str, appearance: Appearance) -> None:
        """Open them. Raises LinkUnusable."""
        self.appearance = appearance
        with contextlib.ExitStack() as undo:
            try:
                self._arp = undo.enter_context(
                    open_filtered(interface, filtering.ETHERTYPE_ARP, filtering.arp_requests())
                )
                self._ipv6 = undo.enter_context(
                    open_filtered(interface, filtering.ETHERTYPE_IPV6, filtering.solicitations())
                )
                # Or the interface itself drops the groups that no socket has joined yet.
                request = struct.pack("@iHH8s", appearance.index, _ALL_MULTICAST, 0, b"")
                self._ipv6.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
            except PermissionError as problem:
                raise LinkUnusable("no packet socket may be opened: give this process CAP_NET_RAW") from problem
            except OSError as problem:
                raise LinkUnusable(f"interface {interface} cannot be opened: {problem.strerror}") from problem
            self.sockets = (self._arp, self._ipv6)
            undo.pop_all()

    def close(self) -> None:
        """Close them."""
        for opened in self.sockets:
            opened.close()

    @property
    def is_current(self) -> bool:
        """Whether the interface has the number and MAC still that it had. One system call."""
        try:
            *_, kind, mac = self._arp.getsockname()
        except OSError:
            return False
        return bool(kind == _ETHERNET and mac == self.appearance.mac)

    def read(self, opened: socket.socket, limit: int) -> Iterator[bytes]:
        """Frames that arrived at one of the sockets, at most so many. Raises LinkUnusable."""
        for _ in range(limit):
            try:
                frame = opened.recv(filtering.FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError as problem:
                raise LinkUnusable(f"the interface cannot be read: {problem.strerror}") from problem
            yield frame

    def send(self, frame: bytes) -> bool:
        """Send a frame; whether the interface took it. A full queue loses it, as the link itself may."""
        is_arp = frame[12:14] == filtering.ETHERTYPE_ARP.to_bytes(2, "big")
        try:
            return (self._arp if is_arp else self._ipv6).send(frame) == len(frame)
        except OSError:
            return False


def open_filtered(interface: str, ethertype: int, program: bytes) -> socket.socket:
    """A packet socket on an interface, of what the program lets through alone. Raises OSError."""
    with contextlib.ExitStack() as undo:
        # Of no protocol until the filter is there, or what arrives before would be read too.
        opened = undo.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        opened.setblocking(False)
        lines = ctypes.create_string_buffer(program, len(program))
        opened.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(lines))
        )
        opened.bind((interface, ethertype))
        undo.pop_all()
    return opened
