"""How a lifecycle transition of ours runs and fails."""

import traceback
from collections.abc import Callable

from rclpy.lifecycle import TransitionCallbackReturn

from human3r.errors import Human3RError
from human3r_ros.faults import is_out_of_memory

UNDER_WAY = {
    "configure": "configuring",
    "activate": "activating",
    "deactivate": "deactivating",
    "cleanup": "cleaning up",
    "shutdown": "shutting down",
    "error processing": "processing an error",
}
"""Transition to what the node is doing meanwhile."""


def run_transition(
    name: str, work: Callable[[], None], undo: Callable[[], None], log: Callable[[str], object]
) -> tuple[TransitionCallbackReturn, str]:
    """Do the work; rclpy would turn an exception into ERROR and log nothing.

    Args:
        name: of the transition, for messages.
        work: what it does.
        undo: gives back what half the work has taken.
        log: writes one error.

    Returns:
        SUCCESS and nothing; FAILURE and the reason for what a user can mend; ERROR and the reason
        for a bug of ours.
    """
    try:
        work()
    except Human3RError as error:
        return _failed(name, str(error), undo, log, TransitionCallbackReturn.FAILURE)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            text = f"not enough memory ({text}). Free some, or use a smaller network."
            return _failed(name, text, undo, log, TransitionCallbackReturn.FAILURE)
        log(traceback.format_exc())
        return _failed(name, text, undo, log, TransitionCallbackReturn.ERROR)
    return TransitionCallbackReturn.SUCCESS, ""


def _failed(
    name: str,
    text: str,
    undo: Callable[[], None],
    log: Callable[[str], object],
    result: TransitionCallbackReturn,
) -> tuple[TransitionCallbackReturn, str]:
    log(f"{name} failed: {text}")
    try:
        undo()
    except Exception:
        log(traceback.format_exc())
        result = TransitionCallbackReturn.ERROR
    return result, text
