"""`make test-upstream`: attach a cluster to a fleet, run Kubernetes' own LoadBalancer tests on it, write the table.

Exit codes: 0 every chosen spec passed or was skipped; 1 one failed, none ran, or something is in the way; 2 usage.
"""

import os
import sys
import time

from tests.upstream import order as orders
from tests.upstream import outcomes, page, suite
from tests.upstream.admitting import Kubectl
from tests.upstream.attaching import attached, attempt, facts, fail, publish, say
from tests.upstream.order import Order, OrderError


def main() -> int:
    """Run the suite once."""
    try:
        order = orders.read(os.environ)
    except OrderError as problem:
        return fail(str(problem), 2)
    return attempt(conform(order, Kubectl(kubeconfig=order.kubeconfig)))


async def conform(order: Order, kubectl: Kubectl) -> int:
    """Everything from an untouched cluster to an untouched cluster."""
    report, log = order.folder / "report", order.folder / "e2e.log"
    async with attached(order, kubectl) as nodes:
        report.mkdir()
        say(f"running the suite; its words go to {log}")
        begun = time.monotonic()
        code = await suite.run(suite.command_of(order, kubectl.program, len(nodes), report), log)
    found = outcomes.read(report)
    told = facts(order, kubectl, nodes)
    told["wall"] = f"{time.monotonic() - begun:.0f} s, {order.processes} specs at once"
    told["cores"] = str(os.cpu_count())
    is_whole = bool(found) and order.focus == orders.FOCUS
    publish(order, page.section(order.name, told, found), is_whole)
    if not found:
        return fail(f"the suite ended with {code} and chose no spec: see {log}", 1)
    return 0 if code == 0 and not outcomes.count(found, "FAIL") else 1


if __name__ == "__main__":
    sys.exit(main())
