"""Follows the streams of every tenant and every balancer group, beginning and ending while the process lives.

Wiring between streams and folding: which stream belongs to whom is decided here and nowhere else, so that a tenant is
whoever owns the stream (T4).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog

from fleetlb.contracts import streams, subjects
from fleetlb.contracts.objects import BalancerGroup
from fleetlb.contracts.tenants import Tenant
from fleetlb.runtime.bus import Callback, MessageHandler
from fleetlb_manager.folding_messages import MessageFolding
from fleetlb_manager.marking import Marks, StatusKey
from fleetlb_manager.memory import Memory
from fleetlb_manager.streams import Streams

log = structlog.get_logger(__name__)


class FollowedBus(Protocol):
    """The one thing needed of a bus."""

    async def replay_and_follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callback,
        on_restart: Callback,
    ) -> None:
        """Never returns: everything of a stream, then what comes."""


class Following:
    """One task per followed stream."""

    def __init__(
        self,
        memory: Memory,
        folding: MessageFolding,
        marks: Marks,
        bus: FollowedBus,
        keeper: Streams,
        *,
        may_create: Callable[[str], bool],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`may_create`: whether this process sees to a tenant's stream; `tasks` owns the followers."""
        self._may_create = may_create
        self._memory = memory
        self._folding = folding
        self._marks = marks
        self._bus = bus
        self._keeper = keeper
        self._tasks = tasks
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._accounts: dict[str, str] = {}
        self._left: set[str] = set()

    def tenant(self, tenant: Tenant) -> None:
        """Follow a tenant's stream under its present account, if it has one."""
        name, account = tenant.metadata.name, tenant.status.account
        if self._accounts.get(name, "") == account or account in self._left:
            return
        self.tenant_gone(name)
        if not account:
            return
        self._accounts[name] = account
        self._keeper.want(streams.observed_stream(account), partial(self._may_create, name))
        self._follow(
            streams.observed_stream(account).name,
            subjects.observed_of(account),
            partial(self._folding.observed, name, account),
            on_replayed=partial(self._memory.observations.replayed, name),
            on_restart=partial(self._observed_restarts, name),
        )

    def tenant_gone(self, name: str) -> None:
        """Follow a tenant no more; what was observed of it is forgotten, what was made of it stays."""
        account = self._accounts.pop(name, "")
        if account:
            self._stop(streams.observed_stream(account).name)
            self._memory.observations.forget_tenant(name)

    def leave(self, name: str, account: str) -> None:
        """Follow a tenant no more, and its account never again: it is removed, and a namesake gets another one."""
        self._left.add(account)
        if self._accounts.get(name) == account:
            self.tenant_gone(name)

    def group(self, group: BalancerGroup) -> None:
        """Follow the streams of a balancer group."""
        name = group.metadata.name
        desired, realized, allowed = _streams_of(name)
        if desired.name in self._followed:
            return
        for spec in (desired, realized, allowed, streams.announced_stream(name)):
            self._keeper.want(spec)
        self._follow(
            desired.name,
            subjects.desired_of(name),
            partial(self._folding.desired, name),
            on_replayed=partial(self._desired_replayed, name),
            on_restart=partial(self._desired_restarts, name),
        )
        self._follow(
            realized.name,
            subjects.realized_of(name),
            partial(self._folding.realized, name),
            on_replayed=partial(self._replayed, realized.name, name),
            on_restart=self._keeper.look_now,
        )
        self._follow(
            streams.announced_stream(name).name,
            subjects.instructed(name),
            partial(self._folding.instructed, name),
            on_replayed=partial(self._instructed_replayed, name),
            on_restart=partial(self._instructed_restarts, name),
        )
        self._follow(
            allowed.name,
            subjects.allowed_of(name),
            partial(self._folding.allowed, name),
            on_replayed=partial(self._allowed_replayed, name),
            on_restart=partial(self._allowed_restarts, name),
        )

    def _follow(
        self,
        stream: str,
        subject_filter: str,
        on_message: MessageHandler,
        *,
        on_replayed: Callable[[], None],
        on_restart: Callable[[], None],
    ) -> None:
        work = self._bus.replay_and_follow(
            stream, subject_filter, on_message, on_replayed=on_replayed, on_restart=on_restart
        )
        self._followed[stream] = self._tasks.create_task(work, name=f"follow {stream}")

    def _stop(self, stream: str) -> None:
        self._keeper.forget(stream)
        task = self._followed.pop(stream, None)
        if task is not None:
            task.cancel()

    def _observed_restarts(self, tenant: str) -> None:
        self._memory.observations.restart(tenant)
        self._keeper.look_now()

    def _desired_restarts(self, group: str) -> None:
        self._memory.desired.restart(group)
        self._memory.replayed.discard(streams.desired_stream(group).name)
        self._keeper.look_now()

    def _desired_replayed(self, group: str) -> None:
        lost = self._memory.desired.replayed(group)
        if lost:
            log.warning("published virtual servers are not in their stream; publishing again", count=len(lost))
        self._replayed(streams.desired_stream(group).name, group)

    def _allowed_restarts(self, group: str) -> None:
        self._memory.allowances.restart(group)
        self._memory.replayed.discard(streams.allowed_stream(group).name)
        self._keeper.look_now()

    def _allowed_replayed(self, group: str) -> None:
        lost = self._memory.allowances.replayed(group)
        if lost:
            log.warning("what tenants may have is not in its stream; saying it again", count=lost)
        self._replayed(streams.allowed_stream(group).name, group)

    def _instructed_replayed(self, group: str) -> None:
        self._memory.instructions.read.add(group)
        self._marks.status(StatusKey("group", group))

    def _instructed_restarts(self, group: str) -> None:
        self._memory.instructions.forget(group)
        self._keeper.look_now()

    def _replayed(self, stream: str, group: str) -> None:
        """The group can be worked on once all of its streams are known."""
        self._memory.replayed.add(stream)
        if not {spec.name for spec in _streams_of(group)} <= self._memory.replayed:
            return
        for allowance in self._memory.allowances_in(group):
            self._marks.allowance(allowance)
        for key in self._memory.load_balancers.services():
            self._marks.service(key)
        for slot in self._memory.slots():
            if slot.group == group:
                self._marks.slot(slot)
        for address in list(self._memory.claims.passing()):
            self._marks.claim(address)


def _streams_of(group: str) -> tuple[streams.StreamSpec, streams.StreamSpec, streams.StreamSpec]:
    return streams.desired_stream(group), streams.realized_stream(group), streams.allowed_stream(group)
