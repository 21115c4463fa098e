"""Makes `messages.binpb` and the `.pyi` files of `runtime/rpc` from its `.proto` files.

python -m tests.rpc.regenerate
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.source import ROOT

HOME = ROOT / "runtime" / "rpc"
PROTOS = ("taskhub.proto", "runtime.proto")
MADE = ("messages.binpb", "taskhub_pb2.pyi", "runtime_pb2.pyi")


def regenerate(target: Path) -> None:
    """Write all files of `MADE` into `target`."""
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        f"--proto_path={HOME}",
        f"--descriptor_set_out={target / 'messages.binpb'}",
        "--include_imports",
        f"--pyi_out={target}",
        *PROTOS,
    ]
    subprocess.run(command, check=True)
    for path in target.glob("*_pb2.pyi"):
        # protoc leaves the arguments of this type open, which strict checkers refuse.
        text = path.read_text().replace("_Mapping]", "_Mapping[str, object]]")
        path.write_text("# Made by `python -m tests.rpc.regenerate`.\n" + text)


if __name__ == "__main__":
    regenerate(HOME)
    sys.stdout.write(f"made {', '.join(MADE)} in {HOME}\n")
