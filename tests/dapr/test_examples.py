"""Programs as one writes them for Dapr's SDK, with its import line changed and nothing else."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent / "examples"


def output_of(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *argv: str
) -> list[str]:
    """The lines that a program prints when it is run by itself."""
    path = EXAMPLES / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *argv])
    runpy.run_path(str(path), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_task_chaining_hands_results_on_and_failures_to_the_handler(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = output_of("task_chaining", capsys, monkeypatch)
    assert lines[:4] == [
        "add_one got 42",
        "double got 43",
        "flip got 86",
        "finished: WorkflowStatus.COMPLETED, result [43, 86, 84]",
    ]
    assert lines[4:6] == ["add_one got -10", "double got -9"]
    assert lines[6].startswith("handled: ")
    assert lines[6].endswith(": Activity task #2 failed: no negative numbers")
    assert lines[7:] == ["finished: WorkflowStatus.FAILED, result None"]


def test_fan_out_works_on_every_item_and_sums_them_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = output_of("fan_out_fan_in", capsys, monkeypatch)
    text = "\n".join(lines)
    for item in range(1, 11):
        assert f"working on {item}" in text
        assert f"{item} gives {2 * item}" in text
    assert lines[-1] == "the sum is 110"


def test_a_child_runs_under_the_id_that_its_parent_chose(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = output_of("child_workflow", capsys, monkeypatch)
    assert lines == ["calling family-child", "child family-child called"]


def test_an_order_is_placed_once_somebody_has_approved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = "namespace(cost=2000.0, product='lamp', quantity=1)"
    assert output_of("human_approval", capsys, monkeypatch, "yes", "2000") == [
        f"approval is needed for {order}",
        f"placed {order}",
        "COMPLETED: \"approved by 'Ada'\"",
    ]


@pytest.mark.parametrize(("cost", "result"), [("2000", "cancelled"), ("10", "approved unseen")])
def test_an_order_that_nobody_approves_is_cancelled_unless_it_is_cheap(
    cost: str, result: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = output_of("human_approval", capsys, monkeypatch, "no", cost)
    assert lines[-1] == f'COMPLETED: "{result}"'


def test_a_monitor_goes_on_where_it_was_when_its_program_is_started_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, unhealthy = "job 'job1' is healthy", "job 'job1' is unhealthy"
    alert = "alert: job 'job1' is unhealthy!"
    first = output_of("monitor", capsys, monkeypatch)
    # Sorted: the program and its workflow print side by side, and nobody waits for an alert.
    shown = ["started job1", healthy, unhealthy, alert, healthy, healthy, "looked 4 times"]
    assert sorted(first) == sorted(shown)
    second = output_of("monitor", capsys, monkeypatch)
    assert second[0] == "job1 is being monitored already"
    assert "looked 8 times" in second
    assert second.count(alert) == 2


def test_async_activities_run_at_the_same_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = output_of("async_activities", capsys, monkeypatch)
    assert sorted(lines[:-1]) == [f"payload {n}: {n} characters" for n in range(5)]
    assert lines[-1] == "COMPLETED: 5 results, 20 characters"


def test_models_arrive_where_they_are_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output_of("pydantic_models", capsys, monkeypatch) == [
        "workflow: O-1 of Ada, 42.0",
        "activity: OrderRequest(order_id='O-1', customer='Ada', amount=42.0)",
        "workflow: a dict says approved=True",
        "client: OrderResult(order_id='O-1', approved=True, message='approved by itself')",
    ]


def test_the_simple_example_goes_through_everything_in_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output_of("simple", capsys, monkeypatch) == [
        "hi, counter",
        "the counter is 1",
        "the counter is 11",
        "try 1",
        "try 2",
        "after pause: SUSPENDED",
        "after resume: RUNNING",
        "the counter is 111",
        "the counter is 1111",
        'COMPLETED: "done"',
        "after purge: None",
    ]


def test_the_client_for_asyncio_does_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = output_of("simple_aio_client", capsys, monkeypatch)
    assert sorted(lines[:2]) == ['activity: "ADA"', "after pause: SUSPENDED"]
    assert lines[2] == 'COMPLETED: "Ada got a letter"'
    assert lines[3].startswith("listed 2, ")
    assert lines[4:] == ["after purge: None"]


def test_versions_and_patches_hold_for_what_is_under_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output_of("versioning", capsys, monkeypatch, "part1") == [
        "1: one version",
        "version 1 begins",
        "version 1 ends",
        "2: a second one appears half-way",
        "version 1 begins",
        "version 1 ends",
        "3: new instances run the second one",
        "version 2 begins",
        "version 2 ends",
        "patching begins",
        "4: new instances are patched",
        "patching begins",
        "early patch: True, late patch: True",
        "5: one that began before is patched from where it was",
        "early patch: False, late patch: True",
        "6: its version is gone",
        "version 1 begins",
        "it is stalled",
    ]
    assert output_of("versioning", capsys, monkeypatch, "part2") == ["version 1 ends"]


def test_a_program_that_forgets_to_shut_down_ends_all_the_same(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import perdure.dapr as wf\n"
        "runtime = wf.WorkflowRuntime()\n"
        "@runtime.workflow\n"
        "def forever(ctx):\n"
        "    while True:\n"
        "        yield ctx.call_activity(step)\n"
        "@runtime.activity\n"
        "def step(ctx):\n"
        "    pass\n"
        "runtime.start()\n"
        "wf.DaprWorkflowClient().schedule_new_workflow(forever, instance_id='forever')\n"
    )
    subprocess.run([sys.executable, "-W", "error", program], check=True, timeout=30)
