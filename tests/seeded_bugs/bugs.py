"""Bugs that were never made: each is one exact change of the product, and the tests that must fail with it."""

from typing import NamedTuple

MANAGER = "services/manager/fleetlb_manager"
PROGRAMMER = "services/dataplane-programmer/fleetlb_dataplane_programmer"
WATCHER = "services/tenant-watcher/fleetlb_tenant_watcher"
STATUS = "services/status/fleetlb_status"
DOMAIN = "libs/fleetlb/domain"
UNIT = "tests/unit"
OF_MANAGER = f"{UNIT}/fleetlb_manager"
OF_PROGRAMMER = f"{UNIT}/fleetlb_dataplane_programmer"
OF_WATCHER = f"{UNIT}/fleetlb_tenant_watcher"
RANDOM = "tests/random"


class Bug(NamedTuple):
    """`old` must stand in `file` exactly once; `tests` is what pytest is given."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BUGS = (
    Bug(
        "a node follows a manager that lost its lease",
        f"{PROGRAMMER}/programming.py",
        "        if order < max(self._floors.get(key, order), order_of(entry.desired) if entry else order):\n",
        "        if order[1] < (entry.desired.revision if entry else 0):\n",
        (f"{OF_PROGRAMMER}/test_programming.py",),
    ),
    Bug(
        "a manager believes a wish of a lower generation",
        f"{MANAGER}/virtual_server_tables.py",
        "            if published.generation < known.generation:\n",
        "            if published.generation > known.generation:\n",
        (f"{OF_MANAGER}/test_virtual_server_tables.py",),
    ),
    Bug(
        "a write goes out after the right to write is lost",
        "libs/fleetlb/kube/cluster.py",
        "Cluster(self._transport, self._field_manager, may_write)",
        "Cluster(self._transport, self._field_manager, lambda: True)",
        (f"{UNIT}/fleetlb/kube/test_cluster.py",),
    ),
    Bug(
        "a purge goes out after the right to purge is lost",
        f"{MANAGER}/publishing.py",
        "        if not self._authority.acting:\n            raise Transient",
        "        if False:\n            raise Transient",
        (f"{OF_MANAGER}/test_publishing.py",),
    ),
    Bug(
        "an address is free without rest",
        f"{MANAGER}/releasing.py",
        "        if self._quarantine_seconds(claim) <= 0:\n",
        "        if True:\n",
        (f"{OF_MANAGER}/test_releasing.py",),
    ),
    Bug(
        "the rest of an address is cut short",
        f"{MANAGER}/releasing.py",
        "            if left > 0:\n",
        "            if left > 20:\n",
        (RANDOM,),
    ),
    Bug(
        "an address is free before every node let go",
        f"{MANAGER}/letting_go.py",
        "    if nodes is None or missing_nodes(published, acknowledged, nodes):\n",
        "    if nodes is None or len(missing_nodes(published, acknowledged, nodes)) == len(list(nodes)):\n",
        (f"{OF_MANAGER}/test_letting_go.py",),
    ),
    Bug(
        "an address is free before anybody let go",
        f"{MANAGER}/releasing.py",
        "        if not waiting:\n",
        "        if claim is not None:\n",
        (RANDOM,),
    ),
    Bug(
        "the tenant is who the message says",
        f"{MANAGER}/observations.py",
        "        cluster = ClusterKey(tenant, require_label",
        "        cluster = ClusterKey(parsed.account.lower()[1:], require_label",
        (f"{OF_MANAGER}/test_observations.py",),
    ),
    Bug(
        "the tenant is who the object's spec says",
        f"{MANAGER}/load_balancers.py",
        "    return ServiceKey(_tenant(item.metadata), item.spec.cluster_uid, item.metadata.name)\n",
        "    return ServiceKey(item.spec.tenant, item.spec.cluster_uid, item.metadata.name)\n",
        (f"{OF_MANAGER}/test_load_balancers.py",),
    ),
    Bug(
        "a list that breaks off is a complete one",
        "libs/fleetlb/kube/watching.py",
        "or page.metadata.resource_version\n        self._complete(version)\n",
        "or page.metadata.resource_version\n                self._complete(version)\n",
        (f"{UNIT}/fleetlb/kube/test_watching.py",),
    ),
    Bug(
        "one inventory proves that a Service is gone",
        f"{MANAGER}/inventories.py",
        "if now - since >= PROOF_SECONDS}",
        "if now - since >= 0}",
        (f"{OF_MANAGER}/test_inventories.py",),
    ),
    Bug(
        "an old inventory proves that a Service is gone",
        f"{MANAGER}/observations.py",
        "            live=key.tenant in self._replayed,\n",
        "            live=True,\n",
        (f"{OF_MANAGER}/test_observations.py",),
    ),
    Bug(
        "an address is used before it is claimed",
        f"{MANAGER}/claiming.py",
        "            claim = await self._store.create(wanted)\n",
        "            claim = wanted\n",
        (f"{OF_MANAGER}/test_claiming.py",),
    ),
    Bug(
        "a lost race for an address is won",
        f"{MANAGER}/claiming.py",
        "            if judge_share(claim.spec, wanted, service.sharing_key) is not None:\n",
        "            if claim.spec.phase is not ClaimPhase.BOUND:\n",
        (f"{OF_MANAGER}/test_claiming.py",),
    ),
    Bug(
        "one tenant joins an address of another",
        f"{MANAGER}/shares.py",
        "    if spec.owner.tenant != key.tenant or is_going:\n",
        "    if is_going:\n",
        (f"{OF_MANAGER}/test_shares.py",),
    ),
    Bug(
        "a port of a shared address is another's before every node let go of it",
        f"{MANAGER}/shares.py",
        "            if text in share.ports and service_of(share.owner) != key:\n",
        "            if False:\n",
        (f"{OF_MANAGER}/test_sharing.py",),
    ),
    Bug(
        "a shared address goes with the first who leaves",
        f"{MANAGER}/shares.py",
        "    first, *rest = [share for share in shares if share is not mine] or [mine]\n",
        "    first, *rest = [mine]\n",
        (f"{OF_MANAGER}/test_sharing.py",),
    ),
    Bug(
        "who leaves a shared address is forgotten before any node let go",
        f"{MANAGER}/releasing.py",
        "        spec = let_go_of(claim, self._memory.let_go)\n",
        "        spec = let_go_of(claim, leaving_slots(claim))\n",
        (RANDOM,),
    ),
    Bug(
        "a change of a claim ignores its version",
        f"{MANAGER}/objects.py",
        "        body = patching.merge_at(claim.metadata, spec=spec)\n",
        "        body = patching.merge(claim.metadata.uid, spec=spec)\n",
        (f"{OF_MANAGER}/test_objects.py",),
    ),
    Bug(
        "a node acknowledges before its data plane did",
        f"{PROGRAMMER}/programming.py",
        "        if entry is None or entry.state is None:\n            return None\n",
        "        if entry is None:\n            return None\n"
        "        entry.state = entry.state or RealizedState.PROGRAMMED\n",
        (f"{OF_PROGRAMMER}/test_programming.py",),
    ),
    Bug(
        "the hub hears of a Service without a finalizer",
        f"{WATCHER}/deciding.py",
        "    if record.standing is None or not record.is_guarded:\n",
        "    if record.standing is None:\n",
        (f"{OF_WATCHER}/test_deciding.py",),
    ),
    Bug(
        "a Service's finalizer goes before the hub let go",
        f"{WATCHER}/deciding.py",
        "        return _release(record) if record.is_released else _await_release(record, now, hub_connected)\n",
        "        return _release(record)\n",
        (f"{OF_WATCHER}/test_deciding.py",),
    ),
    Bug(
        "an older report replaces a newer one in a tenant's Service",
        f"{WATCHER}/memory.py",
        "        if (message.generation, message.revision) < (record.heard_generation, record.heard_revision):\n",
        "        if message.revision < 0:\n",
        (f"{OF_WATCHER}/test_memory.py",),
    ),
    Bug(
        "a node's older word replaces its newer one",
        f"{STATUS}/memory.py",
        "        if known and (known.generation, known.revision) > (realized.generation, realized.revision):\n",
        "        if known and known.generation < 0:\n",
        (f"{UNIT}/fleetlb_status/test_memory.py",),
    ),
    Bug(
        "the quota does not count what is being claimed",
        f"{MANAGER}/serving.py",
        "        self._memory.usage.reserve(key, wanted)\n",
        "        del wanted\n",
        (f"{OF_MANAGER}/test_serving.py",),
    ),
    Bug(
        "the youngest who waits is called first",
        f"{MANAGER}/waiting_lines.py",
        "            since, key = heapq.heappop(self.heap)\n",
        "            since, key = self.heap.pop()\n",
        (f"{OF_MANAGER}/test_waiting_lines.py",),
    ),
    Bug(
        "a newcomer takes what is kept for who waits",
        f"{MANAGER}/choosing.py",
        "return self._book.counts(pool, family).free > self._lines.kept_from(wish.key, pool_resource(pool, family))",
        "return self._book.counts(pool, family).free > 0",
        (f"{OF_MANAGER}/test_choosing.py",),
    ),
    Bug(
        "an address in nobody's pool is given to who asks for it",
        f"{MANAGER}/choosing.py",
        "        for pool in self._eligible.of(wish.service, wish.grant, self._book.pools_of(address)):\n",
        "        for pool in self._eligible.of(wish.service, wish.grant):\n",
        (f"{OF_MANAGER}/test_choosing.py",),
    ),
    Bug(
        "an edit of its ports costs a Service its address",
        f"{MANAGER}/choosing.py",
        "        if held is None:\n",
        "        if held is not None:\n",
        (f"{OF_MANAGER}/test_choosing.py",),
    ),
    Bug(
        "a refused Service names an address that it gave back",
        f"{MANAGER}/deciding.py",
        "for address in load_balancer.spec.addresses if address in bound)",
        "for address in load_balancer.spec.addresses)",
        (f"{OF_MANAGER}/test_serving.py", f"{OF_MANAGER}/test_deciding.py"),
    ),
    Bug(
        "a node believes a set that nobody vouches for",
        f"{PROGRAMMER}/completing.py",
        "    if known.strangers == 0:\n",
        "    if known.replayed_seconds is not None:\n",
        (f"{OF_PROGRAMMER}/test_completing.py",),
    ),
    Bug(
        "source ranges of another family let everybody in",
        f"{DOMAIN}/planning.py",
        "if family_of(text) is family) or ADMITS_NOBODY[family]\n",
        "if family_of(text) is family)\n",
        (f"{UNIT}/fleetlb/domain/test_planning.py",),
    ),
    Bug(
        "masquerading is lost when it is read back",
        f"{PROGRAMMER}/ipvs/wire.py",
        "        forward=_METHOD_OF.get(forward, forward),\n",
        "        forward=_METHOD_OF.get(forward | 3, forward),\n",
        (f"{OF_PROGRAMMER}/ipvs/test_wire.py",),
    ),
    Bug(
        "a backend may lie anywhere",
        f"{DOMAIN}/tenancy.py",
        "    return any(parsed.version == network.version and parsed in network for network in networks)\n",
        "    return True\n",
        (f"{UNIT}/fleetlb/domain/test_tenancy.py",),
    ),
    Bug(
        "an IPv4 address in IPv6 clothes is accepted",
        f"{DOMAIN}/addresses.py",
        "    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id):\n"
        '        raise ValueError(f"{text[:64]!r} is a mapped or zoned IPv6 address; write the plain address")\n'
        "    return address\n",
        "    return address\n",
        (f"{UNIT}/fleetlb/domain/test_addresses.py",),
    ),
    Bug(
        "a cloud's metadata service is a backend",
        f"{DOMAIN}/tenancy.py",
        "    return str(address) not in METADATA_ADDRESSES and not (\n",
        "    return not (\n",
        (f"{UNIT}/fleetlb/domain/test_tenancy.py",),
    ),
    Bug(
        "a node serves a metadata service that somebody asks for",
        f"{PROGRAMMER}/gating.py",
        "    if str(address) in _METADATA:\n",
        "    if str(address) in ():\n",
        (f"{OF_PROGRAMMER}/test_gating.py",),
    ),
    Bug(
        "credentials are issued before the servers know what is void",
        f"{MANAGER}/accounts.py",
        "        return Issuer(name, kept.seed, terms) if is_told and terms.is_open(now) else None\n",
        "        return Issuer(name, kept.seed, terms) if terms.is_open(now) else None\n",
        (f"{OF_MANAGER}/test_accounts.py", f"{OF_MANAGER}/test_issuing.py"),
    ),
    Bug(
        "two contents of one virtual server share a dedupe id",
        f"{MANAGER}/publishing.py",
        '        name = f"{slot}-{message.generation}-{message.revision}"\n',
        '        name = f"{slot}-{message.generation}"\n',
        (f"{OF_MANAGER}/test_publishing.py",),
    ),
    Bug(
        "tenants share a stream, and with it a dedupe window",
        "libs/fleetlb/contracts/streams.py",
        '        name=f"FLEETLB_OBSERVED_{account}",\n',
        '        name="FLEETLB_OBSERVED",\n',
        (f"{UNIT}/fleetlb/contracts/test_streams.py",),
    ),
    Bug(
        "a load balancer serves though nobody answered the probe",
        f"{DOMAIN}/verdicts.py",
        "    if any(report.is_unanswered for report in current):\n",
        "    if False:\n",
        (f"{UNIT}/fleetlb/domain/test_verdicts.py",),
    ),
    Bug(
        "a VIP is a backend of a VIP",
        f"{MANAGER}/planning.py",
        "        return book.is_virtual(address)\n",
        "        return False\n",
        (f"{OF_MANAGER}/test_planning.py",),
    ),
    Bug(
        "a pool goes while its addresses are in use",
        f"{MANAGER}/draining.py",
        "    return Step.LET_GO if is_guarded and use.is_free else Step.NOTHING\n",
        "    return Step.LET_GO if is_guarded else Step.NOTHING\n",
        (f"{OF_MANAGER}/test_draining.py",),
    ),
    Bug(
        "a node serves backends outside of its tenant's networks",
        f"{DOMAIN}/allowances.py",
        "    if not _lies_in(bounds.nodes, real_server.address):\n",
        "    if False:\n",
        (f"{UNIT}/fleetlb/domain/test_allowances.py", f"{OF_PROGRAMMER}/test_judging.py"),
    ),
    Bug(
        "a node believes an allowance that nobody signed",
        f"{PROGRAMMER}/reading.py",
        "    if operator_key and not is_signed(message.data, operator_key):\n",
        "    if False:\n",
        ("tests/component/test_allowances.py",),
    ),
    Bug(
        "a node takes an allowance from the past",
        f"{PROGRAMMER}/allowances.py",
        "        if known is not None and _order_of(said) <= _order_of(known.said):\n",
        "        if known is not None and said.revision <= known.said.revision:\n",
        (f"{OF_PROGRAMMER}/test_allowances.py",),
    ),
    Bug(
        "a wish that was served before it could be judged is served for ever",
        f"{PROGRAMMER}/judging.py",
        "        return not entry.reason and not entry.is_unjudged\n",
        "        return not entry.reason\n",
        (f"{OF_PROGRAMMER}/test_judging.py",),
    ),
    Bug(
        "an allowance that shrinks cuts off what is served",
        f"{PROGRAMMER}/judging.py",
        "        return not entry.reason and not entry.is_unjudged\n",
        "        return False\n",
        (f"{OF_PROGRAMMER}/test_judging.py",),
    ),
    Bug(
        "a virtual server is published before its owner is vouched for",
        f"{MANAGER}/allowing.py",
        "        if key in self._in_flight or not self._memory.allowances.is_current(key):\n",
        "        if False:\n",
        (f"{OF_MANAGER}/test_allowing.py",),
    ),
    Bug(
        "an address from before its pool shrank is not vouched for",
        f"{MANAGER}/allowances.py",
        "    strays = {address for spec in held for address in spec.addresses if not _is_in(mine, address)}\n",
        "    strays: set[str] = set()\n",
        (f"{OF_MANAGER}/test_allowances.py",),
    ),
    Bug(
        "a tenant without claims has nothing to lose",
        f"{MANAGER}/memory.py",
        "        return max(held, self.observations.showing(tenant))\n",
        "        return held\n",
        (f"{OF_MANAGER}/test_memory.py",),
    ),
    Bug(
        "a manager acts on a store that went back",
        f"{MANAGER}/leading.py",
        "        return is_ready and self._term.is_valid() and not self._objection()\n",
        "        return is_ready and self._term.is_valid()\n",
        (f"{OF_MANAGER}/test_leading.py",),
    ),
    Bug(
        "a store that went back is taken for the present",
        "libs/fleetlb/kube/lease_marks.py",
        "    return lease.version < mark.version\n",
        "    return store_version < mark.version\n",
        (f"{UNIT}/fleetlb/kube/test_lease_marks.py",),
    ),
    Bug(
        "the mark follows a store that went back",
        "libs/fleetlb/kube/continuity.py",
        "self._holder.is_valid() and not self.objection:",
        "self._holder.is_valid():",
        (f"{UNIT}/fleetlb/kube/test_continuity.py",),
    ),
    Bug(
        "a watch is resumed from a future that did not happen",
        "libs/fleetlb/kube/watching.py",
        "        if 0 < now < self._reached:\n",
        "        if now < 0:\n",
        (f"{UNIT}/fleetlb/kube/test_watching.py",),
    ),
    Bug(
        "the page shows a tenant what is another's",
        "services/status/fleetlb_status/ui/views.py",
        '        return self.tenant in ("", tenant)\n',
        "        return True\n",
        ("tests/unit/fleetlb_status/ui/test_serving.py",),
    ),
    Bug(
        "the page sends a tenant the changes of others",
        "services/status/fleetlb_status/ui/streaming.py",
        '(event.narrow if event.whose == view.tenant else b"") if view.tenant else event.full',
        "event.narrow if view.tenant else event.full",
        ("tests/unit/fleetlb_status/ui/test_streaming.py",),
    ),
    Bug(
        "the page goes on from a place in another process",
        "services/status/fleetlb_status/ui/feed.py",
        "        if epoch != self._epoch or not",
        "        if not",
        ("tests/unit/fleetlb_status/ui/test_streaming.py",),
    ),
)
