"""What people do: histories that are told again and again, with somebody killed at another point each time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fleetlb.testkit.fake_kube import Place
from tests.simulation.fleet import Fleet
from tests.simulation.outside import GROUP, SHOP, SPARE
from tests.simulation.promises import Promises

POLL_SECONDS = 0.05


class Stage(NamedTuple):
    """Where a history plays."""

    fleet: Fleet
    promises: Promises

    async def after(self, seconds: float) -> None:
        """Time passes."""
        await asyncio.sleep(seconds)

    async def gone(self, tenant: str, name: str) -> None:
        """Wait until there is no Service of this name."""
        objects = self.fleet.outside.tenants[tenant].objects
        while Place("services", SHOP, name) in objects:  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(POLL_SECONDS)

    def retype(self, tenant: str, name: str, kind: str) -> None:
        """A Service becomes one of another type."""
        outside = self.fleet.outside
        item = outside.tenants[tenant].get(Place("services", SHOP, name))
        self.promises.retyped.add(item["metadata"]["uid"])
        outside.edit(tenant, name, type=kind)


History = Callable[[Stage], Awaitable[None]]


async def let_in(stage: Stage) -> None:
    """Two tenants come, the second with a Service that waits for it."""
    outside = stage.fleet.outside
    outside.make("globex", "early", 443)
    outside.let_in("acme")
    await stage.after(3)
    outside.let_in("globex")
    await stage.after(3)


async def edited(stage: Stage) -> None:
    """A Service comes; its ports and its endpoints change, and change back."""
    outside = stage.fleet.outside
    outside.make("acme", "web", 443)
    await stage.after(4)
    outside.edit("acme", "web", ports=ports_of(443, 1443))
    await stage.after(4)
    outside.ready("acme", "web", is_ready=False)
    await stage.after(2)
    outside.ready("acme", "web")
    await stage.after(2)
    outside.edit("acme", "web", ports=ports_of(1443))
    await stage.after(4)


async def deleted(stage: Stage) -> None:
    """A Service is deleted and made anew under its name, as soon as that is free."""
    outside = stage.fleet.outside
    outside.make("acme", "web", 443, 80)
    await stage.after(4)
    outside.delete("acme", "web")
    await stage.gone("acme", "web")
    outside.make("acme", "web", 443)
    await stage.after(1)
    outside.delete("acme", "web")
    await stage.after(6)


async def scarce(stage: Stage) -> None:
    """Two tenants compete for the last address of a pool: who waits gets what another one gives back."""
    outside = stage.fleet.outside
    outside.make("acme", "one", 443)
    await stage.after(1)
    outside.make("acme", "two", 443)
    outside.make("globex", "web", 443)
    await stage.after(4)
    outside.delete("acme", "one")
    await stage.after(1)
    outside.make("acme", "three", 443)
    await stage.after(8)
    outside.delete("globex", "web")
    await stage.after(4)


async def retyped(stage: Stage) -> None:
    """A Service becomes another type and comes back, once in good time and once at once."""
    outside = stage.fleet.outside
    outside.make("acme", "web", 443)
    await stage.after(3)
    stage.retype("acme", "web", "ClusterIP")
    await stage.after(5)
    stage.retype("acme", "web", "LoadBalancer")
    await stage.after(3)
    stage.retype("acme", "web", "ClusterIP")
    await stage.after(0.02)
    stage.retype("acme", "web", "LoadBalancer")
    await stage.after(5)


async def seen_off(stage: Stage) -> None:
    """A tenant is removed with all that it has; who waited gets its addresses."""
    outside = stage.fleet.outside
    outside.make("globex", "one", 443)
    outside.make("globex", "two", 443)
    await stage.after(3)
    outside.make("acme", "web", 443)
    await stage.after(3)
    outside.see_off("globex")
    await stage.after(10)


async def moved(stage: Stage) -> None:
    """The pool moves to another group; on its way back a Service comes and another one goes, and it turns once more."""
    outside = stage.fleet.outside
    outside.make("acme", "web", 443)
    await stage.after(3)
    outside.move_pool(SPARE)
    await stage.after(4)
    outside.move_pool(GROUP)
    outside.make("globex", "web", 443)
    await stage.after(0.1)
    outside.delete("acme", "web")
    outside.move_pool(SPARE)
    await stage.after(8)


BASE: dict[str, History] = {
    "let_in": let_in,
    "edited": edited,
    "deleted": deleted,
    "scarce": scarce,
    "retyped": retyped,
    "seen_off": seen_off,
    "moved": moved,
}

DIVIDED = "_divided"
STORIES = BASE | {f"{name}{DIVIDED}": BASE[name] for name in ("let_in", "scarce", "seen_off")}
"""Those with that ending play on a fleet whose tenants are divided between two managers."""


def ports_of(*ports: int) -> list[dict[str, object]]:
    """As a Service lists them."""
    return [{"name": f"p{port}", "protocol": "TCP", "port": port, "nodePort": 30000 + port} for port in ports]
