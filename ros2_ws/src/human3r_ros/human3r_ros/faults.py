"""When failed frames mean that the stream cannot go on."""

from typing import Any

_RESET_AFTER = 3


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

    def report(self, around: Any) -> None:
        """Tell ``around.on_fault``, the first time there is a reason."""
        if self._reason and not self._is_reported:
            self._is_reported = True
            around.on_fault(self._reason)


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
