"""Every block of every page does what the page says: it is run, in order, in an empty directory.

`python` and `js` run as scripts; anything with `file=NAME` becomes (the next part of) that file;
`sh` is typed into a shell; an `output` block is what the block before it prints, with `...` for
anything; `json` and `toml` must parse. `text`, `mermaid` and blocks marked `not-run` are for the
eye. Blocks with `sdk=NAME` run with that SDK, and are left out where it cannot be had; the page of
an example is then left out as a whole. The example's files are there when its page is read.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, Block, blocks_of, page_name
from tests.docs.terminal import Terminal
from tests.sdk.environments import (
    DAPR_1_17,
    DAPR_1_18,
    DAPR_1_19,
    DAPR_JS,
    DURABLETASK,
    node_project,
    python_of,
)
from tests.support.source import ROOT

SDKS = {sdk.name: sdk for sdk in (DAPR_1_19, DAPR_1_18, DAPR_1_17, DURABLETASK)}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_a_reader_can_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    blocks = [block for block in blocks_of(page) if _is_to_be_run(block)]
    places, missing = _places({block.sdk for block in blocks if block.sdk is not None})
    if page.parent.parent == ROOT / "examples":
        if missing:
            pytest.skip("; ".join(missing))
        shutil.copytree(page.parent, tmp_path, dirs_exist_ok=True)
    with Terminal(tmp_path) as terminal:
        printed: str | None = ""
        for number, block in enumerate(blocks):
            if block.language == "output":
                if printed is not None:
                    _check_output(block, terminal, printed)
            elif block.language in ("json", "toml") or "file" in block.attributes:
                _keep(block, tmp_path)
            elif block.sdk is not None and block.sdk not in places:
                printed = None
            else:
                terminal.use(**places.get(block.sdk or "", {}))
                printed = _do(block, terminal, tmp_path / f"snippet_{number}")
    if missing:
        pytest.skip(f"all but this was run: {'; '.join(missing)}")


def _is_to_be_run(block: Block) -> bool:
    return block.language not in ("", "text", "mermaid") and "not-run" not in block.attributes


def _places(names: Iterable[str]) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """Where each SDK is, and why some cannot be had on this machine."""
    places, missing = {}, []
    for name in names:
        try:
            if name == DAPR_JS.name:
                places[name] = {"modules": node_project(DAPR_JS)[1] / "node_modules"}
            else:
                places[name] = {"python": python_of(SDKS[name])}
        except pytest.skip.Exception as error:
            missing.append(str(error))
    return places, missing


def _do(block: Block, terminal: Terminal, script: Path) -> str:
    """Run a block, and return what it prints."""
    match block.language:
        case "sh":
            return _run(block, terminal, block.text)
        case "python":
            # What an SDK warns of is not ours to mend.
            command = "python -W error" if block.sdk is None else "python"
            script = script.with_suffix(".py")
        case "js":
            command, script = "node", script.with_suffix(".js")
        case _:
            pytest.fail(f"{block.where}: nobody knows what to do with '{block.language}'")
    script.write_text(terminal.with_ports(block.text))
    return _run(block, terminal, f"{command} {script.name}")


def _run(block: Block, terminal: Terminal, commands: str) -> str:
    try:
        return terminal.type(commands)
    except AssertionError as error:
        raise AssertionError(f"{block.where}: {error}") from None


def _keep(block: Block, directory: Path) -> None:
    """Check it, and write it if it says where to."""
    if block.language == "toml":
        tomllib.loads(block.text)
    if block.language == "json":
        json.loads(block.text)
    if "file" not in block.attributes:
        return
    with (directory / block.attributes["file"]).open("a") as file:
        file.write(block.text)


def _check_output(block: Block, terminal: Terminal, printed: str) -> None:
    """As written, but for trailing space, and `...` stands for anything."""
    wanted = ".*?".join(map(re.escape, terminal.with_ports(block.text).strip().split("...")))
    shown = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    assert re.fullmatch(wanted, shown, re.DOTALL), (
        f"{block.where}: the page says\n{block.text}\nbut it prints\n{shown}"
    )
