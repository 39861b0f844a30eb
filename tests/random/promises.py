"""What must hold in every revision, at every step and at rest. The ids are explained in docs/how-it-is-tested.md.

Nothing here asks the book, the lines or the ledger of the product: objects, the data planes and plain arithmetic do.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fleetlb.contracts.objects import AddressClaim, AddressPool, ClaimPhase, LoadBalancer
from fleetlb.domain.addresses import Family, claim_name
from fleetlb.domain.conditions import Reason
from fleetlb.domain.virtual_servers import Announcement
from fleetlb_manager.claims import owner_of
from fleetlb_manager.identities import ServiceKey
from fleetlb_manager.load_balancers import key_of
from tests.random import sharing
from tests.random.keeping import Everything
from tests.random.outside import Node
from tests.random.overtaking import Overtaking, is_any
from tests.random.process import Process
from tests.random.ranges import family_of, lies_in, size
from tests.unit.fleetlb_manager.manager_world import HandClock

REACHED: Counter[str] = Counter()
"""How often rare paths were reached, over all histories of this process."""
IN_USE = (ClaimPhase.BOUND, ClaimPhase.RELEASING)


class Promises:
    """Judges every revision of claims and load balancers as it is written."""

    def __init__(self, kept: Everything, clock: HandClock) -> None:
        self.kept = kept
        self.clock = clock
        self.writer: Process | None = None
        """Who made the last call; what a manager writes that lost its Lease is judged less strictly."""
        self.nodes: dict[str, Node] = {}
        self.broken: list[str] = []
        self.lost: set[str] = set()
        """Addresses and UIDs whose objects somebody else than us removed."""
        self.by_hand = False
        """The change is none of ours."""
        self._at_rest_since: dict[str, float] = {}
        self._overtaking = Overtaking(kept)
        self._earlier: dict[str, list[AddressPool]] = {}
        kept.listeners.append(self._on_change)

    @property
    def actor(self) -> Process | None:
        """Who writes, if it may."""
        return self.writer if self.writer is not None and self.writer.gate.acting else None

    def note(self, what: str) -> None:
        """A rare path was reached."""
        REACHED[what] += 1

    def check(self) -> None:
        """After every step: nothing is broken, and no data plane serves what is another's."""
        for node in self.nodes.values():
            self.broken += node.went_back
            for key, wish in node.serving.items():
                claim = self._claim_at(key.address)
                if claim is None or key.address in self.lost:
                    continue
                whose = ServiceKey(wish.owner.tenant, wish.owner.cluster_uid, wish.owner.service_uid)
                if claim.spec.phase is ClaimPhase.QUARANTINED:
                    self._break("A7", f"{node.name} serves {key}, which is at rest")
                elif not sharing.may_be_served(claim, key, whose):
                    self._break("A2", f"{node.name} serves {key} for {whose}; {sharing.everybody(claim)} have it")
        self._one_group_answers()
        assert not self.broken, "\n".join(self.broken)

    def _one_group_answers(self) -> None:
        """Nodes of two groups do not know of each other: those of one alone may answer on layer 2."""
        answering: dict[str, dict[str, str]] = {}
        for node in self.nodes.values():
            for key, wish in node.serving.items():
                if wish.server is not None and wish.server.announcement is Announcement.LAYER2:
                    answering.setdefault(key.address, {})[node.group] = node.name
        for address, groups in answering.items():
            if len(groups) > 1 and address not in self.lost:
                self._break("M", f"nodes of two groups answer for {address}: {groups}")

    # Every revision.

    def _on_change(self, kind: str, before: Any, now: Any) -> None:
        if self.by_hand:
            return
        if kind == "pool":
            self._pool_changed(before, now)
        elif kind == "claim":
            self._claim_changed(before, now)
        elif kind == "load balancer":
            self._overtaking.load_balancer_changed(before, now)
            if now is not None:
                self._load_balancer_changed(before, now)

    def _pool_changed(self, before: AddressPool | None, now: AddressPool | None) -> None:
        self._overtaking.pool_changed(before, now)
        if before is not None:
            self._earlier.setdefault(before.metadata.name, []).append(before)

    def _claim_changed(self, before: AddressClaim | None, now: AddressClaim | None) -> None:
        if before is None:
            assert now is not None
            self._claim_made(now)
        elif now is None:
            self._claim_ended(before)
        else:
            self._claim_moved(before, now)

    def _claim_made(self, claim: AddressClaim) -> None:
        address, owner = claim.spec.address, owner_of(claim)
        pool = self.kept.pools.get(claim.spec.pool)
        is_late = self.writer is not None and self.writer.driver.is_late
        earlier = self._earlier.get(claim.spec.pool, []) if is_late else []
        if pool is None and not earlier:
            self._break("A3", f"{address} is claimed from pool {claim.spec.pool}, which is gone")
            return
        if pool is not None and not pool.metadata.finalizers and not is_late:
            self._break("A3", f"{address} is claimed from pool {claim.spec.pool}, which nobody guards")
        known = [*earlier, *([pool] if pool else []), *self._known_by_writer(claim.spec.pool)]
        if not any(lies_in(address, version) for version in known):
            self._break("A3", f"{address} lies in no pool")
        if claim.spec.phase is not ClaimPhase.BOUND or claim.spec.address != str(ipaddress.ip_address(address)):
            self._break("A1", f"{address} begins as {claim.spec.phase}")
        self._said(sharing.faults_of(claim))
        self._nobody_serves(address, owner)
        self._quota(owner)
        self._oldest_first(claim, owner)

    def _known_by_writer(self, pool: str) -> list[AddressPool]:
        found = self.writer.memory.pools.get(pool) if self.writer else None
        return [found] if found else []

    def _claim_moved(self, before: AddressClaim, now: AddressClaim) -> None:
        address = now.spec.address
        if (before.spec.address, before.spec.pool) != (address, now.spec.pool):
            self._break("A1", f"{address} of {before.spec.pool} becomes another claim")
        self._said(sharing.faults_of(now))
        self._said(sharing.faults_between(before, now))
        self._place_changed(before, now)
        self._shared_anew(before, now)
        if now.spec.generation < before.spec.generation:
            self._break("V4", f"claim {address}: generation {now.spec.generation} after {before.spec.generation}")
        ways = {ClaimPhase.BOUND: 0, ClaimPhase.RELEASING: 1, ClaimPhase.QUARANTINED: 2}
        if not 0 <= ways[now.spec.phase] - ways[before.spec.phase] <= 1:
            self._break("A7", f"{address} goes from {before.spec.phase} to {now.spec.phase}")
        if now.spec.phase is ClaimPhase.QUARANTINED and before.spec.phase is ClaimPhase.RELEASING:
            self._everybody_let_go(address)
            since = datetime.fromisoformat(now.spec.released_at).timestamp()
            is_late = self.writer is not None and self.writer.driver.is_late
            if not is_late and abs(since - self.clock.now) > 0.001:
                self._break("A7", f"{address} is said to rest since {now.spec.released_at}")
            self._at_rest_since[address] = since

    def _place_changed(self, before: AddressClaim, now: AddressClaim) -> None:
        """An address goes from one group to another: make before break, and no end before the last node let go."""
        was, spec = before.spec, now.spec
        if spec.moving_back and not was.moving_back:
            self.note("moved back")
        if spec.moving_from and not was.moving_from:
            self._is_made_before(was.group, now)
        gone = {was.group, was.moving_to, was.moving_from} - {spec.group, spec.moving_to, spec.moving_from, ""}
        for node in self.nodes.values():
            is_served = any(key.address == spec.address for key in node.serving)
            if node.group in gone and spec.address not in self.lost and is_served:
                self._break("M", f"{spec.address} is said to have left {node.group}, and {node.name} serves it")
        if gone:
            self.note("moved")

    def _is_made_before(self, left: str, claim: AddressClaim) -> None:
        if self.writer is None or self.writer.driver.is_late or claim.spec.address in self.lost:
            return
        ports = {text for texts in sharing.living(claim).values() for text in texts}
        leaving = (node for node in self.nodes.values() if node.group == left)
        served = {key for node in leaving for key in node.serving if key.address == claim.spec.address}
        for name in self.writer.memory.nodes_of(claim.spec.group) or ():
            node = self.nodes.get(name)
            for key in served if node is not None else ():
                if f"{key.port}/{key.protocol}" in ports and node is not None and key not in node.serving:
                    self._break("M", f"{left} is told to let go of {key}, and {name} does not serve it")

    def _said(self, faults: Iterable[tuple[str, str]]) -> None:
        for promise, what in faults:
            self._break(promise, what)

    def _shared_anew(self, before: AddressClaim, now: AddressClaim) -> None:
        """Who comes to a shared address, or to a port of it, and which ports are free there."""
        for owner in sharing.joined(before, now):
            self.note("joined")
            self._quota(owner)
        for owner, text in sharing.gained(before, now):
            self._nobody_serves(now.spec.address, owner, text)
        for text in sharing.let_go(before, now):
            self._everybody_let_go(now.spec.address, text)
            self.note("left a shared address")

    def _claim_ended(self, claim: AddressClaim) -> None:
        address, pool = claim.spec.address, self.kept.pools.get(claim.spec.pool)
        self._overtaking.claim_ended(claim)
        known = [pool, self.writer.memory.pools.get(claim.spec.pool) if self.writer else pool]
        if self.writer and self.writer.driver.is_late:
            known += self._earlier.get(claim.spec.pool, [])
        seconds = min((p.spec.quarantine_seconds for p in known if p is not None), default=0)
        if claim.spec.phase is ClaimPhase.BOUND:
            self._break("A7", f"{address} was freed while it was bound")
        elif claim.spec.phase is ClaimPhase.RELEASING:
            self._everybody_let_go(address)
            if seconds > 0:
                self._break("A7", f"{address} was freed without rest")
        else:
            rested = self.clock.now - self._at_rest_since.get(address, self.clock.now)
            self.note("quarantine ended")
            if rested < seconds - 0.001:
                self._break("A7", f"{address} was freed after {rested} of {seconds} s")

    def _load_balancer_changed(self, before: LoadBalancer | None, now: LoadBalancer) -> None:
        if self.actor is None:
            return
        key = key_of(now)
        for address in now.spec.addresses:
            claim = self._claim_at(address)
            is_its = claim is not None and key in sharing.living(claim) and claim.spec.phase is ClaimPhase.BOUND
            if not is_its and not self.lost & {address, key.uid}:
                self._break("A1", f"{key} is told {address}, which is not its own")
            if claim is not None and is_its:
                others = {text for owner, ports in sharing.everybody(claim).items() if owner != key for text in ports}
                mine = {f"{port.port}/{port.protocol}" for port in now.spec.service.ports}
                if mine & others and not self.lost & {address, key.uid}:
                    self._break("A1", f"{key} is told {sorted(mine & others)} of {address}, which are others'")
        refusal = now.spec.refusal
        if refusal is not None and refusal.reason is Reason.POOL_EXHAUSTED and self._is_one_free(now):
            self.note("an address was kept for another")
        if before is not None and not self.lost & {key.uid, *before.spec.addresses}:
            self._sticky(before, now)

    def _is_one_free(self, item: LoadBalancer) -> bool:
        families = item.spec.service.ip_families
        pool = self.kept.pools["default"]
        taken = [c for c in self.kept.claims.values() if lies_in(c.spec.address, pool)]
        inside = sum(1 for c in taken if family_of(c.spec.address) is families[0])
        return len(families) == 1 and inside < size(pool, families[0])

    def _sticky(self, before: LoadBalancer, now: LoadBalancer) -> None:
        old, new = before.spec.service, now.spec.service
        if (old.addresses, old.pool) != (new.addresses, new.pool):
            return
        for address in before.spec.addresses:
            claim = self._claim_at(address)
            is_its = claim is not None and key_of(now) in sharing.living(claim)
            is_its = is_its and claim is not None and claim.spec.phase is ClaimPhase.BOUND
            if is_its and family_of(address) in new.ip_families and address not in now.spec.addresses:
                self._break("A4", f"{now.metadata.name} loses {address} for {now.spec.addresses}")

    # What a claim must not meet.

    def _nobody_serves(self, address: str, owner: ServiceKey, text: str = "") -> None:
        if address in self.lost:
            return
        for node in self.nodes.values():
            for key, wish in node.serving.items():
                is_there = key.address == address and text in ("", f"{key.port}/{key.protocol}")
                if is_there and wish.owner.service_uid != owner.uid:
                    self._break("A7", f"{address} is given to {owner} while {node.name} serves {key} for another")

    def _everybody_let_go(self, address: str, text: str = "") -> None:
        self.note("released")
        if address in self.lost:
            return
        for node in self.nodes.values():
            if any(k.address == address and text in ("", f"{k.port}/{k.protocol}") for k in node.serving):
                self._break("A7", f"{address} is called free while {node.name} serves it")

    def _quota(self, owner: ServiceKey) -> None:
        if self.actor is None or self.actor.driver.is_late:
            return
        in_use = [sharing.everybody(c) for c in self.kept.claims.values() if c.spec.phase in IN_USE]
        owners = {key for owners in in_use for key in owners}
        mine = [owners for owners in in_use if owner in owners]
        if len(mine) > 1 or self.lost:
            return
        held = sum(1 for key in owners if key.tenant == owner.tenant)
        registration = self.actor.memory.registrations[owner.tenant]
        limits = [self.kept.tenants[owner.tenant].spec.quotas.load_balancers]
        limits.append(registration.grant.max_load_balancers if registration.grant else 0)
        if None not in limits and held > max(limit for limit in limits if limit is not None):
            self._break("A9", f"{owner.tenant} holds {held} load balancers, {limits} are allowed")

    def _oldest_first(self, claim: AddressClaim, owner: ServiceKey) -> None:
        """Nobody who waits longer, and whom this manager has told so, is left out for a younger one."""
        process = self.actor
        if process is None or process.driver.held or self.lost or not is_any(process, owner):
            return
        mine = self.kept.load_balancers.get((f"tenant-{owner.tenant}", owner.uid))
        if mine is not None and mine.spec.addresses:
            return
        if older := self._overtaking.left_out(process, claim, owner):
            names = ", ".join(item.metadata.name for item in older)
            self._break("A5", f"{owner} gets {claim.spec.address}, {names} waited longer")

    # Counts.

    def counts(self) -> None:
        """A6, once the statuses are written and nothing waits."""
        for pool in self.kept.pools.values():
            for family, shown in ((Family.IPV4, pool.status.ipv4), (Family.IPV6, pool.status.ipv6)):
                of_family = [c for c in self.kept.claims.values() if family_of(c.spec.address) is family]
                inside = [c for c in of_family if lies_in(c.spec.address, pool)]
                lost = [c for c in of_family if c not in inside and c.spec.pool == pool.metadata.name]
                phases = [c.spec.phase for c in (*inside, *lost)]
                resting = phases.count(ClaimPhase.QUARANTINED)
                total = size(pool, family) + len(lost)
                wanted = (total, len(phases) - resting, resting, total - len(phases))
                if (shown.total, shown.used, shown.quarantined, shown.free) != wanted:
                    self._break("A6", f"pool {pool.metadata.name} says {shown}, claims say {wanted}")
        for name, tenant in self.kept.tenants.items():
            mine = [c for c in self.kept.claims.values() if c.spec.owner.tenant == name and c.spec.phase in IN_USE]
            ports: dict[ServiceKey, int] = {}
            for claim in mine:
                for key, texts in sharing.everybody(claim).items():
                    ports[key] = max(ports.get(key, 0), len(texts))
            usage = tenant.status.usage
            if (usage.load_balancers, usage.addresses, usage.ports) != (len(ports), len(mine), sum(ports.values())):
                self._break("A6", f"tenant {name} says {usage}, claims say {len(mine)} addresses")

    def _claim_at(self, address: str) -> AddressClaim | None:
        return self.kept.claims.get(claim_name(address))

    def _break(self, promise: str, what: str) -> None:
        self.broken.append(f"{promise}: {what}")
