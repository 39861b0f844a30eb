"""What the watches and streams have said, folded so that judging one load balancer needs no search. Decides nothing.

Each change names the load balancers whose verdict it may change: O(1) for a word of a node or a load balancer, O(those
carried) for a group or a tenant, which are an operator's acts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from fleetlb.contracts.journeys import NOT_TRAVELLED, Journey, latest
from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import BalancerGroup, LoadBalancer
from fleetlb.contracts.tenants import Tenant
from fleetlb.contracts.v1 import LoadBalancerRevision, Owner, RealizedState, VirtualServerRealized
from fleetlb.domain import traces
from fleetlb.domain.virtual_servers import VirtualServerKey

Key = tuple[str, str]
"""Namespace and name of a LoadBalancer; the name is the Service's UID."""

Servers = dict[VirtualServerKey, VirtualServerRealized]


def key_of(balancer: LoadBalancer) -> Key:
    """The key of an object."""
    return balancer.metadata.namespace, balancer.metadata.name


def key_of_owner(owner: Owner) -> Key:
    """The key of the load balancer that a virtual server belongs to."""
    return f"tenant-{owner.tenant}", owner.service_uid


class Memory:
    """`on_change` is called with every key whose verdict, or way to its tenant, may have changed."""

    def __init__(self, on_change: Callable[[Key], None]) -> None:
        """Nothing is known yet."""
        self.load_balancers: dict[Key, LoadBalancer] = {}
        self.groups: dict[str, BalancerGroup] = {}
        self.tenants: dict[str, Tenant] = {}
        self._on_change = on_change
        self._nodes: dict[str, tuple[str, ...]] = {}
        self._complete: set[str] = set()
        self._accounts: dict[str, str] = {}
        self._of_account: dict[str, str] = {}
        self._realized: dict[Key, dict[str, Servers]] = {}
        self._alike_since: dict[Key, int] = {}
        """The first of several generations of an object that differ in nothing but the group, up to the present one."""
        self._news: dict[Key, Journey] = {}
        self._traces: dict[Key, str] = {}
        self._of_cluster: defaultdict[str, defaultdict[str, set[Key]]] = defaultdict(lambda: defaultdict(set))
        self._of_group: defaultdict[str, set[Key]] = defaultdict(set)

    def set_load_balancer(self, balancer: LoadBalancer) -> None:
        """A load balancer is there or has changed."""
        key = key_of(balancer)
        before = self.load_balancers.get(key)
        if before is not None:
            self._forget_places(before)
        self.load_balancers[key] = balancer
        self._note_alike(key, before, balancer)
        if before is None or before.spec.trace != balancer.spec.trace:
            self._note(key, Journey(traces.valid(balancer.spec.trace)))
        self._of_cluster[balancer.spec.tenant][balancer.spec.cluster_uid].add(key)
        self._of_group[balancer.spec.group].add(key)
        if (
            before is None
            or (before.spec, before.status) != (balancer.spec, balancer.status)
            or _moved(before, balancer)
        ):
            self._on_change(key)

    def drop_load_balancer(self, balancer: LoadBalancer) -> None:
        """A load balancer is gone, and with it what nodes said of it."""
        key = key_of(balancer)
        known = self.load_balancers.pop(key, None)
        if known is not None:
            self._forget_places(known)
        self._realized.pop(key, None)
        self._alike_since.pop(key, None)
        self._news.pop(key, None)
        self._on_change(key)

    def _note_alike(self, key: Key, before: LoadBalancer | None, now: LoadBalancer) -> None:
        if before is None or _moved(before, now):
            if before is not None and _only_names_another_group(before, now):
                self._alike_since.setdefault(key, before.metadata.generation)
            else:
                self._alike_since.pop(key, None)

    def _forget_places(self, balancer: LoadBalancer) -> None:
        key, clusters = key_of(balancer), self._of_cluster[balancer.spec.tenant]
        clusters[balancer.spec.cluster_uid].discard(key)
        if not clusters[balancer.spec.cluster_uid]:
            del clusters[balancer.spec.cluster_uid]
        self._of_group[balancer.spec.group].discard(key)

    def set_group(self, group: BalancerGroup) -> None:
        """A group is there or has changed; other nodes change the verdict of all that it carries."""
        name = group.metadata.name
        self.groups[name] = group
        if self._nodes.get(name) != group.spec.nodes:
            self._nodes[name] = group.spec.nodes
            self._changed(self._of_group[name])

    def drop_group(self, group: BalancerGroup) -> None:
        """A group is gone. What it carried keeps its verdict: nobody is left to say another one."""
        self.groups.pop(group.metadata.name, None)
        self._nodes.pop(group.metadata.name, None)

    def complete_group(self, name: str) -> None:
        """Everything that a group's nodes have ever said is known."""
        if name not in self._complete:
            self._complete.add(name)
            self._changed(self._of_group[name])

    def is_complete(self, name: str) -> bool:
        """Whether all words of a group's nodes are known."""
        return name in self._complete

    def set_tenant(self, tenant: Tenant) -> None:
        """A tenant is there; its account may have become known."""
        name, account = tenant.metadata.name, tenant.status.account
        self.tenants[name] = tenant
        if account and self._accounts.get(name) != account:
            self._forget_account(name)
            self._accounts[name], self._of_account[account] = account, name
            for keys in tuple(self._of_cluster[name].values()):
                self._changed(keys)

    def drop_tenant(self, tenant: Tenant) -> None:
        """A tenant is gone."""
        self.tenants.pop(tenant.metadata.name, None)
        self._forget_account(tenant.metadata.name)

    def _forget_account(self, tenant: str) -> None:
        self._of_account.pop(self._accounts.pop(tenant, ""), None)

    def fold_realized(self, realized: VirtualServerRealized, trace: str = "") -> None:
        """A node has said what it made of a virtual server, and sent it with a trace context.

        An older word never replaces a newer one.
        """
        key, journey = key_of_owner(realized.owner), Journey(trace, realized.hops)
        if realized.hops:
            realized = replace(realized, hops=())
        known = self._realized.get(key, {}).get(realized.node, {}).get(realized.key)
        if known == realized:
            return
        if known and (known.generation, known.revision) > (realized.generation, realized.revision):
            return
        if realized.load_balancer is None or realized.state is RealizedState.REMOVED:
            self._forget_realized(key, realized)
        else:
            self._realized.setdefault(key, {}).setdefault(realized.node, {})[realized.key] = realized
        self._note(key, journey)
        self._on_change(key)

    def journey(self, key: Key) -> Journey:
        """How the news about a load balancer came that its tenant has not been told of."""
        return self._news.get(key, NOT_TRAVELLED)

    def gone_on(self, key: Key, journey: Journey) -> None:
        """The news that came so has been told, or is none for the tenant: what changes later has other causes."""
        if self._news.get(key) == journey:
            del self._news[key]

    def trace(self, key: Key) -> str:
        """The context of the last change of a load balancer, which may be gone."""
        return self._traces.get(key, "")

    def forget_trace(self, key: Key) -> None:
        """Nobody asks for it any more."""
        self._traces.pop(key, None)

    def _note(self, key: Key, journey: Journey) -> None:
        if journey.trace:
            self._traces[key] = journey.trace
        if journey != NOT_TRAVELLED:
            self._news[key] = latest(journey, self._news.get(key, NOT_TRAVELLED))

    def _forget_realized(self, key: Key, realized: VirtualServerRealized) -> None:
        nodes = self._realized.get(key, {})
        servers = nodes.get(realized.node, {})
        servers.pop(realized.key, None)
        if not servers:
            nodes.pop(realized.node, None)
        if not nodes:
            self._realized.pop(key, None)

    def can_judge(self, balancer: LoadBalancer) -> bool:
        """Whether enough is known for a verdict; without it nothing is said, so that a restart unsays nothing."""
        group = balancer.spec.group
        return not balancer.spec.addresses or (group in self._nodes and group in self._complete)

    def realized(self, key: Key) -> dict[str, Servers]:
        """What each node said of a load balancer's virtual servers.

        An object that only names another group asks its nodes for what it asked before, and both groups carry that by
        then: what was said of the generations before is given as said of this one.
        """
        said, since = self._realized.get(key, {}), self._alike_since.get(key)
        if since is None:
            return said
        now = self.load_balancers[key].metadata
        return {
            node: {name: _as_of(now, since, word) for name, word in servers.items()} for node, servers in said.items()
        }

    def nodes(self, group: str) -> tuple[str, ...]:
        """The nodes that must all agree."""
        return self._nodes.get(group, ())

    def of_group(self, name: str) -> tuple[Key, ...]:
        """The load balancers that a group carries."""
        return tuple(self._of_group.get(name, ()))

    def account(self, tenant: str) -> str:
        """The tenant's NATS account, empty while unknown."""
        return self._accounts.get(tenant, "")

    def has(self, place: tuple[str, str, str]) -> bool:
        """Whether there is a load balancer of a Service: account, cluster, UID."""
        account, cluster, uid = place
        balancer = self.load_balancers.get((f"tenant-{self._of_account.get(account, '')}", uid))
        return balancer is not None and balancer.spec.cluster_uid == cluster

    def of_cluster(self, account: str, cluster: str) -> tuple[Key, ...]:
        """The load balancers of one cluster of the tenant behind an account."""
        tenant = self._of_account.get(account, "")
        return tuple(self._of_cluster[tenant].get(cluster, ())) if tenant else ()

    def _changed(self, keys: Iterable[Key]) -> None:
        for key in tuple(keys):
            self._on_change(key)


def _moved(before: LoadBalancer, now: LoadBalancer) -> bool:
    """Whether nodes must speak of another revision."""
    return (before.metadata.uid, before.metadata.generation) != (now.metadata.uid, now.metadata.generation)


def _only_names_another_group(before: LoadBalancer, now: LoadBalancer) -> bool:
    """Whether nothing else has changed. Only of two generations in a row: what was between others is not known."""
    is_next = (before.metadata.uid, before.metadata.generation + 1) == (now.metadata.uid, now.metadata.generation)
    is_gone_over = before.spec.group != now.spec.group
    return is_next and is_gone_over and now.spec.says_the_same(replace(before.spec, group=now.spec.group))


def _as_of(now: ObjectMeta, since: int, word: VirtualServerRealized) -> VirtualServerRealized:
    """A word on a generation that is as the present one, as one on that."""
    said = word.load_balancer
    if said is None or said.uid != now.uid or not since <= said.generation < now.generation:
        return word
    return replace(word, load_balancer=LoadBalancerRevision(now.uid, now.generation))
