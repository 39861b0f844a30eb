"""Keeps a zone file equal to the addresses of all Services, as SERVICE.NAMESPACE.TENANT.ZONE. Needs nats-py alone.

    python dns_updater.py nats://nats.example.org:4222 integration.creds services.zone lb.example.org

It remembers nothing: at each start it reads all events again, then follows. The serial is the last event's number.
"""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import nats

INBOX, STREAM, EVENTS = b"_INBOX_integration", "FLEETLB_EVENTS", "fleetlb.v1.events.*.*"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")  # tenants choose names: nothing else goes into a zone file


def fold(services, event):
    """An event says all that there is of its Service; an older one that comes late, or again, says nothing."""
    if "uid" in event and event["revision"] >= services.get(event["uid"], event)["revision"]:
        services[event["uid"]] = event


def zone(services, origin, serial):
    lines = [f"$ORIGIN {origin}.", "$TTL 60", f"@ IN SOA ns hostmaster {serial} 300 60 86400 60", "@ IN NS ns"]
    for event in services.values():
        names = [event["name"], event["namespace"], event["tenant"]]
        if all(NAME.fullmatch(name) for name in names):
            owner = ".".join(names)
            lines += [f"{owner} IN {'AAAA' if ':' in address else 'A'} {address}" for address in event["addresses"]]
    return "\n".join(lines[:4] + sorted(lines[4:])) + "\n"


def write(path, text):
    """Readers see the old file or the new one."""
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


async def main(url, creds, path, origin):
    connection = await nats.connect(url, user_credentials=creds, inbox_prefix=INBOX, max_reconnect_attempts=-1)
    events = await connection.jetstream().subscribe(EVENTS, stream=STREAM, ordered_consumer=True)
    services = {}
    async for message in events.messages:
        fold(services, json.loads(message.data))
        if message.metadata.num_pending == 0:
            write(Path(path), zone(services, origin, message.metadata.sequence.stream))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
