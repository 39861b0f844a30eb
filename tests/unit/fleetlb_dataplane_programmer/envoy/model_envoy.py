"""A model of the measured behaviour of Envoy 1.40 on a delta stream, without I/O.

It is as unhelpful as the real one: holds back the acknowledgement of Clusters while any warms, forgets endpoints of
Clusters that it does not have, never asks twice, asks for Listeners only once its first Clusters are ready, refuses a
whole push for one bad resource, and after a refusal does not count the good ones among the versions it knows.
"""

from collections import deque

from fleetlb_dataplane_programmer.envoy.delta import Push, Request
from fleetlb_dataplane_programmer.envoy.resources import Kind


class ModelEnvoy:
    """One Envoy process; `connect` begins a stream, `take` handles one push, answers wait in `requests`."""

    def __init__(self) -> None:
        """A fresh process."""
        self.busy: set[str] = set()  # Listeners that cannot bind: refused by name
        self.poison: set[str] = set()  # Listeners that spoil their whole push, namelessly
        self.warming: dict[str, str] = {}
        self.clusters: dict[str, str] = {}
        self.endpoints: dict[str, str] = {}
        self.listeners: dict[str, str] = {}
        self.versions: dict[Kind, dict[str, str]] = {kind: {} for kind in Kind}
        self.asked: set[Kind] = set()
        self.requests: deque[Request] = deque()
        self.received: list[Push] = []
        self._held_back: list[str] = []

    def connect(self) -> None:
        """Begin a stream: tell what is there, per type that is in use."""
        self.requests.clear()
        self._held_back.clear()
        self.asked |= {Kind.CLUSTER}
        for kind in sorted(self.asked):
            self.requests.append(Request(kind=kind, versions=dict(self.versions[kind])))

    def take(self, push: Push) -> None:
        """Apply a push and answer it, now or when nothing warms any more."""
        self.received.append(push)
        error = {
            Kind.CLUSTER: self._take_clusters,
            Kind.ENDPOINTS: self._take_endpoints,
            Kind.LISTENER: self._take_listeners,
        }[push.kind](push)
        for name in push.removed:
            self.versions[push.kind].pop(name, None)
        if error is None:
            self.versions[push.kind].update({name: resource.version for name, resource in push.resources})
        if push.kind is not Kind.CLUSTER:
            self.requests.append(Request(kind=push.kind, nonce=push.nonce, error=error))
        else:
            self._held_back.append(push.nonce)
        if not self.warming:
            self._clusters_ready()

    def time_out_warming(self) -> None:
        """Give up waiting for endpoints: the Clusters go live with what is known of their endpoints."""
        self.clusters |= self.warming
        self.warming.clear()
        self._clusters_ready()

    def _clusters_ready(self) -> None:
        self.requests += [Request(kind=Kind.CLUSTER, nonce=nonce) for nonce in self._held_back]
        self._held_back.clear()
        self._ask_for(Kind.LISTENER)

    def _ask_for(self, kind: Kind) -> None:
        if kind not in self.asked:
            self.asked.add(kind)
            self.requests.append(Request(kind=kind))

    def _take_clusters(self, push: Push) -> None:
        for name in push.removed:
            self.clusters.pop(name, None)
            self.warming.pop(name, None)
            self.endpoints.pop(name, None)
            self.versions[Kind.ENDPOINTS].pop(name, None)
        for name, resource in push.resources:
            if self.warming.get(name, self.clusters.get(name)) != resource.version:
                self.warming[name] = resource.version
                self._ask_for(Kind.ENDPOINTS)

    def _take_endpoints(self, push: Push) -> None:
        for name, resource in push.resources:
            if name in self.warming:
                self.clusters[name] = self.warming.pop(name)
            if name in self.clusters:
                self.endpoints[name] = resource.version

    def _take_listeners(self, push: Push) -> str | None:
        names = [name for name, _ in push.resources]
        for name in names:
            assert name in self.clusters, f"Listener {name} came before its Cluster was ready"
            assert name in self.endpoints, f"Listener {name} came before its endpoints"
        for name in push.removed:
            self.listeners.pop(name, None)
        if self.poison.intersection(names):
            return "Proto constraint validation failed"
        self.listeners |= {name: resource.version for name, resource in push.resources if name not in self.busy}
        refused = [
            f"{name}: cannot bind '{name[:-4]}': Address already in use\n" for name in names if name in self.busy
        ]
        return f"Error adding/updating listener(s) {''.join(refused)}" if refused else None
