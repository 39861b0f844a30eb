"""Everything that can happen to a fleet: the rules of a random history.

After each rule the manager does a number of runs (`pace`), so that the next one often comes in the middle of something.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from fleetlb.contracts.tenants import Quotas
from fleetlb.domain.addresses import Family
from fleetlb.domain.services import TenantService
from fleetlb.domain.virtual_servers import Announcement
from tests.random.fleet import FOREVER, Fleet
from tests.random.outside import Watcher
from tests.unit.fleetlb_manager.manager_world import GROUP, Crash, a_group, a_pool, a_tenant, a_wish

V4, V6 = Family.IPV4, Family.IPV6
TENANTS = ("acme", "globex")
SHAPES: tuple[dict[str, Any], ...] = (
    {},
    {"ports": (80, 443)},
    {"ports": (53,)},
    {"ip_families": (V6,)},
    {"ip_families": (V4, V6)},
    {"ip_families": (V6, V4), "prefers_dual_stack": True},
    {"addresses": ("192.0.2.1",)},
    {"addresses": ("198.51.100.0",)},
    {"addresses": ("203.0.113.9",)},
    {"pool": "extra"},
    {"sharing_key": "k"},
    {"sharing_key": "k", "ports": (80,)},
    {"sharing_key": "k", "ports": (80, 53)},
    {"sharing_key": "k", "ports": (53,), "ip_families": (V4, V6)},
    {"sharing_key": "k", "ports": (22,), "addresses": ("192.0.2.1",)},
    {"sharing_key": "other", "ports": (80, 22)},
)
RANGES: tuple[tuple[str, ...], ...] = (
    ("192.0.2.0-192.0.2.1", "2001:db8::-2001:db8::1"),
    ("192.0.2.0-192.0.2.3", "2001:db8::-2001:db8::2"),
    ("192.0.2.1-192.0.2.1",),
    ("192.0.2.2-192.0.2.3", "2001:db8::1-2001:db8::1"),
)
EXTRA = ("198.51.100.0-198.51.100.1",)
SPARE = "spare"
"""Another group, which pools move to."""
SECONDS = (0.6, 3.0, 11.0, 31.0, 61.0, 700.0)
PACES = (FOREVER, FOREVER, 4, 1, 0)

index = st.integers(0, 7)
shape = st.integers(0, len(SHAPES) - 1)
tenant = st.integers(0, 1)
flag = st.booleans()
soon = st.integers(1, 6)


class History(Fleet, RuleBasedStateMachine):
    """Random histories of a manager."""

    @initialize(seed=st.integers(0, 255), rest=st.sampled_from((0, 30)), nodes=st.integers(1, 2))
    def begin(self, seed: int, rest: int, nodes: int) -> None:
        self.seed = seed
        kept = self.kept
        for number, name in enumerate(TENANTS, start=1):
            kept.tenants[name] = kept.stamp(a_tenant(name, f"10.{number}.0.0/16"), new=True)
            self.watchers.append(Watcher(name, f"A{name.upper()}", number, self._say))
        kept.pools["default"] = kept.stamp(a_pool(*RANGES[0], quarantine=rest, finalizers=()), new=True)
        for group, count in ((GROUP, nodes), (SPARE, 1)):
            for _ in range(count):
                self._new_node(group)
            kept.groups[group] = kept.stamp(a_group(group, nodes=self._names_in(group)), new=True)
        self._start(warm=True)
        for node in self.promises.nodes.values():
            node.introduce()
        for watcher in self.watchers:
            watcher.tell_all()
            self._create(watcher, "first", 0)
        self._go(FOREVER)

    # Tenants.

    @rule(which=tenant, how=shape)
    def create(self, which: int, how: int) -> None:
        self.names += 1
        self._create(self.watchers[which], f"web{self.names}", how)

    @rule(which=tenant, one=index, how=shape)
    def edit(self, which: int, one: int, how: int) -> None:
        watcher = self.watchers[which]
        if uid := _at(list(watcher.services), one):
            known = watcher.services[uid]
            watcher.put(uid, _wish(known.name if known else "again", how))
            self._go()

    @rule(which=tenant, one=index)
    def delete(self, which: int, one: int) -> None:
        watcher = self.watchers[which]
        if uid := _at([uid for uid, service in watcher.services.items() if service], one):
            watcher.put(uid, None)
            self._go()

    @rule(which=tenant, one=index, how=shape)
    def recreate(self, which: int, one: int, how: int) -> None:
        """The Service is deleted, and another one of its name is there at once."""
        watcher = self.watchers[which]
        if uid := _at([uid for uid, service in watcher.services.items() if service], one):
            known = watcher.services[uid]
            watcher.put(uid, None)
            self._create(watcher, known.name if known else "", how)

    @rule(which=tenant, one=index)
    def race(self, which: int, one: int) -> None:
        """A Service arrives in the very moment in which an address becomes free."""
        watcher, before = self.watchers[which], set(self.kept.claims)
        if uid := _at([uid for uid, service in watcher.services.items() if service], one):
            watcher.put(uid, None)
            for _ in range(60):
                self._go(1)
                if before - set(self.kept.claims):
                    break
            self._create(self.watchers[1 - which], "racer", 0)

    @rule(which=tenant)
    def show(self, which: int) -> None:
        """The tenant's Services show what they were given."""
        watcher = self.watchers[which]
        for uid in list(watcher.services):
            item = self.kept.load_balancers.get((f"tenant-{watcher.tenant}", uid))
            if item is not None:
                watcher.show(uid, item.spec.addresses)
        self._go()

    @rule(which=tenant, partial=flag)
    def take_inventory(self, which: int, partial: bool) -> None:
        self.watchers[which].take_inventory(partial=partial)
        self._go()

    @rule(which=tenant)
    def tell_all(self, which: int) -> None:
        self.watchers[which].tell_all()
        self._go()

    # Operators.

    @rule(which=tenant, limit=st.sampled_from((None, 0, 1, 2)))
    def set_quota(self, which: int, limit: int | None) -> None:
        known = self.kept.tenants[TENANTS[which]]
        spec = replace(known.spec, quotas=Quotas(load_balancers=limit))
        self.kept.tenants[TENANTS[which]] = self.kept.stamp(replace(known, spec=spec), respecified=True)
        self._go()

    @rule(ranges=st.integers(0, len(RANGES) - 1), rest=st.sampled_from((0, 30)))
    def change_pool(self, ranges: int, rest: int) -> None:
        known = self.kept.pools["default"]
        spec = replace(known.spec, addresses=RANGES[ranges], quarantine_seconds=rest)
        self.kept.pools["default"] = self.kept.stamp(replace(known, spec=spec), respecified=True)
        self._go()

    @rule(which=flag, announcement=st.sampled_from((Announcement.NONE, Announcement.NONE, Announcement.LAYER2)))
    def move_pool(self, which: bool, announcement: Announcement) -> None:
        """A pool names the other group."""
        known = self.kept.pools.get("extra" if which else "default")
        if known is not None:
            group = SPARE if known.spec.group == GROUP else GROUP
            spec = replace(known.spec, group=group, announcement=announcement)
            self.kept.pools[known.metadata.name] = self.kept.stamp(replace(known, spec=spec), respecified=True)
            self._go()

    @rule()
    def add_or_delete_pool(self) -> None:
        known = self.kept.pools.get("extra")
        if known is None:
            self.kept.pools["extra"] = self.kept.stamp(a_pool(*EXTRA, name="extra", finalizers=()), new=True)
        elif not known.metadata.finalizers:
            del self.kept.pools["extra"]
        elif known.metadata.deletion_timestamp is None:
            meta = replace(known.metadata, deletion_timestamp="2027-01-01T00:00:00Z")
            self.kept.pools["extra"] = self.kept.stamp(replace(known, metadata=meta))
        self._go()

    @rule(one=index)
    def replace_node(self, one: int) -> None:
        """A node is fenced and taken out of the group for ever; a new one comes."""
        nodes = self.promises.nodes
        group = nodes.pop(_at(list(nodes), one)).group
        self._new_node(group)
        known = self.kept.groups[group]
        spec = replace(known.spec, nodes=self._names_in(group))
        self.kept.groups[group] = self.kept.stamp(replace(known, spec=spec), respecified=True)
        self.process.deliver(messages=False)
        self._go()

    # Nodes.

    @rule(one=index, lags=flag, rejects=flag)
    def change_node(self, one: int, lags: bool, rejects: bool) -> None:
        nodes = list(self.promises.nodes.values())
        node = nodes[one % len(nodes)]
        node.is_lagging, node.is_rejecting = lags, rejects
        self._go()

    @rule(one=index)
    def restart_node(self, one: int) -> None:
        nodes = list(self.promises.nodes.values())
        nodes[one % len(nodes)].restart()
        nodes[one % len(nodes)].reconnect()
        self._go()

    # The bus.

    @rule(count=soon)
    def lose_messages(self, count: int) -> None:
        """The next ones that are said are acknowledged and lost."""
        self.lose = count

    @rule(count=soon)
    def hold_messages(self, count: int) -> None:
        self.hold = count

    @rule()
    def let_through(self) -> None:
        self._let_through()

    @rule(all_speak=flag, only=st.sampled_from(("", "", "allowed", "desired")))
    def wipe_bus(self, all_speak: bool, only: str) -> None:
        self.kept.wipe(only)
        self.aside.clear()
        self._reconnect(all_speak)

    @rule(all_speak=flag)
    def reconnect(self, all_speak: bool) -> None:
        """Every stream is replayed: whatever was said is said again."""
        self._reconnect(all_speak)

    # The manager.

    @rule(pace=st.sampled_from(PACES))
    def set_pace(self, pace: int) -> None:
        self.pace = pace

    @rule(objects=flag, messages=flag)
    def lag(self, objects: bool, messages: bool) -> None:
        """Watches, or streams, fall behind."""
        self.objects_lag, self.messages_lag = objects, messages

    @rule()
    def work(self) -> None:
        self._go(FOREVER)

    @rule(seconds=st.sampled_from(SECONDS))
    def wait(self, seconds: float) -> None:
        self._wait(seconds)
        self._go()

    @rule(count=soon, warm=flag)
    def crash(self, count: int, warm: bool) -> None:
        """The process ends right after an effect, at the latest when it has nothing more to do."""
        self.kept.crash_after = len(self.kept.effects) + count
        try:
            self._go(FOREVER)
        except Crash:
            self.promises.note("crash after an effect")
        self.kept.crash_after = None
        self.process.lose_right()
        self.process.driver.drop()
        self._start(warm=warm)
        self._go()

    @rule(count=soon)
    def stop_halfway(self, count: int) -> None:
        """A run stops before one of its next calls; others go on."""
        self.process.gate.stop_in = count
        self._go()

    @rule(one=index)
    def go_on(self, one: int) -> None:
        if task := _at(list(self.process.driver.held), one):
            self.process.driver.go_on(task)
        self._go()

    @rule(count=soon, after=flag)
    def fail(self, count: int, after: bool) -> None:
        """A call gets no answer; whether it did anything, nobody knows."""
        self.process.gate.fail_in, self.process.gate.fail_after = count, after
        self._go()

    @rule(warm=flag)
    def take_over(self, warm: bool) -> None:
        """The Lease goes to another process, while this one holds what it did not finish."""
        self.process.lose_right()
        self.stale.append(self.process)
        self._start(warm=warm)
        self._go()

    @rule(one=index)
    def wake_stale(self, one: int) -> None:
        """A run of a process that lost the Lease goes on where it was left."""
        held = [(process, task) for process in self.stale for task in process.driver.held]
        if held:
            process, task = held[one % len(held)]
            process.driver.go_on(task)
            self.promises.note("a stale run went on")
            self._go()

    # What nobody should do.

    @rule(one=index, claims=flag, load_balancers=flag)
    def lose_objects(self, one: int, claims: bool, load_balancers: bool) -> None:
        """Somebody deletes what only the manager should: of one Service, or of all."""
        names = sorted(self.kept.load_balancers)
        for name in names if one == 0 else names[one : one + 1]:
            self._lose(name, claims, load_balancers)
        self._go()

    @rule(warm=flag)
    def lose_everything(self, warm: bool) -> None:
        """Claims and load balancers are gone, and so is the process; whoever shows an address takes it up again."""
        is_disturbed = self.aside or self.hold or self.lose or self.objects_lag or self.messages_lag
        if self.process.is_at_rest and not is_disturbed:
            for number in range(len(self.watchers)):
                self.show(number)
                self.tell_all(number)  # what it showed may have been lost on the way
            self._go(FOREVER)
            had = {
                (watcher.tenant, uid): watcher.shown.get(uid, ())
                for watcher in self.watchers
                for uid, service in watcher.services.items()
                if service and self._is_served(watcher, uid)
            }
            # One that must take another address than it shows may take what another one shows.
            is_plain = all(
                self._is_served(watcher, uid) and self._can_stay(service, watcher.shown[uid])
                for watcher in self.watchers
                for uid, service in watcher.services.items()
                if service and watcher.shown.get(uid)
            )
            for name in list(self.kept.load_balancers):
                self._lose(name, True, True)
            self.process.lose_right()
            self._start(warm=warm)
            for _ in range(3):
                self._go(FOREVER)
                self._wait(0.6)
            if self.process.is_at_rest and had and is_plain:
                self._adopted(had)

    # Always.

    @invariant()
    def promises_are_kept(self) -> None:
        self.promises.check()

    def teardown(self) -> None:
        if self.now is not None:
            self._note_state()
            self._heal()
            self._rests()

    def _create(self, watcher: Watcher, name: str, how: int) -> None:
        self.uids += 1
        watcher.put(f"u{self.uids}", _wish(name, how))
        self._go()


def _wish(name: str, how: int) -> TenantService:
    return a_wish(name, **SHAPES[how])


def _at(names: list[Any], one: int) -> Any:
    return names[one % len(names)] if names else None
