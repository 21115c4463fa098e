"""Results as tables for people. A value module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.budget import Judged
from benchmarks.result import Circumstances, Result, fsyncs

_HEAD = (
    "workload",
    "rate",
    "lowest to highest",
    "p50 ms",
    "p99 ms",
    "CPU-ms/wf",
    "tx/wf",
    "fsync/wf",
)


def results_table(results: Mapping[str, Result], under: Circumstances) -> str:
    """One row for each workload, then what only single workloads measure."""
    rows = [
        (
            result.workload,
            f"{_number(result.rate)} {result.unit}/s",
            f"{_number(min(result.rates))} to {_number(max(result.rates))}",
            _number(result.p50_ms),
            _number(result.p99_ms),
            f"{result.cpu_ms:.3f}",
            f"{result.transactions:.3f}",
            f"{fsyncs(result, under.durability):.3f}",
        )
        for result in results.values()
    ]
    more = [
        f"{result.workload}: load is {result.load}; latency is {result.latency_of}"
        + "".join(f"; {name} {_number(value)}" for name, value in result.figures.items())
        for result in results.values()
    ]
    return "\n".join([_table(_HEAD, rows), "", *more])


def budget_table(judged: Sequence[Judged]) -> str:
    rows = []
    for each in judged:
        line = each.line
        sign = "≤" if line.less_is_better else "≥"
        rows.append(
            (
                line.figure,
                f"{_number(each.value)} {line.unit}".strip(),
                f"{sign} {_number(line.floor)}",
                f"{sign} {_number(line.goal)}",
                str(each.mark),
            )
        )
    return _table(("figure", "measured", "floor", "goal", ""), rows)


def heading(under: Circumstances) -> str:
    size = ", quick" if under.quick else ""
    return (
        f"perdure {under.perdure} ({under.commit}), Python {under.python}, SQLite {under.sqlite}, "
        f"{under.loop}, gc {under.gc}, {under.cores} cores ({under.machine}), "
        f"durability {under.durability}{size}"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    ruler = ["-" * width for width in widths]
    lines = []
    for row in (head, ruler, *rows):
        # Names to the left, figures to the right.
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
