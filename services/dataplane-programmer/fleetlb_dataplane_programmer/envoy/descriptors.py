"""Envoy's message classes from the committed descriptor set, in a pool of their own.

The private pool lets any other protobuf user in the process bring its own idea of the same files. It must not touch the
default pool, and knows nothing of virtual servers. How the set is made: deploy/envoy-descriptors/generate.py.
"""

import functools
import importlib.resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


@functools.cache
def pool() -> descriptor_pool.DescriptorPool:
    """The private pool, loaded once (about 2 ms)."""
    packed = importlib.resources.files(__package__).joinpath("descriptors.binpb").read_bytes()
    private = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(packed).file:
        private.Add(file)
    return private


@functools.cache
def message(full_name: str) -> Any:
    """The class of one message. Untyped: there are no stubs for classes made at run time."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(full_name))
