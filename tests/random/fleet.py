"""A small fleet around one manager: how its parts are moved on, what is counted, and how all is healed in the end."""

from fleetlb.contracts import subjects
from fleetlb.contracts.objects import ClaimPhase
from fleetlb.domain.conditions import Reason
from fleetlb.domain.services import TenantService
from tests.random.healing import faults, keys_of, misjudged
from tests.random.keeping import Everything
from tests.random.outside import Node, Watcher
from tests.random.process import Process
from tests.random.promises import Promises
from tests.random.ranges import lies_in
from tests.unit.fleetlb_manager.manager_world import HandClock

FOREVER = 100_000


class Fleet:
    """Two tenants' watchers, balancer nodes, a bus, what is kept, the manager that acts and those that did."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.kept = Everything(self.clock)
        self.promises = Promises(self.kept, self.clock)
        self.kept.on_published = self._arrive
        self.kept.on_notified = self._notified
        self.uids = 0
        self.names = 0
        self.lose = 0
        self.hold = 0
        self.aside: list[tuple[str, bytes]] = []
        self.pace = FOREVER
        self.objects_lag = False
        self.messages_lag = False
        self.stale: list[Process] = []
        self.seed = 0
        self.now: Process | None = None
        self.watchers: list[Watcher] = []

    @property
    def process(self) -> Process:
        assert self.now is not None
        return self.now

    def _heal(self) -> None:
        self.lose = self.hold = 0
        self.objects_lag = self.messages_lag = False
        self._end_of_the_stale()
        self.process.gate.stop_in = self.process.gate.fail_in = 0
        for node in self.promises.nodes.values():
            node.is_lagging = node.is_rejecting = False
            node.try_again()
        self._let_through()
        self._reconnect(True)
        for seconds in (1.0, 11.0, 31.0, 11.0, 61.0, 31.0, 11.0, 61.0):
            for task in list(self.process.driver.held):
                self.process.driver.go_on(task)
            self._wait(seconds)
            for watcher in self.watchers:
                watcher.take_inventory()
                for uid in [uid for uid, service in watcher.services.items() if service is None]:
                    watcher.tell(uid)
            self._go(FOREVER)
        self.promises.check()
        self._is_as_wished()

    def _is_as_wished(self) -> None:
        left = faults(self.kept, self.watchers, self.promises.nodes.values()) + misjudged(self.process.memory)
        assert not left, "\n".join(left)

    def _end_of_the_stale(self) -> None:
        for process in self.stale:
            for task in list(process.driver.held):
                process.driver.go_on(task)
            process.driver.drop()
        self.stale.clear()

    def _rests(self) -> None:
        """V9: nothing is written any more; a process that is new may word a refusal anew, once."""
        written = len(self.kept.effects)
        self._wait(3.0)
        self._go(FOREVER)
        assert not (more := self.kept.effects[written:]), f"V9: at rest, and yet: {more}"
        refused = [item for item in self.kept.load_balancers.values() if item.spec.refusal]
        self.process.lose_right()
        self._start(warm=True)
        for _ in range(2):
            self._go(FOREVER)
            self._wait(3.0)
        worded = {f"patch load balancer {item.metadata.name}" for item in refused}
        worded |= {f"publish {subjects.desired(item.spec.group, key)}" for item in refused for key in keys_of(item)}
        more = [effect for effect in self.kept.effects[written:] if effect not in worded]
        # Who waits for a quota behind one that needs more of it is not called, and may be granted by a new process.
        if any(item.spec.refusal and item.spec.refusal.reason is Reason.QUOTA_EXCEEDED for item in refused):
            self._wait_for_rest()
        else:
            assert not more, f"V9: a restart writes: {more}"
        self._is_as_wished()

    def _wait_for_rest(self) -> None:
        """What was given up for a grant rests, and may be wanted by who gives up something in turn."""
        for _ in range(4):
            self._wait(31.0)
            self._go(FOREVER)

    def _note_state(self) -> None:
        if any(node.refused for node in self.promises.nodes.values()):
            self.promises.note("a node refused what is older")
        if any(node.late for node in self.promises.nodes.values()):
            self.promises.note("a node did not begin what came too late")
        for item in self.kept.load_balancers.values():
            if item.spec.refusal:
                self.promises.note(f"refused: {item.spec.refusal.reason}")
            elif item.spec.addresses:
                self.promises.note("served")

    # Mechanics.
    def _new_node(self, group: str) -> None:
        name = f"node-{len(self.kept.effects)}-{self.kept.version}"
        self.kept.version += 1
        node = self.promises.nodes[name] = Node(name, group, self.kept, self._say)
        if self.now is not None:
            node.introduce()

    def _names_in(self, group: str) -> tuple[str, ...]:
        """The nodes of a group."""
        return tuple(name for name, node in self.promises.nodes.items() if node.group == group)

    def _lose(self, name: tuple[str, str], claims: bool, load_balancers: bool) -> None:
        item = self.kept.load_balancers[name]
        self.promises.by_hand = True
        self.promises.lost |= {name[1], *item.spec.addresses}
        for claim in [c for c in self.kept.claims.values() if c.spec.owner.service_uid == name[1] and claims]:
            self.promises.lost.add(claim.spec.address)
            del self.kept.claims[claim.metadata.name]
        if load_balancers:
            del self.kept.load_balancers[name]
        self.promises.by_hand = False

    def _is_served(self, watcher: Watcher, uid: str) -> bool:
        """Not so one that is wished again while what it had is still let go of."""
        item = self.kept.load_balancers.get((f"tenant-{watcher.tenant}", uid))
        if item is None or item.spec.refusal is not None or item.spec.addresses != watcher.shown.get(uid, ()):
            return False
        claims = [claim for claim in self.kept.claims.values() if claim.spec.address in item.spec.addresses]
        return all(claim.spec.phase is ClaimPhase.BOUND for claim in claims)

    def _can_stay(self, service: TenantService, addresses: tuple[str, ...]) -> bool:
        pools = [pool for pool in self.kept.pools.values() if not pool.metadata.deletion_timestamp]
        are_there = all(any(lies_in(address, pool) for pool in pools) for address in addresses)
        around = {pool.spec.group for pool in pools if any(lies_in(address, pool) for address in addresses)}
        return are_there and len(around) <= 1 and len(addresses) == len(service.ip_families)

    def _adopted(self, had: dict[tuple[str, str], tuple[str, ...]]) -> None:
        self.promises.note("adopted")
        for (name, uid), addresses in had.items():
            item = self.kept.load_balancers.get((f"tenant-{name}", uid))
            if item is not None and item.spec.addresses and set(addresses) - set(item.spec.addresses):
                self.promises.broken.append(f"A4: {uid} showed {addresses} and is given {item.spec.addresses}")

    def _start(self, *, warm: bool) -> None:
        self.seed += 1
        self.now = process = Process(self.kept, self.clock, self.seed, warm=warm)
        process.gate.on_call = lambda: setattr(self.promises, "writer", process)

    def _reconnect(self, all_speak: bool) -> None:
        self.process.reconnect()
        if all_speak:
            for watcher in self.watchers:
                watcher.tell_all()
            for node in self.promises.nodes.values():
                node.reconnect()
        self._go()

    def _say(self, subject: str, body: bytes) -> None:
        """Somebody outside publishes."""
        if self.lose:
            self.lose -= 1
        elif self.hold:
            self.hold -= 1
            self.aside.append((subject, body))
        else:
            self._arrive(subject, body)

    def _arrive(self, subject: str, body: bytes) -> int:
        sequence = self.kept.put(subject, body)
        self.process.hear(subject, body, sequence)
        return sequence

    def _notified(self, subject: str) -> None:
        if self.lose:
            self.lose -= 1
            return
        *_, what, account, _, _, uid = f"....{subject}".split(".")
        for watcher in self.watchers:
            if what == "released" and account == watcher.account:
                watcher.released(uid)
            elif ".resync." in subject and watcher.account in subject:
                watcher.tell_all()

    def _wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.process.driver.ring()

    def _go(self, steps: int | None = None) -> None:
        """The manager does so many runs, and everybody else what follows."""
        process, left = self.process, self.pace if steps is None else steps
        for _ in range(5000):
            process.deliver(objects=not self.objects_lag, messages=not self.messages_lag)
            heard = [node.hear() for node in self.promises.nodes.values()]
            if left <= 0:
                return
            left -= 1
            waits = (process.inbox and not self.messages_lag) or (process.watched and not self.objects_lag)
            if not process.step() and not any(heard) and not waits:
                break
        else:
            last = self.kept.effects[-8:]
            raise AssertionError(f"V9: this never comes to rest: {last}, {process.driver.recent}")
        if process.is_at_rest:
            self.promises.counts()

    def _let_through(self) -> None:
        """What was held comes now, older than what came meanwhile."""
        aside, self.aside = self.aside, []
        for subject, body in reversed(aside):
            self._arrive(subject, body)
        self._go()
