"""What must hold at every instant, whatever happened: looked at after each effect. Numbers as in `tests/random`."""

from fleetlb.contracts.objects import ClaimPhase
from fleetlb.contracts.v1 import RealizedState
from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey
from fleetlb.testkit.fake_kube import Object
from tests.simulation.outside import POOL, QUARANTINE_SECONDS
from tests.simulation.picture import Order, Owned, Picture, order_of, tenant_of

HELD = (ClaimPhase.BOUND, ClaimPhase.RELEASING)


class Promises:
    """Watches the world, and writes down each promise that is broken, once."""

    def __init__(self, picture: Picture) -> None:
        self.broken: dict[str, None] = {}
        self.retyped: set[str] = set()
        """UIDs of Services that gave up their address by themselves once, and may have another."""
        self._picture = picture
        self._carried: set[VirtualServerKey] = set()
        """What every node of some group carries, or carried."""
        self._bound: dict[str, str] = {}
        self._rests: dict[str, tuple[str, float]] = {}
        self._said: dict[tuple[str, VirtualServerKey], Order] = {}

    def check(self) -> None:
        """Now."""
        claims = self._picture.claims
        services = {service.uid: service for service in self._picture.services}
        for address, claim in claims.items():
            self._claim(address, claim, services)
        for address in [address for address in self._rests if address not in claims]:
            self._freed(address)
        for uid, item in self._picture.load_balancers.items():
            # The object of a Service that is gone may outlive its claim, where the stream that told so was lost.
            service = services.get(uid)
            is_wanted = service is not None and service.is_wanted and uid not in self.retyped
            for address in item["spec"].get("addresses", ()) if is_wanted else ():
                if address not in claims or _owner(claims[address]) != uid:
                    self._break("A1", f"load balancer {uid} names {address}, which it has not claimed")
        self._kernels(claims)
        for service in services.values():
            if service.is_wanted and service.uid not in self.retyped and self._is_in(service.tenant):
                self._shown(service, claims)
        self._words()
        self._carried_all_along(claims)

    def _carried_all_along(self, claims: dict[str, Object]) -> None:
        """Make before break: what all nodes of a group have carried once, all nodes of one group carry from then on."""
        planes, groups = self._picture.outside.planes, self._picture.outside.groups
        keys = {key for plane in planes.values() for key in plane}
        for key in keys | self._carried:
            spec = claims.get(key.address, {"spec": {}})["spec"]
            is_its = spec.get("phase", ClaimPhase.BOUND) == ClaimPhase.BOUND and f"{key.port}/TCP" in spec.get(
                "ports", ()
            )
            if any(all(key in planes[node] for node in nodes) for nodes in groups.values()):
                self._carried.add(key)
            elif key in self._carried and is_its:
                self._break("M", f"no group carries {key} any more, which {spec} has")
            if not is_its:
                self._carried.discard(key)

    def _claim(self, address: str, claim: Object, services: dict[str, Owned]) -> None:
        uid, phase = _owner(claim), claim["spec"].get("phase", ClaimPhase.BOUND)
        if address not in POOL:
            self._break("A3", f"{address} is claimed, and lies in no pool")
        tenant = claim["spec"]["owner"]["tenant"]
        service = services.get(uid)
        is_in = self._is_in(tenant)
        if phase in HELD and is_in and (service is None or not service.is_guarded):
            self._break("V3", f"{address} is {phase} for {uid}, which could go unnoticed")
        if phase == ClaimPhase.BOUND:
            before = self._bound.setdefault(uid, address)
            if before != address and uid not in self.retyped:
                self._break("A4", f"{service or uid} had {before}, and gets {address}")
        elif service is not None and service.is_wanted and is_in and uid not in self.retyped:
            self._break("A4", f"{service} wants {address}, which is {phase}")
        if phase == ClaimPhase.QUARANTINED:
            self._rests.setdefault(address, (claim["metadata"]["uid"], self._picture.outside.seconds()))
        elif address in self._rests:
            self._freed(address)

    def _is_in(self, tenant: str) -> bool:
        """Whether a tenant is let in, and not on its way out."""
        item = self._picture.tenants.get(tenant)
        return item is not None and "deletionTimestamp" not in item["metadata"]

    def _freed(self, address: str) -> None:
        """A claim that rested is gone."""
        _, since = self._rests.pop(address)
        rested = self._picture.outside.seconds() - since
        if rested < QUARANTINE_SECONDS - 0.01:
            self._break("A7", f"{address} rested for {rested:.3f} s")

    def _kernels(self, claims: dict[str, Object]) -> None:
        for node, plane in self._picture.outside.planes.items():
            for key, server in plane.items():
                claim = claims.get(key.address)
                if claim is None or claim["spec"].get("phase") == ClaimPhase.QUARANTINED:
                    self._break("A7", f"{node} serves {key}, which nobody has")
                else:
                    self._kernel(node, server, claim["spec"]["owner"]["tenant"])

    def _kernel(self, node: str, server: VirtualServer, owner: str) -> None:
        for real_server in server.real_servers:
            if tenant_of(real_server.address) != owner:
                self._break("A2", f"{node} sends clients of {server.key}, which is {owner}'s, to {real_server.address}")

    def _shown(self, service: Owned, claims: dict[str, Object]) -> None:
        for address in service.shown:
            if address not in claims or _owner(claims[address]) != service.uid:
                self._break("V10", f"{service} shows {address}, which it has not")

    def _words(self) -> None:
        """What a node has just said is true, and nothing older than it said before."""
        wishes, words = self._picture.wishes, self._picture.words
        for place, word in words.items():
            order, before = order_of(word), self._said.get(place)
            if before is not None and order < before:
                self._break("V4", f"{place[0]} speaks of {place[1]} at {order} after {before}")
            if order == before:
                continue
            self._said[place] = order
            node, key = place
            wish, held = (
                wishes.get((self._picture.outside.group_of[node], key)),
                self._picture.outside.planes[node].get(key),
            )
            if wish is None or order_of(wish) != order:
                continue
            if word.state is RealizedState.PROGRAMMED and held != wish.server:
                self._break("V10", f"{node} says that it serves {key} at {order}, and does not")
            if word.state is RealizedState.REMOVED and held is not None:
                self._break("A7", f"{node} says that it let go of {key} at {order}, and did not")

    def _break(self, promise: str, what: str) -> None:
        if len(self.broken) < 20:
            self.broken.setdefault(f"{promise}: {what}")


def _owner(claim: Object) -> str:
    uid: str = claim["spec"]["owner"]["serviceUID"]
    return uid
