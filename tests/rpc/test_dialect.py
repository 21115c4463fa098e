from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.rpc.dialect import Dialect, WorkerTraits, traits_of
from tests.rpc.frames import field, time
from tests.rpc.test_stubs import messages

NAME_A = field(1, field(1, "A"))

GRPC_PYTHON = "grpc-python/1.81.1 grpc-c/48.0.0 (linux; chttp2)"
JS = "dapr-js-sdk/workflow 3.18.0 grpc-node-js/1.13.0"


def told(raw: bytes, agent: str = GRPC_PYTHON, forced: Dialect | None = None) -> WorkerTraits:
    return traits_of(pb.GetWorkItemsRequest.FromString(raw), agent, forced)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", WorkerTraits(Dialect.DAPR)),
        (
            field(4, b"\x02\x03"),
            WorkerTraits(Dialect.DAPR, stateful_history=True, ping_field=6),
        ),
        (field(4, 3), WorkerTraits(Dialect.DAPR, ping_field=6)),
        (
            field(1, 20) + field(2, 30),
            WorkerTraits(Dialect.NEUTRAL, ping_field=4, turns_max=20, activities_max=30),
        ),
        (field(3, 5), WorkerTraits(Dialect.NEUTRAL, ping_field=4)),
        (
            field(1, 20) + field(2, 30) + field(10, b"\x02"),
            WorkerTraits(Dialect.MICROSOFT, ping_field=4, turns_max=20, activities_max=30),
        ),
        (field(12, "worker-1"), WorkerTraits(Dialect.MICROSOFT, ping_field=4)),
        (
            field(11, NAME_A + field(2, field(1, "b")) + field(2, field(1, "c"))),
            WorkerTraits(
                Dialect.MICROSOFT,
                ping_field=4,
                turn_names=frozenset({"A"}),
                activity_names=frozenset({"b", "c"}),
            ),
        ),
        (
            field(11, b""),
            WorkerTraits(
                Dialect.MICROSOFT,
                ping_field=4,
                turn_names=frozenset(),
                activity_names=frozenset(),
            ),
        ),
    ],
)
def test_a_worker_is_known_by_its_request(raw: bytes, expected: WorkerTraits) -> None:
    assert told(raw) == expected


def test_a_worker_in_javascript_gets_no_more_than_it_can_queue() -> None:
    traits = told(b"", JS)
    assert traits.dialect is Dialect.DAPR
    assert traits.turns_max is not None
    assert traits.activities_max is not None
    assert traits.turns_max + traits.activities_max <= 100
    assert traits.ping_field is None


def test_limits_below_one_are_none() -> None:
    assert told(field(1, -1) + field(2, 7)).turns_max is None


@pytest.mark.parametrize("forced", list(Dialect))
def test_a_dialect_that_was_set_by_hand_holds(forced: Dialect) -> None:
    assert told(field(4, 2), forced=forced).dialect is forced


def test_a_stateful_worker_keeps_history_in_daprs_dialect_only() -> None:
    assert told(field(4, 2)).stateful_history
    assert not told(field(4, 2), forced=Dialect.MICROSOFT).stateful_history


def test_a_silent_worker_gets_pings_only_if_it_is_said_to_be_microsofts() -> None:
    assert told(b"", forced=Dialect.MICROSOFT).ping_field == 4
    assert told(b"", forced=Dialect.NEUTRAL).ping_field is None
    assert told(field(1, 5), forced=Dialect.DAPR).ping_field == 4


def test_microsofts_time_of_a_start_request_is_no_flag() -> None:
    flag = pb.CreateInstanceRequest.FromString(field(1, "i") + field(10, 1))
    request = pb.CreateInstanceRequest.FromString(field(1, "i") + time(10, 5))
    assert flag.enforceUniqueInstanceId
    assert request.instanceId == "i"
    assert not request.enforceUniqueInstanceId


def test_microsofts_batch_of_ids_to_purge_is_not_read_as_daprs_flag_to_force() -> None:
    forced = pb.PurgeInstancesRequest.FromString(field(1, "i") + field(4, 1))
    batch = field(1, "a") + field(1, "b")
    several = pb.PurgeInstancesRequest.FromString(field(4, batch) + field(5, 1))
    assert forced.force
    assert not several.HasField("force")
    assert not several.HasField("router")
    unknown = UnknownFieldSet(several)
    found = {unknown[at].field_number: unknown[at].data for at in range(len(unknown))}
    assert found == {4: batch, 5: 1}


def test_both_dialects_policies_for_used_ids_can_be_read() -> None:
    request = pb.CreateInstanceRequest.FromString(field(6, field(1, b"\x01\x03")))
    assert list(request.orchestrationIdReusePolicy.replaceableStatus) == [1, 3]


@settings(max_examples=100, deadline=None, database=None)
@given(raw=st.binary(max_size=60) | messages)
def test_whatever_a_worker_asks_for_says_what_it_is(raw: bytes) -> None:
    try:
        request = pb.GetWorkItemsRequest.FromString(raw)
    except DecodeError:
        return
    assert traits_of(request, "").dialect in Dialect
