"""The examples, run as their own words say."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import perdure
from examples import hello, order_processing, shop
from tests.support.source import ROOT


async def test_hello_greets_whom_it_is_told_to() -> None:
    async with perdure.Node(hello, store=":memory:") as node:
        assert (await node.service.run("hello", '"Ada"')).row.output == '"Hello, Ada!"'
        assert (await node.service.run("hello")).row.output == '"Hello, world!"'


async def test_an_order_that_nobody_delivers_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DIR", str(tmp_path))
    order = {
        **{"order_id": "o1", "customer": "Ada", "card": "4000", "address": "Atlantis"},
        "lines": [{"sku": "stapler", "quantity": 2, "cents": 1250}],
    }
    async with perdure.Node(order_processing, store=":memory:") as node:
        view = await node.service.run("process_order", json.dumps(order))

    receipt = json.loads(view.row.output or "null")
    assert receipt["outcome"] == "compensated"
    assert receipt["reason"] == "nobody delivers to 'Atlantis'"
    assert await asyncio.to_thread(_stock, "stapler") == shop.STOCK["stapler"]


def _stock(sku: str) -> int:
    with shop.open_books() as db:
        (available,) = db.execute("SELECT available FROM stock WHERE sku = ?", (sku,)).fetchone()
    return int(available)


def test_the_demo_finds_every_order_as_it_must_be() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo", "--orders", "40"],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kill -9 of n2 after 10 accepted orders" in done.stdout
    assert "n2 started again" in done.stdout
    assert "n3 handed over its work and left" in done.stdout
    assert re.search(r"nodes asked for every result +n1, n2\n", done.stdout)
    assert "nothing lost, nothing wrong, nothing done twice" in done.stdout
