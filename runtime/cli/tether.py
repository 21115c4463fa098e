"""The pipe by which a worker process notices that its supervisor has died. An edge module.

The supervisor alone holds the end for writing, and never writes: the end for reading ends when the
supervisor does, however that happens.
"""

from __future__ import annotations

import os
import signal
import threading


def hold_on_to(tether: int) -> None:
    """Send SIGTERM to this process when the supervisor, at the other end of `tether`, is gone.

    So it drains; or ends at once while it is not so far that it could: there is nothing to drain.
    """
    os.set_inheritable(tether, False)
    threading.Thread(target=_wait, args=(tether,), name="perdure-tether", daemon=True).start()


def _wait(tether: int) -> None:
    os.read(tether, 1)
    # The supervisor was what read our stderr: writing to it must not fail from now on.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    os.kill(os.getpid(), signal.SIGTERM)
