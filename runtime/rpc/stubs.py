"""Message classes from stored descriptors, without modules that protoc generates. An edge module.

Those check the version of protobuf against that of the compiler, and share one global pool of
names. The user's process may hold the stubs of an SDK, made for another version, so ours have
neither: any protobuf from 4.25 on will do, and nothing is shared.

`messages.binpb` and the types beside this module (`*.pyi`) are made from `*.proto` by
`python -m tests.rpc.regenerate`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    stored = files("perdure.runtime.rpc").joinpath("messages.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(stored).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def message_classes(file_name: str) -> dict[str, type[message.Message]]:
    """The classes of all messages of one `.proto` file, by name."""
    found = _pool().FindFileByName(file_name).message_types_by_name
    return {name: message_factory.GetMessageClass(about) for name, about in found.items()}
