"""The number that the kernel counts up with every change of nftables rules: unchanged, there is nothing to look at."""

import contextlib
import socket

from fleetlb_dataplane_programmer.ipvs.netlink import (
    Flag,
    Frame,
    Malformed,
    encode_message,
    read_attributes,
    read_datagram,
)

_NETLINK_NETFILTER = 12
_NFT_GET_GENERATION = 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_GENERATION_ID = 1
_SECONDS = 1.0


def ruleset_generation() -> int | None:
    """Of the calling thread's network namespace; None if the kernel does not tell."""
    try:
        with contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)) as asking:
            asking.settimeout(_SECONDS)
            # A netfilter message has a header of the same size as a generic-netlink one, of zeros here.
            asking.send(encode_message(_NFT_GET_GENERATION, 0, Flag.REQUEST, 1, b"", 0))
            return _read(asking.recv(4096))
    except (OSError, Malformed):
        return None


def _read(datagram: bytes) -> int | None:
    for message in read_datagram(memoryview(datagram)):
        if isinstance(message, Frame):
            payload = read_attributes(message.body).get(_GENERATION_ID)
            return int.from_bytes(payload, "big") if payload is not None else None
    return None
