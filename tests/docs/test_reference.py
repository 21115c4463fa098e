"""The tables of the documentation against the code that they describe."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path

from perdure.runtime.api import operations
from perdure.runtime.api.operations import Operation
from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.config import NodeConfig
from tests.docs.pages import PAGES
from tests.support.source import ROOT


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    text = f"\n{(ROOT / page).read_text()}".partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table, f"{page}: no table below '{heading}'"
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    told = {name.strip("`"): default.strip("`") for name, default, _ in rows_of_settings()}
    assert list(told) == [field.name for field in fields(NodeConfig)]
    for field in fields(NodeConfig):
        if field.default is not MISSING:
            assert told[field.name] == _shown(field.default), field.name


def rows_of_settings() -> list[list[str]]:
    return rows("docs/operations.md", "## Settings")


def _shown(default: object) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return str(default.value if isinstance(default, Enum) else default)


def test_every_exit_code_stands_in_the_table() -> None:
    told = [int(code) for code, _ in rows("docs/operations.md", "## Exit codes")]
    assert told == [code.value for code in ExitCode]


def test_every_operation_stands_in_the_table_with_its_status() -> None:
    served = {
        (operation.method, operation.path, operation.success)
        for operation in vars(operations).values()
        if isinstance(operation, Operation) and not operation.at_root
    }
    told = set()
    for _, where, success, _ in rows("docs/http-api.md", "# The HTTP API"):
        method, _, path = where.strip("`").partition(" ")
        told.add((method, path, int(success)))
    assert told == served


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)
    }
    assert {"demo", "test", "bench"} <= named <= targets


def test_links_lead_somewhere() -> None:
    broken = []
    for page in (*PAGES, *ROOT.glob("*/DESIGN.md"), ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if not target.startswith("https://") and not _exists(page, target):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def _exists(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    found = page.parent / name if name else page
    return found.exists() and (not anchor or anchor in _anchors(found))


def _anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
