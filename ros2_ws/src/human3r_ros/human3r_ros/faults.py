"""How transitions and frames fail, and when failed frames mean that the stream cannot go on."""

import traceback
from collections.abc import Callable
from typing import Any, Protocol

from rclpy.lifecycle import TransitionCallbackReturn

from human3r.errors import Human3RError

_RESET_AFTER = 3
_FAULT_EXIT = 3


class FaultCounter:
    """Counts failures in a row and decides what they mean."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._memory_in_a_row = 0
        self._since_reset = 0
        self._reason = ""
        self._is_reported = False

    def succeeded(self) -> None:
        """A frame was answered: the row is broken."""
        self._in_a_row = self._memory_in_a_row = self._since_reset = 0

    def failed(self, text: str, limit: int, is_fatal: bool, is_out_of_memory: bool) -> None:
        """A frame raised.

        Args:
            text: why.
            limit: ``fault.max_consecutive``.
            is_fatal: nothing can work after this, such as a lost CUDA context.
            is_out_of_memory: one retry with an emptied cache is worth it, a second is not.
        """
        self._in_a_row += 1
        self._since_reset += 1
        self._memory_in_a_row = self._memory_in_a_row + 1 if is_out_of_memory else 0
        if is_fatal or self._memory_in_a_row >= 2 or self._in_a_row >= limit:
            self._reason = f"{self._in_a_row} frames failed in a row, the last with: {text}"

    def wants_reset(self) -> bool:
        """Whether so many failed that the recurrent state is under suspicion; true once."""
        if self._since_reset < _RESET_AFTER:
            return False
        self._since_reset = 0
        return True

    def report(self, context: Any) -> None:
        """Tell ``context.on_fault``, the first time there is a reason."""
        if self._reason and not self._is_reported:
            self._is_reported = True
            context.on_fault(self._reason)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device ran out of memory."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def is_fatal(error: BaseException) -> bool:
    """Whether the CUDA context is lost: later calls can only fail as well."""
    text = str(error)
    return not is_out_of_memory(error) and (
        type(error).__name__ == "AcceleratorError" or "CUDA error" in text
    )


class GivingUp(Protocol):
    """A lifecycle node that can end its stream by itself."""

    last_failure: str
    exit_code: int | None

    def get_logger(self) -> Any:
        """As of rclpy."""
        ...

    def trigger_deactivate(self) -> Any:
        """As of rclpy."""
        ...

    def trigger_cleanup(self) -> Any:
        """As of rclpy."""
        ...


def give_up(node: GivingUp, reason: str, policy: str) -> None:
    """End the stream, keep the reason, and let the process end where ``fault.policy`` is exit.

    Call it in the lifecycle's callback group: no other transition can run at the same time.
    """
    node.get_logger().error(f"giving up: {reason} (fault.policy is {policy})")
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.last_failure = reason
    if policy == "exit":
        node.exit_code = _FAULT_EXIT


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
