"""The fenced blocks of a page of the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.source import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]

_FENCE = re.compile(r"```(?P<language>\w*) *(?P<attributes>.*)")


@dataclass(frozen=True)
class Block:
    """One fenced block. Where it says `file=NAME`, it is the text, or the next part, of a file."""

    page: str
    line: int
    language: str
    attributes: dict[str, str]
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def sdk(self) -> str | None:
        """The environment that it needs, beside perdure."""
        return self.attributes.get("sdk")


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    found: list[Block] = []
    opened: re.Match[str] | None = None
    begun, lines = 0, list[str]()
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if opened is None:
            opened = _FENCE.fullmatch(line)
            begun, lines = number, []
        elif line == "```":
            words = opened["attributes"].split()
            attributes = {name: value for name, _, value in (word.partition("=") for word in words)}
            text = "\n".join([*lines, ""])
            found.append(Block(page_name(page), begun, opened["language"], attributes, text))
            opened = None
        else:
            lines.append(line)
    assert opened is None, f"{page_name(page)}:{begun}: the block is not closed"
    return found
