"""The repository as text and syntax trees, for tests that read it."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("actors", "placement", "runtime")


@dataclass(frozen=True)
class Source:
    """One Python file of the repository."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def package(self) -> str:
        return self.path.partition("/")[0]

    @property
    def module(self) -> str:
        dotted = self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        return f"perdure.{dotted}"

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and full name of everything imported, wherever in the file it stands."""
        found: list[tuple[int, str]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}:{node.lineno}: relative import"
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        return found

    def at(self, line: int, what: str) -> str:
        return f"{self.path}:{line}: {what}"


@cache
def sources(*folders: str) -> list[Source]:
    """The Python files in `folders`, the package by default."""
    paths = [
        path
        for folder in folders or PACKAGES
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def repository_files() -> list[Path]:
    """What git has or would take, without following links."""
    listed = subprocess.run(
        [
            *("git", "-c", f"safe.directory={ROOT}"),
            *("ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    paths = [ROOT / name for name in sorted(filter(None, listed.split("\0")))]
    return [path for path in paths if path.is_file()]
