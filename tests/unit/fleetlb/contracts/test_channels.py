import inspect

import pytest

from fleetlb.contracts import events, plans, subjects, told, v1
from fleetlb.contracts.channels import CHANNELS, MESSAGES, Channel, name_of

PARTS = {"tenant-watcher", "manager", "dataplane-programmer", "status", "cli"}
BASES = {v1.Message, events.ServiceEvent, events.AddressEvent, events.NodeEvent, told.Told}


def test_every_message_of_the_version_is_listed_once() -> None:
    defined = {
        kind
        for module in (v1, events, told, plans)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, v1.Message) and kind not in BASES
    }
    assert set(MESSAGES) == defined
    assert len(MESSAGES) == len(defined)


def test_names_follow_the_type_ids() -> None:
    assert [name_of(kind) for kind in (v1.ServiceObserved, v1.VirtualServerDesired)] == [
        "service_observed",
        "virtual_server_desired",
    ]


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_one_writer_and_known_readers(channel: Channel) -> None:
    assert channel.writer in PARTS
    assert channel.readers
    is_event = channel.subject.startswith(subjects.ALL_EVENTS.removesuffix(">"))
    assert set(channel.readers) <= ({"integration"} if is_event else PARTS)
    assert channel.subject.startswith(f"{subjects.ROOT}.")
    assert not set("*>ACGNU") & set(channel.subject)
    assert bool(channel.local) == ("tenant-watcher" in (channel.writer, *channel.readers))


def test_one_writer_per_prefix() -> None:
    writers: dict[str, set[str]] = {}
    for channel in CHANNELS:
        writers.setdefault(channel.subject.split(".")[2], set()).add(channel.writer)
    assert all(len(names) == 1 for names in writers.values()), writers


def test_subjects_are_templates_of_the_grammar() -> None:
    assert {channel.name: channel.subject for channel in CHANNELS} == {
        "serviceObserved": "fleetlb.v1.observed.{account}.{cluster}.service.{uid}",
        "nodesObserved": "fleetlb.v1.observed.{account}.{cluster}.nodes",
        "inventoryObserved": "fleetlb.v1.observed.{account}.{cluster}.inventory",
        "resyncRequested": "fleetlb.v1.resync.{account}.{cluster}",
        "virtualServerDesired": "fleetlb.v1.desired.{group}.{key}",
        "tenantAllowed": "fleetlb.v1.allowed.{group}.{tenant}",
        "virtualServerRealized": "fleetlb.v1.realized.{group}.{node}.{key}",
        "nodeRealized": "fleetlb.v1.realized.{group}.{node}.node",
        "groupInstructed": "fleetlb.v1.instructed.{group}",
        "nodePresent": "fleetlb.v1.announced.{group}.{node}.node",
        "vipCarried": "fleetlb.v1.announced.{group}.{node}.vip.{address}",
        "serviceReleased": "fleetlb.v1.released.{account}.{cluster}.service.{uid}",
        "serviceReported": "fleetlb.v1.reported.{account}.{cluster}.service.{uid}",
        "snapshotRequested": "fleetlb.v1.snapshot.{account}",
        "credentialsRequested": "fleetlb.v1.credentials.{account}",
        "renewalRequested": "fleetlb.v1.renewal.{account}.credentials",
        "storeMarked": "fleetlb.v1.marked.{lease}",
        "partitionsHeld": "fleetlb.v1.held",
        "servicesPlanRequested": "fleetlb.v1.plan.services",
        "poolPlanRequested": "fleetlb.v1.plan.pool",
        "addressAllocated": "fleetlb.v1.events.{tenant}.address-allocated",
        "addressReleased": "fleetlb.v1.events.{tenant}.address-released",
        "portsChanged": "fleetlb.v1.events.{tenant}.ports-changed",
        "serving": "fleetlb.v1.events.{tenant}.serving",
        "notServing": "fleetlb.v1.events.{tenant}.not-serving",
        "backendUnhealthy": "fleetlb.v1.events.{tenant}.backend-unhealthy",
        "backendHealthy": "fleetlb.v1.events.{tenant}.backend-healthy",
        "refused": "fleetlb.v1.events.{tenant}.refused",
        "granted": "fleetlb.v1.events.{tenant}.granted",
        "nodeJoined": "fleetlb.v1.events._fleet.node-joined",
        "nodeLost": "fleetlb.v1.events._fleet.node-lost",
        "driftRepaired": "fleetlb.v1.events._fleet.drift-repaired",
        "serviceTold": "fleetlb.v1.told.{tenant}.{uid}",
        "nodeTold": "fleetlb.v1.told._fleet.{group}.{node}",
    }
    reported = next(channel for channel in CHANNELS if channel.name == "serviceReported")
    assert reported.parameters == ("account", "cluster", "uid")
    assert reported.local == "reported.{cluster}.service.{uid}"
