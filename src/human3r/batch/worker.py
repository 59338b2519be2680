"""``python -m human3r.batch.worker COMMAND ...``: a ``human3r`` command that ends with its batch.

A batch that is killed cannot end its workers. Left alone they would go on, and write results a
second time beside those of the batch that is started next.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""Of prctl(2), Linux: the signal that a process gets when its parent ends."""


def end_with_parent() -> None:
    """Have the system kill this process when its parent ends; on Linux, nothing elsewhere."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It ended in between.
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("human3r.cli.main", run_name="__main__", alter_sys=True)
