"""`python -m tests.bench.rehearsing [NUMBER]`: what a plan costs a manager that holds so many load balancers."""

import gc
import ipaddress
import sys
import time
from collections.abc import Callable

from tests.unit.fleetlb_manager.manager_world import World, a_claim, a_key, a_load_balancer, a_wish, a_world
from tests.unit.fleetlb_manager.rehearsing_stage import plan, plan_pool

NUMBER = 50_000
IN_A_CLUSTER = 4000
FIRST = ipaddress.ip_address("10.64.0.0")


def main(number: int) -> int:
    """Prints processor time; the manager decides nothing else meanwhile."""
    world = a_full_world(number)
    gc.freeze()
    _tell(f"a Service, beside {number}", lambda: plan(world, a_wish("new")))
    _tell(f"a pool of {number} that grows", lambda: plan_pool(world, "10.64.0.0/13"))
    return 0


def a_full_world(number: int) -> World:
    """So many load balancers of two tenants, in one pool."""
    world = a_world("acme", "globex", pool=("10.64.0.0/14",))
    for at in range(number):
        key = a_key(f"u{at}", "acme" if at % 2 else "globex", f"c{at // IN_A_CLUSTER}")
        name, address = f"w{at}", FIRST + at
        world.say(key, a_wish(name))
        world.folding.claim_set(a_claim(str(address), key, version=at + 1))
        item = a_load_balancer(key, str(address), service=a_wish(name), version=at + 1, uid=f"lb{at}")
        world.folding.load_balancer_set(item)
    return world


def _tell(name: str, work: Callable[[], object]) -> None:
    rounds = []
    for _ in range(3):
        began = time.process_time()
        work()
        rounds.append(time.process_time() - began)
    sys.stdout.write(f"{name}: {min(rounds) * 1000:.0f} ms\n")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else NUMBER))
