"""Every block of every page does what the page says: it is run, in order, in an empty directory.

`python` runs as a script; anything with `file=NAME` becomes (the next part of) that file; `sh` is
typed into a shell; an `output` block is what the block before it prints, with `...` for anything;
`json` and `toml` must parse. `text`, `mermaid` and blocks marked `not-run` are for the eye.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, Block, blocks_of
from tests.docs.terminal import Terminal


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_reader_can_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal:
        printed = ""
        for number, block in enumerate(blocks_of(page)):
            if block.language in ("", "text", "mermaid") or "not-run" in block.attributes:
                continue
            if block.language == "output":
                _check_output(block, printed)
            elif "file" in block.attributes:
                _write(block, tmp_path)
            elif block.language == "sh":
                printed = _run(block, terminal, block.text)
            elif block.language == "python":
                script = tmp_path / f"snippet_{number}.py"
                script.write_text(terminal.with_url(block.text))
                printed = _run(block, terminal, f"python -W error {script.name}")
            elif block.language == "json":
                json.loads(block.text)
            elif block.language == "toml":
                tomllib.loads(block.text)
            else:
                pytest.fail(f"{block.where}: nobody knows what to do with '{block.language}'")


def _run(block: Block, terminal: Terminal, commands: str) -> str:
    try:
        return terminal.type(commands)
    except AssertionError as error:
        raise AssertionError(f"{block.where}: {error}") from None


def _write(block: Block, directory: Path) -> None:
    if block.language == "toml":
        tomllib.loads(block.text)
    with (directory / block.attributes["file"]).open("a") as file:
        file.write(block.text)


def _check_output(block: Block, printed: str) -> None:
    """As written, but for trailing space, and `...` stands for anything."""
    wanted = ".*?".join(map(re.escape, block.text.strip().split("...")))
    shown = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    assert re.fullmatch(wanted, shown, re.DOTALL), (
        f"{block.where}: the page says\n{block.text}\nbut it prints\n{shown}"
    )
