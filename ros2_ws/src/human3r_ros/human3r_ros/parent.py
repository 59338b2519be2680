"""A process that does not outlive the one that started it."""

import ctypes
import os
import signal
import sys

LAUNCHED = "HUMAN3R_END_WITH_PARENT"
"""Environment variable that our launch files set for the processes they start."""
_PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this signal when the parent ends, even by SIGKILL; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def end_with_launch() -> None:
    """The same for a process of our launch files; no other process is concerned.

    ``ros2 launch`` leaves its processes running when it is killed, or when an action of the
    launch file fails while they are started.
    """
    if os.environ.get(LAUNCHED) == "1":
        end_with_parent(signal.SIGTERM)
