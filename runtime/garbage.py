"""The garbage collector of a process that does nothing but serve a node. An edge module.

What a workflow needs is freed by reference counts: it leaves no cycles behind, so that nearly all
of the collector's work is in vain. With Python's own thresholds that was a sixth of a busy node's
CPU, and pauses of 30 ms. A program that embeds a node decides for itself: it has its own garbage.
"""

from __future__ import annotations

import gc

_THRESHOLDS = (10_000, 10, 10)
"""Python's are (700, 10, 10). User code may leave cycles, so that it is never turned off."""


def settle() -> None:
    """Call once the process has started: all that exists now is there to stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
