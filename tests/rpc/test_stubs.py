from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.runtime.rpc.stubs import message_classes
from tests.rpc.frames import field
from tests.rpc.regenerate import HOME, MADE, PROTOS, regenerate
from tests.support.source import ROOT

ALL = {name: kind for file in PROTOS for name, kind in message_classes(file).items()}


@pytest.mark.skipif(importlib.util.find_spec("grpc_tools") is None, reason="needs grpcio-tools")
def test_what_was_made_from_the_proto_files_is_current(tmp_path: Path) -> None:
    regenerate(tmp_path)
    made = [name for name in MADE if (tmp_path / name).read_bytes() != (HOME / name).read_bytes()]
    assert not made, "run `python -m tests.rpc.regenerate`"


def test_the_pool_of_the_process_does_not_know_our_messages() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("perdure.taskhub.WorkItem")


@pytest.mark.parametrize(
    "sdk",
    [
        "dapr.ext.workflow._durabletask.internal.orchestrator_service_pb2",
        "durabletask.internal.orchestrator_service_pb2",
    ],
)
@pytest.mark.parametrize("ours_first", [True, False])
def test_the_stubs_of_an_sdk_may_be_in_the_same_process(sdk: str, ours_first: bool) -> None:
    if importlib.util.find_spec(sdk.partition(".")[0]) is None:
        pytest.skip(f"{sdk.partition('.')[0]} is not installed")
    imports = [
        f"import {sdk} as sdk",
        "import perdure.runtime.rpc.taskhub_pb2 as ours",
    ]
    lines = [
        *(reversed(imports) if ours_first else imports),
        "made = ours.TerminateRequest(instanceId='a', recursive=True).SerializeToString()",
        "assert sdk.TerminateRequest.FromString(made).SerializeToString() == made",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, cwd=ROOT)


numbers = st.integers(1, 15) | st.sampled_from([16, 17, 20, 21, 22, 30, 31, 32])
plain = st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8) | st.binary(max_size=8)
"""Contents of fields; messages are made of messages."""
messages = st.recursive(
    st.lists(st.builds(field, numbers, plain), max_size=4).map(b"".join),
    lambda inner: st.lists(st.builds(field, numbers, plain | inner), max_size=4).map(b"".join),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", ALL.values(), ids=ALL)
@settings(max_examples=15, deadline=None, database=None)
@given(raw=st.binary(max_size=40) | messages)
def test_whatever_arrives_is_a_message_or_cannot_be_decoded(
    kind: type[Message], raw: bytes
) -> None:
    try:
        found = kind.FromString(raw)
    except DecodeError:
        return
    again = kind.FromString(found.SerializeToString())
    assert again.SerializeToString() == found.SerializeToString()


def test_the_facts_of_the_wire_do_not_need_the_sdks_names() -> None:
    made = ALL["TerminateRequest"](instanceId="a", recursive=True)
    assert made.SerializeToString() == field(1, "a") + field(3, 1)
