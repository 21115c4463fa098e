"""`perdure workflow …`: what is asked of the node, what is printed where, and the exit codes."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import click
import pytest

from perdure.runtime.cli.output import print_table, printable
from perdure.runtime.remote.errors import CannotConnect
from tests.cli.conftest import Perdure, Scripted


def instance(status: str, **properties: str) -> dict[str, Any]:
    named = {f"dapr.workflow.{name}": value for name, value in properties.items()}
    return {
        "instanceID": "o1",
        "workflowName": "greet",
        "runtimeStatus": status,
        "createdAt": "2026-08-01T10:00:00Z",
        "lastUpdatedAt": "2026-08-01T10:00:01Z",
        "properties": named,
    }


def listed(instance_id: str, status: str, **more: str) -> dict[str, str]:
    return {"instanceID": instance_id, "workflowName": "greet", "runtimeStatus": status} | more


def test_run_prints_the_instance_id(node: Scripted, perdure: Perdure) -> None:
    node.answers(202, {"instanceID": "o1"})
    result = perdure("workflow", "run", "greet", "--id", "o1", "--input", '{"a": 1.0}')
    assert (result.exit_code, result.stdout) == (0, "o1\n")
    assert node.seen == [
        ("POST /v1.0/workflows/dapr/greet/start?instanceID=o1", '{"a": 1.0}'),
    ]


def test_run_prints_json_for_programs(node: Scripted, perdure: Perdure) -> None:
    node.answers(202, {"instanceID": "o1"})
    result = perdure("workflow", "run", "greet", "-o", "json")
    assert json.loads(result.stdout) == {"instanceID": "o1"}


def test_the_output_may_be_chosen_before_the_command(node: Scripted, perdure: Perdure) -> None:
    node.answers(202, {"instanceID": "o1"})
    result = perdure("-o", "json", "workflow", "run", "greet")
    assert json.loads(result.stdout) == {"instanceID": "o1"}


def test_input_comes_from_a_file_or_from_stdin(
    node: Scripted, perdure: Perdure, tmp_path: Path
) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"from": "file"}')
    for args in (["--input-file", str(file)], ["--input-file", "-"], ["--input", "-"]):
        node.answers(202, {"instanceID": "o1"})
        assert perdure("workflow", "run", "greet", *args, stdin='"stdin"').exit_code == 0
    assert [body for _, body in node.seen] == ['{"from": "file"}', '"stdin"', '"stdin"']


def test_input_that_is_no_json_is_refused_with_the_right_quotes(
    node: Scripted, perdure: Perdure
) -> None:
    result = perdure("workflow", "run", "greet", "--input", "paperclips")
    assert result.exit_code == 2
    assert """--input '"paperclips"'""" in result.stderr
    assert node.seen == []


@pytest.mark.parametrize(
    "args",
    [
        ["run", "greet", "--timeout", "1"],
        ["run", "greet", "--input", "1", "--input-file", "-"],
        ["run", "greet", "--start-at", "tomorrow"],
        ["run", "greet", "--wait", "--timeout", "0"],
        ["list", "--status", "ASLEEP"],
        ["get"],
    ],
    ids=" ".join,
)
def test_wrong_usage_has_exit_code_2(perdure: Perdure, args: list[str]) -> None:
    result = perdure("workflow", *args, stdin="1")
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_a_start_time_is_sent_in_utc(node: Scripted, perdure: Perdure) -> None:
    node.answers(202, {"instanceID": "o1"})
    perdure("workflow", "run", "greet", "--start-at", "2026-12-31T18:00:00+01:00")
    assert node.seen[0][0].endswith("?startTime=2026-12-31T17%3A00%3A00Z")


def test_run_with_wait_tells_the_changes_and_prints_the_result(
    node: Scripted, perdure: Perdure
) -> None:
    node.answers(202, {"instanceID": "o1"})
    node.answers(200, instance("RUNNING"))
    node.answers(200, instance("SUSPENDED", custom_status='"halfway"'))
    node.answers(200, instance("COMPLETED", output='{"n": 1}'))
    result = perdure("workflow", "run", "greet", "--wait")
    assert (result.exit_code, result.stdout) == (0, '{"n": 1}\n')
    assert result.stderr.splitlines() == [
        "started o1",
        "o1 RUNNING",
        'o1 SUSPENDED "halfway"',
        "o1 COMPLETED",
    ]


def test_a_wait_asks_for_any_other_status(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, instance("RUNNING"))
    node.answers(200, instance("COMPLETED"))
    assert perdure("workflow", "wait", "o1").stdout == "null\n"
    first, second = (target for target, _ in node.seen)
    assert "RUNNING" in first
    assert "PENDING" not in first
    assert "RUNNING" not in second
    assert "UNKNOWN" not in first + second


def test_a_failed_workflow_has_exit_code_1_and_its_reason_on_stderr(
    node: Scripted, perdure: Perdure
) -> None:
    failed = instance(
        "FAILED", **{"failure.error_type": "ValueError", "failure.error_message": "no\x1b[2Jstock"}
    )
    node.answers(202, {"instanceID": "o1"})
    node.answers(200, failed)
    result = perdure("workflow", "run", "greet", "--wait")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "perdure: workflow 'o1' ended FAILED: ValueError: no\\x1b[2Jstock" in result.stderr


def test_a_terminated_workflow_has_exit_code_1(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, instance("TERMINATED"))
    result = perdure("workflow", "wait", "o1", "-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["runtimeStatus"] == "TERMINATED"


def test_a_wait_that_is_over_has_exit_code_6_and_says_how_to_go_on(
    node: Scripted, perdure: Perdure
) -> None:
    node.answers(200, instance("RUNNING"))
    result = perdure("workflow", "wait", "o1", "--timeout", "0.000001")
    assert result.exit_code == 6
    assert "'o1' is still RUNNING" in result.stderr
    assert "perdure workflow wait o1" in result.stderr


def test_a_stalled_instance_does_not_go_on_by_itself(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, instance("STALLED"))
    result = perdure("workflow", "wait", "o1", "--timeout", "0.000001")
    assert "It goes on once its code fits again" in result.stderr


def test_ctrl_c_ends_the_waiting_and_says_how_to_go_on(
    node: Scripted, perdure: Perdure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "perdure.runtime.sync_client.SyncWorkflowClient.poll_workflow_state", interrupted
    )
    node.answers(202, {"instanceID": "o1"})
    result = perdure("workflow", "run", "greet", "--wait")
    assert result.exit_code == 130
    assert "stopped following" in result.stderr
    assert "perdure workflow wait o1" in result.stderr
    assert len(node.seen) == 1


def test_a_node_that_goes_away_while_it_is_followed_leaves_the_way_to_go_on(
    node: Scripted, perdure: Perdure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*args: object, **named: object) -> None:
        raise CannotConnect(node.url, "connection refused")

    monkeypatch.setattr("perdure.runtime.sync_client.SyncWorkflowClient.poll_workflow_state", lost)
    result = perdure("workflow", "wait", "o1")
    assert result.exit_code == 5
    assert "perdure workflow wait o1" in result.stderr
    assert "connection refused" in result.stderr


def test_get_shows_one_fact_a_line(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, instance("RUNNING", input='"Ada"'))
    result = perdure("workflow", "get", "o1")
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["instance"] == "o1"
    assert facts["status"] == "RUNNING"
    assert facts["input"] == '"Ada"'


def test_get_decodes_payloads_for_programs(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, instance("COMPLETED", input="paperclips", output='{"n": 1}'))
    document = json.loads(perdure("workflow", "get", "o1", "-o", "json").stdout)
    assert document["input"] == "paperclips"
    assert document["output"] == {"n": 1}
    assert document["createdAt"] == "2026-08-01T10:00:00Z"


@pytest.mark.parametrize("command", ["get", "wait"])
def test_an_instance_says_which_worker_it_waits_for(
    node: Scripted, perdure: Perdure, command: str
) -> None:
    reason = "no connected worker runs workflow 'greet'"
    node.answers(200, {**instance("PENDING"), "properties": {"perdure.waiting.reason": reason}})
    more = ("--timeout", "0.000001") if command == "wait" else ()
    result = perdure("workflow", command, "o1", *more)
    assert reason in result.stdout + result.stderr


def test_get_of_an_unknown_instance_has_exit_code_3(node: Scripted, perdure: Perdure) -> None:
    node.answers(
        404, {"errorCode": "ERR_INSTANCE_ID_NOT_FOUND", "message": "unable to find workflow: o1"}
    )
    result = perdure("workflow", "get", "o1")
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        "perdure: unable to find workflow: o1 (ERR_INSTANCE_ID_NOT_FOUND)",
        "`perdure workflow list` shows the instances that there are.",
    ]


def test_a_refusal_has_exit_code_4(node: Scripted, perdure: Perdure) -> None:
    message = "… orchestration has not yet completed"
    node.answers(500, {"errorCode": "ERR_PURGE_WORKFLOW", "message": message})
    result = perdure("workflow", "purge", "o1")
    assert result.exit_code == 4
    assert message in result.stderr
    assert "Terminate it first" in result.stderr


def test_a_node_that_is_not_there_has_exit_code_5(perdure: Perdure) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = perdure("workflow", "get", "o1", "--url", url)
    assert result.exit_code == 5
    assert f"cannot reach a node at {url}: connection refused" in result.stderr
    assert "perdure serve APP" in result.stderr


def test_a_url_that_is_none_has_exit_code_2(perdure: Perdure) -> None:
    result = perdure("workflow", "get", "o1", "--url", "ftp://node")
    assert result.exit_code == 2
    assert "is not the URL of a node" in result.stderr


def test_a_list_is_an_aligned_table(node: Scripted, perdure: Perdure) -> None:
    long = listed("o22222", "FAILED", errorType="ValueError", errorMessage="x" * 100)
    node.answers(200, {"instances": [listed("o1", "RUNNING", customStatus="half\nway"), long]})
    lines = perdure("workflow", "list").stdout.splitlines()
    assert lines[0].split() == ["INSTANCE", "WORKFLOW", "STATUS", "CREATED", "UPDATED", "DETAILS"]
    assert {line.index(word) for line, word in zip(lines, ("STATUS", "RUN", "FAIL"), strict=True)}
    assert lines[1].endswith("half\\nway")
    assert lines[2].endswith("…")


def test_a_list_passes_its_filter_on(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, {"instances": []})
    result = perdure(
        *("workflow", "list", "--status", "failed", "--status", "RUNNING", "--name", "greet"),
        *("--prefix", "o", "--created-from", "2026-08-01T00:00:00Z", "--oldest-first"),
        *("--limit", "7"),
    )
    assert result.exit_code == 0
    assert node.seen[0][0] == (
        "GET /v1.0/workflows/dapr?status=FAILED%2CRUNNING&name=greet"
        "&createdFrom=2026-08-01T00%3A00%3A00Z&prefix=o&order=asc&limit=7"
    )
    assert "no workflow instances" in result.stderr


def test_a_list_says_that_there_is_more(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, {"instances": [listed("o1", "RUNNING")], "cursor": "c"})
    result = perdure("workflow", "list", "--limit", "1")
    assert "o1" in result.stdout
    assert "--all" in result.stderr
    assert len(node.seen) == 1


def test_all_pages_are_listed_when_asked(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, {"instances": [listed("o1", "RUNNING")], "cursor": "c"})
    node.answers(200, {"instances": [listed("o2", "RUNNING")]})
    document = json.loads(perdure("workflow", "list", "--all", "-o", "json").stdout)
    assert [entry["instanceID"] for entry in document["instances"]] == ["o1", "o2"]
    assert document["more"] is False


def test_instances_are_counted_by_status(node: Scripted, perdure: Perdure) -> None:
    node.answers(200, {"instances": [], "counts": {"RUNNING": 2, "FAILED": 1}})
    lines = perdure("workflow", "list", "--count").stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["FAILED", "1"],
        ["RUNNING", "2"],
        ["total", "3"],
    ]


@pytest.mark.parametrize(
    ("args", "request_line"),
    [
        (["suspend", "o1"], "POST /v1.0/workflows/dapr/o1/pause"),
        (["resume", "o1"], "POST /v1.0/workflows/dapr/o1/resume"),
        (["terminate", "o1"], "POST /v1.0/workflows/dapr/o1/terminate"),
        (
            ["terminate", "o1", "--no-children"],
            "POST /v1.0/workflows/dapr/o1/terminate?recursive=false",
        ),
        (["purge", "o1"], "POST /v1.0/workflows/dapr/o1/purge"),
        (["purge", "o1", "--force"], "POST /v1.0/workflows/dapr/o1/purge?force=true"),
        (["raise-event", "o1", "paid"], "POST /v1.0/workflows/dapr/o1/raiseEvent/paid"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_verbs_ask_and_confirm(
    node: Scripted, perdure: Perdure, args: list[str], request_line: str
) -> None:
    result = perdure("workflow", *args)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "o1" in result.stderr
    assert node.seen[0][0] == request_line


def test_event_data_is_sent_as_it_was_typed(node: Scripted, perdure: Perdure) -> None:
    perdure("workflow", "raise-event", "o1", "paid", "--data", "10.00")
    assert node.seen[0][1] == "10.00"


def test_the_token_comes_from_a_file_or_the_environment(
    node: Scripted, perdure: Perdure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("from file\n")
    perdure("workflow", "resume", "o1", "--api-token-file", str(file))
    monkeypatch.setenv("PERDURE_API_TOKEN", "from environment")
    perdure("workflow", "resume", "o1")
    assert node.tokens == ["from file", "from environment"]


def test_a_missing_token_file_is_named(perdure: Perdure, tmp_path: Path) -> None:
    result = perdure("workflow", "get", "o1", "--api-token-file", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "--api-token-file" in result.stderr


def test_control_characters_are_made_visible() -> None:
    assert printable("a\x1b[31m\tb\u202e é") == "a\\x1b[31m\\tb\\u202e é"


def test_a_table_on_a_terminal_takes_names_for_what_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    print_table(("INSTANCE", "STATUS"), [("[red]o1[/red]", "FAILED")])
    heading, row = click.unstyle(capsys.readouterr().out).splitlines()
    assert heading.split() == ["INSTANCE", "STATUS"]
    assert row.split() == ["[red]o1[/red]", "FAILED"]
