"""The model of Envoy on a real gRPC stream over a unix socket."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from fleetlb_dataplane_programmer.envoy.delta import Push, Request
from fleetlb_dataplane_programmer.envoy.descriptors import message
from fleetlb_dataplane_programmer.envoy.resources import KINDS, TYPE_URLS, Resource
from tests.unit.fleetlb_dataplane_programmer.envoy.model_envoy import ModelEnvoy

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
REQUEST = message("envoy.service.discovery.v3.DeltaDiscoveryRequest")
RESPONSE = message("envoy.service.discovery.v3.DeltaDiscoveryResponse")


@contextlib.asynccontextmanager
async def stream(socket: pathlib.Path) -> AsyncIterator[Any]:
    """A bare stream, to write requests to and read responses from."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        open_stream = channel.stream_stream(METHOD, REQUEST.SerializeToString, RESPONSE.FromString)
        yield open_stream()  # type: ignore[call-arg]  # the stubs want an iterator of requests


@contextlib.asynccontextmanager
async def connected(envoy: ModelEnvoy, socket: pathlib.Path) -> AsyncIterator[None]:
    """Have the model talk to the server on this socket until the end of the block."""
    envoy.connect()
    async with stream(socket) as call, asyncio.TaskGroup() as tasks:
        talking = tasks.create_task(_talk(envoy, call))
        try:
            yield
        finally:
            talking.cancel()


async def _talk(envoy: ModelEnvoy, call: Any) -> None:
    while True:
        while envoy.requests:
            await call.write(_encoded(envoy.requests.popleft()))
        envoy.take(_decoded(await call.read()))


def _encoded(request: Request) -> Any:
    encoded = REQUEST(
        type_url=TYPE_URLS[request.kind],
        response_nonce=request.nonce,
        initial_resource_versions=request.versions,
    )
    if request.error is not None:
        encoded.error_detail.message = request.error
    return encoded


def _decoded(response: Any) -> Push:
    return Push(
        kind=KINDS[response.type_url],
        nonce=response.nonce,
        resources=tuple((item.name, Resource(item.version, item.resource.value)) for item in response.resources),
        removed=tuple(response.removed_resources),
    )
