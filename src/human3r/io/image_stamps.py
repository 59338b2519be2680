"""Images that come without a stamp get one."""

import numpy as np

from human3r.checks import check_rgb_image
from human3r.errors import InputError
from human3r.types import Frame

_DEFAULT_RATE_HZ = 30.0


class ImageStamps:
    """Makes frames of plain images, as if a camera took them at a constant rate.

    Attributes:
        rate_hz: of that camera; velocities and what is forgotten after seconds depend on it.
    """

    def __init__(self, rate_hz: float = _DEFAULT_RATE_HZ) -> None:
        """The first image has stamp 0."""
        self.rate_hz = rate_hz
        self._next_ns = 0

    def frame_of(self, given: Frame | np.ndarray) -> Frame:
        """The frame itself, or an image as a frame one period after the last one.

        Raises:
            InputError: neither a frame nor an image, or a rate that is not positive.
        """
        if isinstance(given, Frame):
            # A frame that was looked at ahead comes a second time, after its successor.
            self._next_ns = max(self._next_ns, int(given.stamp_ns) + self._period_ns())
            return given
        if not isinstance(given, np.ndarray):
            raise InputError(
                f"frame is {_name_of(type(given))}; expected a Frame "
                "or an image: a NumPy array (height, width, 3), uint8, RGB. Files are opened by "
                "human3r.run or human3r.io.open_source; other images become arrays with "
                "numpy.asarray(image.convert('RGB')) or tensor.cpu().numpy()."
            )
        frame = Frame(check_rgb_image(given), self._next_ns)
        self._next_ns += self._period_ns()
        return frame

    def _period_ns(self) -> int:
        if not (isinstance(self.rate_hz, (int, float)) and 0 < self.rate_hz < 1e6):
            raise InputError(f"rate_hz is {self.rate_hz!r}; expected frames per second above 0.")
        return round(1e9 / self.rate_hz)


def _name_of(kind: type) -> str:
    """As a person would write it: torch.Tensor, str."""
    module = kind.__module__.partition(".")[0]
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
