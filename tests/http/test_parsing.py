"""What can arrive only as a function's argument, because a path never has an empty part."""

from __future__ import annotations

import pytest

from perdure.runtime.api import parameters, parsing
from perdure.runtime.workflow.errors import InvalidRequest


@pytest.mark.parametrize("text", [None, ""])
@pytest.mark.parametrize(
    ("parameter", "code", "message"),
    [
        (
            parameters.WORKFLOW_NAME,
            "ERR_WORKFLOW_NAME_MISSING",
            "workflow name is not configured",
        ),
        (
            parameters.INSTANCE_ID,
            "ERR_INSTANCE_ID_PROVIDED_MISSING",
            "no instance ID was provided",
        ),
        (parameters.EVENT_NAME, "ERR_WORKFLOW_EVENT_NAME_MISSING", "missing workflow event name"),
    ],
)
def test_a_missing_part_of_the_path_has_daprs_code(
    parameter: parameters.Parameter[str], text: str | None, code: str, message: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parameter.parse(text)
    assert (caught.value.code, str(caught.value)) == (code, message)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1969-12-31T23:59:59.5Z", -500_000),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200_000_000),
        ("9999-12-31T23:59:59.999999-14:00", 253_402_351_199_999_999),
    ],
)
def test_a_time_is_microseconds_since_the_epoch(text: str, us: int) -> None:
    assert parsing.time("startTime")(text) == us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-01",
        "20260101T000000Z",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:01Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00 02:00",
        "٢٠٢٦-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
    ],
)
def test_what_is_no_rfc3339_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"'startTime'.*2009-11-10T23:00:00Z") as caught:
        parsing.time("startTime")(text)
    assert caught.value.code == "ERR_BAD_REQUEST"
    assert ("%2B" in str(caught.value)) == (" " in text)
