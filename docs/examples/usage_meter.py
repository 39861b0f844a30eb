"""Prints the address-hours of each tenant by reading all events again, and ends. Needs nats-py alone.

    python usage_meter.py nats://nats.example.org:4222 integration.creds [FROM [UNTIL]]

FROM and UNTIL as 2026-11-01T00:00:00Z. An address that several Services of a tenant share counts once.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime

import nats
from nats.js.api import AckPolicy, ConsumerConfig

INBOX, STREAM, EVENTS = b"_INBOX_integration", "FLEETLB_EVENTS", "fleetlb.v1.events.*.*"
BEGINNING = datetime.fromtimestamp(0, UTC)


async def read(url, creds):
    connection = await nats.connect(url, user_credentials=creds, inbox_prefix=INBOX)
    stream, found = connection.jetstream(), {}
    pending = (await stream.stream_info(STREAM)).state.messages
    events = await stream.pull_subscribe(EVENTS, stream=STREAM, config=ConsumerConfig(ack_policy=AckPolicy.NONE))
    while pending:
        for message in await events.fetch(256, timeout=5):
            event, headers, pending = json.loads(message.data), message.headers, message.metadata.num_pending
            if "address" in event:
                found.setdefault(headers["ce-id"], (datetime.fromisoformat(headers["ce-time"]), event))
    await connection.close()
    return found.values()  # each event once


def hours(events, start, end):
    holders, spans, total = {}, {}, {}
    for time, event in events:
        place, since = (event["tenant"], event["address"]), datetime.fromisoformat(event["since"])
        held = holders.setdefault(place, {})
        if event["type"].endswith("address_allocated"):
            held.setdefault(event["uid"], since)
        else:
            spans.setdefault(place, []).append((held.pop(event["uid"], since), time))
    for place, held in holders.items():
        spans.setdefault(place, []).extend((since, end) for since in held.values())
    for (tenant, _), pieces in spans.items():
        counted = start  # until here the address has been counted
        for since, until in sorted(pieces):
            begin, counted = max(since, counted), max(counted, min(until, end))
            total[tenant] = total.get(tenant, 0.0) + max(0.0, (counted - begin).total_seconds()) / 3600
    return total


if __name__ == "__main__":
    moments = [datetime.fromisoformat(text) for text in sys.argv[3:]]
    start, end = [*moments, *[BEGINNING, datetime.now(UTC)][len(moments) :]]
    for tenant, amount in sorted(hours(asyncio.run(read(*sys.argv[1:3])), start, end).items()):
        print(f"{tenant} {amount:.6f}")
