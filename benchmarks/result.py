"""What a workload reports, and under which circumstances it was measured. A value module."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.options import Options, uvloop_version
from perdure.runtime.node import package_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figures of one workload. Rates and latencies are those of the median round."""

    workload: str
    unit: str
    rates: list[float]
    """Units per second, one figure for each round."""
    p50_ms: float
    p99_ms: float
    load: str
    """How it was made."""
    latency_of: str
    cpu_ms: float
    """CPU per workflow, user and system, over all processes and threads."""
    transactions: float
    """Write transactions per workflow."""
    figures: dict[str, float] = field(default_factory=dict)
    """What only this workload measures."""

    @property
    def rate(self) -> float:
        ordered = sorted(self.rates)
        return ordered[(len(ordered) - 1) // 2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    python: str
    sqlite: str
    perdure: str
    commit: str
    loop: str
    gc: str
    cores: int
    machine: str
    durability: str
    quick: bool


def circumstances(options: Options) -> Circumstances:
    uvloop = uvloop_version() if options.uvloop else None
    return Circumstances(
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        perdure=package_version(),
        commit=_commit(),
        loop="asyncio" if uvloop is None else f"uvloop {uvloop}",
        gc="as serve sets it" if options.settle else "Python's",
        cores=_cores(),
        machine=f"{platform.system()} {platform.machine()}",
        durability=options.durability,
        quick=options.quick,
    )


def fsyncs(result: Result, durability: str) -> float:
    """Fsyncs of the log per workflow: one for each transaction, or none.

    Checkpoints add two or three for every 4 MB written, whatever the durability.
    """
    return result.transactions if durability == "full" else 0.0


def as_json(result: Result, under: Circumstances) -> str:
    """One line for machines."""
    line: dict[str, Any] = {
        "workload": result.workload,
        "unit": result.unit,
        "rate": result.rate,
        "rates": result.rates,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "load": result.load,
        "latency_of": result.latency_of,
        "cpu_ms_per_workflow": result.cpu_ms,
        "transactions_per_workflow": result.transactions,
        "fsyncs_per_workflow": fsyncs(result, under.durability),
        "figures": result.figures,
        **msgspec.to_builtins(under),
    }
    return msgspec.json.encode(line).decode()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _commit() -> str:
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=10"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
