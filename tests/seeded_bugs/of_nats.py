"""Bugs of how NATS is reached, and of what its users may say there."""

from tests.seeded_bugs.bugs import UNIT, Bug

_RUNTIME = "libs/fleetlb/runtime"
_TLS = ("tests/integration/test_nats_tls.py",)
_NODES = ("tests/integration/test_isolation_nodes.py",)

OF_NATS = (
    Bug(
        "who we are is said in the clear where TLS was asked for",
        f"{_RUNTIME}/nats_tls.py",
        "        if self._transport is None or not _is_encrypted(self._transport):\n",
        "        if self._transport is None:\n",
        _TLS,
    ),
    Bug(
        "a certificate is read once and for all",
        f"{_RUNTIME}/nats_tls.py",
        "    def context(self) -> ssl.SSLContext:\n",
        "    @__import__('functools').cache  # type: ignore\n    def context(self) -> ssl.SSLContext:\n",
        _TLS,
    ),
    Bug(
        "a node speaks for others of its group",
        f"{_RUNTIME}/nats_permissions.py",
        "            subjects.realized_by(group, node),\n",
        "            subjects.realized_of(group),\n",
        _NODES,
    ),
    Bug(
        "a node hears what others are answered",
        f"{_RUNTIME}/nats_permissions.py",
        'subscribe=(f"{subjects.node_inbox(group, node)}.>",)',
        'subscribe=("_INBOX.>",)',
        _NODES,
    ),
    Bug(
        "copies of a stream that an operator added are taken away",
        f"{_RUNTIME}/stream_config.py",
        'max(spec.replicas, actual.get("num_replicas") or 1)',
        "spec.replicas",
        (f"{UNIT}/fleetlb/runtime/test_stream_config.py",),
    ),
)
