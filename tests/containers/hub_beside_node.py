"""What a hub says to one balancer node, and hears from it; runs inside the machine of the node.

    hub_beside_node.py KEYS WISH...     a wish: VIP:PORT/tcp=REAL-SERVER:PORT

Says what the tenant may have, signed by the operator, then each wish; waits until the node serves it. Exit code 0.
"""

import asyncio
import json
import sys
from pathlib import Path

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.streams import allowed_stream, desired_stream, realized_stream
from fleetlb.contracts.v1 import Probe, VirtualServerRealized
from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.bus import Message
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.signing import signed
from fleetlb.testkit.eventually import eventually
from fleetlb.testkit.wishes import a_wish, an_allowance

URL, GROUP = "nats://127.0.0.1:4222", "default"
PATIENCE = 60.0


async def say(keys: Path, wishes: dict[str, str]) -> None:
    """Until each is answered."""
    served: set[str] = set()
    async with asyncio.TaskGroup() as tasks:
        bus = await JetStreamBus.connect(URL, tasks=tasks, creds=keys / "hub.creds")
        for spec in (allowed_stream(GROUP), desired_stream(GROUP), realized_stream(GROUP)):
            await bus.ensure_stream(spec)
        allowance = an_allowance(node_cidrs=("198.51.100.0/24",), prefixes=("203.0.113.0/24",))
        body = signed(allowance, json.loads((keys / "seeds.json").read_text())["operator"])
        await bus.publish(subjects.allowed(GROUP, allowance.tenant), body, message_id="allowed")

        def hear(message: Message) -> None:
            try:
                said = codec.decode(VirtualServerRealized, message.data)
            except FleetlbError:
                return  # what the node says of itself
            if said.probe is Probe.ANSWERED:
                served.add(str(said.key))

        stream = realized_stream(GROUP)
        listening = tasks.create_task(
            bus.replay_and_follow(
                stream.name, subjects.realized_of(GROUP), hear, on_replayed=lambda: None, on_restart=lambda: None
            )
        )
        for key, real_server in wishes.items():
            wish = a_wish(key, [real_server])
            await bus.publish(subjects.desired(GROUP, wish.key), codec.encode(wish), message_id=key)
        await eventually(lambda: served >= wishes.keys(), PATIENCE)
        listening.cancel()
        await bus.close()
    print(*sorted(served))


if __name__ == "__main__":
    asyncio.run(say(Path(sys.argv[1]), dict(text.split("=") for text in sys.argv[2:])))
