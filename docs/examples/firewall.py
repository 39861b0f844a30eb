"""Keeps a file for `nft -f` with what may be dialled: address, protocol and port of each Service. Needs nats-py alone.

    python firewall.py nats://nats.example.org:4222 integration.creds allowed.nft

The server keeps its place in the stream, as `firewall`, and allowed.json what it knows: it goes on where it was.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import nats

INBOX, STREAM, EVENTS = b"_INBOX_integration", "FLEETLB_EVENTS", "fleetlb.v1.events.*.*"


def fold(services, event):
    """An event says all that there is of its Service; an older one that comes late, or again, says nothing."""
    if "uid" in event and event["revision"] >= services.get(event["uid"], event)["revision"]:
        ports = [(port["protocol"].lower(), port["port"]) for port in event["ports"]]
        services[event["uid"]] = {"revision": event["revision"], "addresses": event["addresses"], "ports": ports}


def table(services):
    places = {(a, *port) for service in services.values() for a in service["addresses"] for port in service["ports"]}
    lines = ["table inet fleetlb {"]
    for name, kind, colon in (("services4", "ipv4_addr", False), ("services6", "ipv6_addr", True)):
        texts = sorted(f"{a} . {protocol} . {port}" for a, protocol, port in places if (":" in a) is colon)
        elements = f" elements = {{ {', '.join(texts)} }};" if texts else ""
        lines.append(f"  set {name} {{ type {kind} . inet_proto . inet_service;{elements} }}")
    return "\n".join([*lines, "}", ""])


def write(path, text):
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)  # readers see the old file or the new one


async def main(url, creds, path):
    memory = Path(path).with_suffix(".json")
    services = json.loads(memory.read_text()) if memory.exists() else {}
    connection = await nats.connect(url, user_credentials=creds, inbox_prefix=INBOX, max_reconnect_attempts=-1)
    events = await connection.jetstream().pull_subscribe(EVENTS, durable="firewall", stream=STREAM)
    while True:
        with suppress(TimeoutError):
            messages = await events.fetch(256, timeout=10)
            for message in messages:
                fold(services, json.loads(message.data))
            write(Path(path), table(services))
            write(memory, json.dumps(services))
            for message in messages:
                await message.ack()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
