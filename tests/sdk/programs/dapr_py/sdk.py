"""The SDK that these programs use: Dapr's, or perdure's own in its place."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from typing import Any

MODULE = os.environ.get("SDK_MODULE", "dapr.ext.workflow")
wf: Any = importlib.import_module(MODULE)
"""The one line that differs: `import dapr.ext.workflow as wf` or `import perdure.dapr as wf`."""
aio: Any = importlib.import_module(f"{MODULE}.aio")

IS_DAPR = MODULE == "dapr.ext.workflow"


def _version() -> tuple[int, int]:
    if not IS_DAPR:
        return 1, 19  # perdure.dapr follows this release.
    major, minor, *_ = importlib.metadata.version("dapr").split(".")
    return int(major), int(minor)


VERSION = _version()
