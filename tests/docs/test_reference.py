"""The tables of the documentation against the code that they describe."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
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


def test_every_line_of_the_log_stands_in_a_table() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    part = page.partition("\n### What the log says\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| (.+?) \| `(\w+)` \|", part, re.MULTILINE))
    said = {(text, event) for level, text, event in _logged() if level != "debug"}
    assert told == said
    for level, _, event in _logged():
        assert level != "debug" or f"`{event}`" in part, event


def _logged() -> Iterator[tuple[str, str, str]]:
    """Level, text and `event` of every record that the code logs."""
    for package in ("actors", "placement", "runtime"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(
                        ast.Attribute(attr=level),
                        # `log.warning(text)`, or `log.log(level, text)`.
                        [ast.Constant(str(text)), *_] | [_, ast.Constant(str(text)), *_],
                        [*_, ast.keyword("extra", ast.Dict([ast.Constant("event"), *_], values))],
                    ):
                        assert isinstance(values[0], ast.Constant), f"{path}:{node.lineno}"
                        yield level, text, str(values[0].value)


def test_every_module_stands_in_the_design_of_its_package() -> None:
    inner = ("workflow", "workflow/activities", "workflow/workers", "rpc", "storage", "api/peers")
    for folder in ("actors", "placement", "runtime", *(f"runtime/{name}" for name in inner)):
        design = _design_of(ROOT / folder).read_text()
        named = {name for text in re.findall(r"`([\w/.]+)`", design) for name in text.split("/")}
        modules = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__", "__main__"}
        missing = modules - {name.removesuffix(".py") for name in named}
        assert not missing, f"{folder}: {sorted(missing)}"


def _design_of(folder: Path) -> Path:
    """The nearest one, in the folder itself or above it."""
    found = folder / "DESIGN.md"
    return found if found.exists() else _design_of(folder.parent)


def test_a_design_is_read_in_one_sitting() -> None:
    lines = {str(page.relative_to(ROOT)): len(_lines(page)) for page in _designs()}
    assert {"runtime/DESIGN.md", "runtime/rpc/DESIGN.md"} < set(lines)
    assert {name: count for name, count in lines.items() if count > 150} == {}


def _designs() -> list[Path]:
    return [*ROOT.glob("*/DESIGN.md"), *ROOT.glob("*/*/DESIGN.md")]


def _lines(page: Path) -> list[str]:
    return page.read_text().splitlines()


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
    for page in (*PAGES, *_designs(), ROOT / "CHANGELOG.md"):
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
