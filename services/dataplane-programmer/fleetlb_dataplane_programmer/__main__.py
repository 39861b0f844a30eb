"""The dataplane-programmer as a process: wires the loop to the data plane, the bus and the state file.

fleetlb-dataplane-programmer                     runs
fleetlb-dataplane-programmer --check             validates the settings
fleetlb-dataplane-programmer --envoy-bootstrap   prints the configuration to start Envoy with
"""

import functools
import json
import os
import sys

from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.errors import FleetlbError
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.process import EX_CONFIG, Process, run
from fleetlb.runtime.settings import SettingsError, load
from fleetlb_dataplane_programmer.announcing import Announcing
from fleetlb_dataplane_programmer.emptying import Emptying
from fleetlb_dataplane_programmer.identity import Identity
from fleetlb_dataplane_programmer.instructions import FILE, Instructions
from fleetlb_dataplane_programmer.network import Network, announcements_of
from fleetlb_dataplane_programmer.node import Node
from fleetlb_dataplane_programmer.own_addresses import own_addresses
from fleetlb_dataplane_programmer.plane import plane_for
from fleetlb_dataplane_programmer.probing import probe
from fleetlb_dataplane_programmer.records import InstructionRecord, Record
from fleetlb_dataplane_programmer.remembering import StateFile
from fleetlb_dataplane_programmer.settings import Settings

SERVICE = "fleetlb-dataplane-programmer"


async def work(process: Process, settings: Settings) -> None:
    """Serve from the state file, then from the bus as soon as there is one. The data plane outlives this process."""
    state_file = StateFile(settings.state_dir, Record, node=settings.node, group=settings.group)
    state_file.lock()
    network = Network(process, settings)
    plane = plane_for(process, settings, Announcing(network.ways))
    node = Node(
        await _identity(process, settings),
        lambda on_outcome: plane.engine(
            on_outcome, lambda connected: node.set_connected(connected), lambda repaired: node.note_repairs(repaired)
        ),
        state_file,
        dial=functools.partial(probe, sources=plane.probe_sources),
        holdings=plane.holdings,
        tracing=process.tracing,
    )
    wishes = process.health.gate("wishes")
    node.recall()
    process.on_stop(node.save)
    await plane.start()
    network.tell_sessions(node.note_sessions)
    network.call_others(node.targets_on)
    network.start()
    process.spawn(node.run(), "node")
    emptying = Emptying(
        settings.node,
        give_way=network.give_way,
        connections=plane.connections,
        announced=network.announced,
        tell=node.note_draining,
    )
    process.spawn(emptying.run(), "connections")
    instructions = Instructions(
        settings.group,
        state_file.beside(FILE, InstructionRecord),
        emptying.heed,
        node.heed,
        *network.heeders,
        operator_key=settings.nats_operator_key,
    )
    instructions.recall()
    process.on_stop(instructions.save)
    process.spawn(instructions.run(), "state file of instructions")
    process.spawn(_follow(process, settings, node, instructions), "bus")
    await node.complete()
    wishes.open()


async def _identity(process: Process, settings: Settings) -> Identity:
    return Identity(
        node=settings.node,
        group=settings.group,
        allow_loopback=settings.allow_loopback_backends,
        operator_key=settings.nats_operator_key,
        own_addresses=await _own_addresses(process, settings),
        announces=frozenset(announcements_of(settings)),
    )


async def _own_addresses(process: Process, settings: Settings) -> frozenset[str]:
    """None on a machine that is a whole fleet: its tenants' nodes are here as well. That they cannot be read must keep
    nobody from being served."""
    if settings.allow_loopback_backends:
        return frozenset()
    try:
        return await own_addresses()
    except FleetlbError as problem:
        process.log.error("backends may be addresses of this machine", problem=str(problem))
        return frozenset()


async def _follow(process: Process, settings: Settings, node: Node, instructions: Instructions) -> None:
    bus = JetStreamBus(settings.dialling(), on_greeted=process.health.open_gate("nats-server").mind)
    await bus.begin(process.tasks)
    process.spawn(instructions.follow(bus), "instructions")
    await node.follow(bus)


def print_bootstrap() -> int:
    """Print the configuration that Envoy needs, from the same environment."""
    try:
        settings = load(Settings, os.environ)
    except SettingsError as error:
        print(*(f"{SERVICE}: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        return EX_CONFIG
    if settings.engine is not EngineName.ENVOY:
        print(f"{SERVICE}: the engine {settings.engine} needs no Envoy", file=sys.stderr)
        return EX_CONFIG
    print(json.dumps(settings.envoy_bootstrap(), indent=2))
    return 0


def main() -> int:
    """Run until stopped."""
    if sys.argv[1:] == ["--envoy-bootstrap"]:
        return print_bootstrap()
    return run(SERVICE, Settings, work)


if __name__ == "__main__":
    sys.exit(main())
