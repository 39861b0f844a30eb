"""Balancer nodes that announce VIPs by BGP, and what they say of their sessions with the router."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fleetlb.domain.routing import BgpPeer, BgpSpeaking
from fleetlb.testkit.eventually import eventually
from fleetlb_dataplane_programmer.bgp.configuring import host_route
from fleetlb_dataplane_programmer.bgp.control import BirdControl
from fleetlb_dataplane_programmer.bgp.reading import Session
from fleetlb_dataplane_programmer.bgp.routes import RouteOf
from fleetlb_dataplane_programmer.bgp.speaking import BirdSpeaker, Place
from tests.stage.routers import NODES_ASN, ROUTER_ASN, RoutedNetwork, RoutedNode, RouterSession

UP_SECONDS = 30.0


class Speaking:
    """A node's programmer, as far as it speaks BGP."""

    def __init__(self, node: RoutedNode, speaking: BgpSpeaking, route_of: RouteOf = host_route) -> None:
        """It does nothing yet."""
        self.node, self.sessions = node, dict[str, Session]()
        place = Place(
            node=node.name,
            router_id=node.address,
            directory=node.folder,
            passwords=node.passwords,
            audit_seconds=0.1,
        )
        control = BirdControl(node.bird.socket, seconds=2.0)
        self.speaker = BirdSpeaker(speaking, control, place, route_of=route_of, on_sessions=self._see)

    def _see(self, sessions: Mapping[str, Session]) -> None:
        self.sessions = dict(sessions)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Speaking"]:
        """It looks after BIRD until the end of the block; then it is killed."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.speaker.run())
            try:
                yield self
            finally:
                running.cancel()

    async def until_up(self, *peers: str) -> None:
        """Wait until sessions stand."""
        await eventually(lambda: all(peer in self.sessions and self.sessions[peer].is_up for peer in peers), UP_SECONDS)

    async def until_problem(self, peer: str, *words: str) -> None:
        """Wait until the state or the problem of a session holds these words."""

        def is_told() -> bool:
            session = self.sessions.get(peer)
            return session is not None and all(word in f"{session.state} {session.problem}" for word in words)

        await eventually(is_told, UP_SECONDS)


def peer_of(node: RoutedNode, **fields: Any) -> BgpPeer:
    """The router as a node's own peer, by short times: `tor-1` for node-1."""
    settings = {"name": f"tor-{node.number}", "address": node.router_address, "asn": ROUTER_ASN, "nodes": (node.name,)}
    return BgpPeer(**{**settings, "hold_seconds": 9, "connect_retry_seconds": 1, **fields})


def speaking_of(*peers: BgpPeer, **fields: Any) -> BgpSpeaking:
    """A group with these peers."""
    return BgpSpeaking(**{"asn": NODES_ASN, "peers": peers, **fields})


@contextlib.asynccontextmanager
async def one_speaking(
    net: RoutedNetwork, *sessions: RouterSession, speaking: BgpSpeaking | None = None, route_of: RouteOf = host_route
) -> AsyncIterator[Speaking]:
    """The first node speaks, by default over one session that is as the router expects it."""
    first = net.nodes[0]
    await net.start(*(sessions or [first.router_session()]))
    async with Speaking(first, speaking or speaking_of(peer_of(first)), route_of).running() as made:
        yield made


@contextlib.asynccontextmanager
async def all_speaking(net: RoutedNetwork) -> AsyncIterator[list[Speaking]]:
    """Every node has a session with the router, which stands."""
    await net.start(*(node.router_session() for node in net.nodes))
    speaking = speaking_of(*map(peer_of, net.nodes))
    async with contextlib.AsyncExitStack() as stack:
        made = [await stack.enter_async_context(Speaking(node, speaking).running()) for node in net.nodes]
        for each in made:
            await each.until_up(f"tor-{each.node.number}")
        yield made
