"""A scripted node that the commands talk to, and a place for apps."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perdure.runtime.cli.main import cli


@dataclass
class Scripted:
    """Answers the requests one by one, as it was told to; with nothing left to say, `202 {}`."""

    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Each request's method with its path, and its body."""
    tokens: list[str | None] = field(default_factory=list)
    script: list[tuple[int, object] | Callable[[], tuple[int, object]]] = field(
        default_factory=list
    )

    def answers(self, status: int, fields: object) -> None:
        self.script.append((status, fields))

    def answer(self) -> tuple[int, object]:
        if not self.script:
            return 202, {}
        step = self.script.pop(0)
        return step() if callable(step) else step


def _handler(scripted: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            scripted.seen.append((f"{self.command} {self.path}", body))
            scripted.tokens.append(self.headers.get("dapr-api-token"))
            status, fields = scripted.answer()
            text = json.dumps(fields).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _reply

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def node() -> Iterator[Scripted]:
    scripted = Scripted()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(scripted)) as server:
        server.daemon_threads = True
        server.block_on_close = False
        scripted.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield scripted
        server.shutdown()
        thread.join()


Perdure = Callable[..., Result]


@pytest.fixture
def perdure(node: Scripted, monkeypatch: pytest.MonkeyPatch) -> Perdure:
    """Runs a command line against the scripted node."""
    monkeypatch.setenv("PERDURE_URL", node.url)
    monkeypatch.delenv("PERDURE_API_TOKEN", raising=False)
    monkeypatch.delenv("DAPR_API_TOKEN", raising=False)
    runner = CliRunner()

    def run(*args: str, stdin: str | None = None) -> Result:
        return runner.invoke(cli, args, input=stdin, prog_name="perdure", catch_exceptions=False)

    return run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]
