"""Who speaks with a manager over the bus: a tenant's watcher and a balancer node, as far as a manager can tell.

Both hold the truth of their side, and say it again whenever they are asked to.
"""

from collections.abc import Callable

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.v1 import (
    InventoryObserved,
    NodeRealized,
    NodesObserved,
    ServiceObserved,
    TenantAllowed,
    VirtualServerDesired,
)
from fleetlb.domain.capabilities import ENGINE_CAPABILITIES, Capability, EngineName
from fleetlb.domain.services import TenantNode, TenantService, digest_of
from fleetlb.domain.virtual_servers import VirtualServerKey
from fleetlb_dataplane_programmer.allowances import Allowances
from fleetlb_dataplane_programmer.deciding import Apply, Decision, Ignored, Refused, Remove
from fleetlb_dataplane_programmer.engine import Outcome, State
from fleetlb_dataplane_programmer.judging import LATE
from fleetlb_dataplane_programmer.programming import Ledger
from fleetlb_manager.identities import ServiceKey
from tests.random.keeping import Everything
from tests.unit.fleetlb_manager.manager_world import READY

Say = Callable[[str, bytes], None]


def _observed(account: str, local: str) -> str:
    """A watcher's own subject as the server rewrites it for the hub."""
    return local.replace("observed.", f"{subjects.ROOT}.observed.{account}.", 1)


class Watcher:
    """One cluster of one tenant, and its watcher."""

    def __init__(self, tenant: str, account: str, number: int, say: Say) -> None:
        self.tenant = tenant
        self.cluster = "cluster-1"
        self.account = account
        self._say = say
        self._nodes = (TenantNode(name="node-a", addresses=(f"10.{number}.0.1",)),)
        self.services: dict[str, TenantService | None] = {}
        """Every Service that there is, by UID; None: it is deleted, and kept by its finalizer."""
        self.shown: dict[str, tuple[str, ...]] = {}
        self.was_partial = False

    def key(self, uid: str) -> ServiceKey:
        return ServiceKey(self.tenant, self.cluster, uid)

    def put(self, uid: str, service: TenantService | None) -> None:
        """The Service is made, edited or deleted."""
        self.services[uid] = service
        self.tell(uid)

    def show(self, uid: str, addresses: tuple[str, ...]) -> None:
        """The Service's status shows these."""
        if self.services.get(uid) is not None and self.shown.get(uid, ()) != addresses:
            self.shown[uid] = addresses
            self.tell(uid)

    def released(self, uid: str) -> None:
        """The hub has let go of a Service: its finalizer goes, and with it the Service."""
        if uid in self.services and self.services[uid] is None:
            del self.services[uid]
            self.shown.pop(uid, None)

    def message(self, uid: str) -> ServiceObserved:
        service, shown = self.services[uid], self.shown.get(uid, ())
        endpoints = READY if service else None
        digest = digest_of((service, endpoints, shown))
        return ServiceObserved(
            digest=digest, wish=digest_of(service), service=service, endpoints=endpoints, shown=shown
        )

    def tell(self, uid: str) -> None:
        """Speak of one Service."""
        self._say(subjects.observed_service(self.account, self.cluster, uid), codec.encode(self.message(uid)))

    def tell_all(self) -> None:
        """Speak of everything."""
        nodes = NodesObserved(nodes=self._nodes)
        self._say(_observed(self.account, subjects.local_observed_nodes(self.cluster)), codec.encode(nodes))
        for uid in list(self.services):
            self.tell(uid)
        self.take_inventory()

    def take_inventory(self, *, partial: bool = False) -> None:
        """Name every Service; a partial one, which no watcher should send, leaves one out, never twice in a row."""
        self.was_partial = partial and not self.was_partial
        named = {uid: self.message(uid).digest for uid in self.services}
        if self.was_partial and named:
            named.popitem()
        said = InventoryObserved(services=named)
        self._say(_observed(self.account, subjects.local_observed_inventory(self.cluster)), codec.encode(said))


class Node:
    """A balancer node with the operator's key, which nobody forges here: its real ledger, and a data plane that does
    what it is asked, or refuses."""

    def __init__(self, name: str, group: str, kept: Everything, say: Say) -> None:
        self.name = name
        self.group = group
        self.is_rejecting = False
        self.is_lagging = False
        self.serving: dict[VirtualServerKey, VirtualServerDesired] = {}
        """What its data plane holds."""
        self.went_back: list[str] = []
        self.refused = 0
        self.late = 0
        self._kept = kept
        self._say = say
        self._allowances = Allowances(operator_key="operator")
        self._said: dict[str, bytes] = {}
        self._ledger = Ledger(name, allow_loopback=False, allowances=self._allowances)
        self._applied: dict[VirtualServerKey, tuple[int, int]] = {}
        self._heard: dict[str, VirtualServerDesired] = {}
        self._rejected: dict[VirtualServerKey, int] = {}

    def hear(self) -> bool:
        """Do what `allowed` and `desired` ask for, and say so. False: nothing new is there."""
        if self.is_lagging:
            return False
        is_news = self._heed()
        for subject, wish in list(self._kept.wishes.items()):
            if self._heard.get(subject) is not wish and subject == subjects.desired(self.group, wish.key):
                self._heard[subject] = wish
                is_news = True
                self._take(wish, self._kept.sequences[subject])
        return is_news

    def _heed(self) -> bool:
        is_news = False
        ours = subjects.allowed_of(self.group).removesuffix(">")
        for subject, body in list(self._kept.streams.items()):
            if not subject.startswith(ours) or self._said.get(subject) is body:
                continue
            self._said[subject] = body
            is_news = True
            said = codec.decode(TenantAllowed, body)
            if not self._allowances.fold(said) or not self._allowances.knows(said.tenant):
                continue
            for key, decision in self._ledger.judge_again(said.tenant):
                self._do(key, decision)
        return is_news

    def try_again(self) -> None:
        """What the data plane refused, it is asked for once more."""
        for key, token in list(self._rejected.items()):
            self._decided(key, token)

    def reconnect(self) -> None:
        """Read `desired` anew, and say everything again."""
        self._heard.clear()
        self._said.clear()
        self._ledger.forget_what_was_asked()
        self.introduce()
        self.hear()
        for key in list(self._ledger.worth_telling()):
            self._tell(key)

    def introduce(self) -> None:
        """Say what it can do."""
        able = (*ENGINE_CAPABILITIES[EngineName.IPVS], Capability.LAYER2)
        said = NodeRealized(node=self.name, group=self.group, engine="ipvs", capabilities=able, ready=True)
        self._say(subjects.realized_node(self.group, self.name), codec.encode(said))

    def restart(self) -> None:
        """The process ends and begins; its state file and its data plane stay."""
        records = self._ledger.records()
        self._ledger = Ledger(self.name, allow_loopback=False, allowances=self._allowances)
        self._rejected.clear()
        for record in records:
            decision = self._ledger.recall(record)
            if isinstance(decision, Apply | Remove):
                self._decided(record.desired.key, decision.token)
        self._heard.clear()

    def _take(self, wish: VirtualServerDesired, sequence: int) -> None:
        decision = self._ledger.fold(wish, 0, sequence=sequence)
        if decision is Ignored.STALE:
            self.refused += 1
        elif decision is Ignored.DUPLICATE:
            self._tell(wish.key)
        else:
            self._do(wish.key, decision)

    def _do(self, key: VirtualServerKey, decision: Decision) -> None:
        if isinstance(decision, Apply | Remove):
            self._rejected.pop(key, None)
            self._decided(key, decision.token)
        elif isinstance(decision, Refused):
            self.late += decision.message == LATE
            self._tell(key)

    def _decided(self, key: VirtualServerKey, token: int) -> None:
        entry = self._ledger.get(key)
        assert entry is not None
        wish = entry.desired
        order = (wish.generation, wish.revision)
        if order < self._applied.get(key, order):
            self.went_back.append(f"V4: {self.name} {key}: {order} after {self._applied[key]}")
        self._applied[key] = order
        if wish.server is None:
            self.serving.pop(key, None)
            self._answer(key, token, State.REMOVED)
        elif self.is_rejecting:
            self._rejected[key] = token
            self._answer(key, token, State.REJECTED)
        else:
            self._rejected.pop(key, None)
            self.serving[key] = wish
            self._answer(key, token, State.PROGRAMMED)

    def _answer(self, key: VirtualServerKey, token: int, state: State) -> None:
        self._ledger.take_outcome(key, Outcome(state=state, token=token), 0)
        self._tell(key)

    def _tell(self, key: VirtualServerKey) -> None:
        said = self._ledger.realized(key)
        if said is not None:
            self._say(subjects.realized(self.group, self.name, key), codec.encode(said))
            self._ledger.note_told(key, said)
