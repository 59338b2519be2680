"""Whether the cameras agree: residuals of every view, and what is odd about them in words."""

from collections import deque
from dataclasses import dataclass
from statistics import median

import numpy as np

from human3r.multiview.settings import FusionSettings

_WINDOW = 150
"""Residuals that a median is taken of."""
_ENOUGH = 20
_BLIND = 60
"""Frames; a person behind something is seen again before."""
_PIXEL_NOISE = 4.0
"""Pixels that the people of one view may be off by themselves."""


@dataclass(frozen=True)
class ViewHealth:
    """One camera among the others."""

    view: str
    residual_px: float
    """Median distance in its image between its own people and the fused ones; NaN while no
    person was seen by another camera too."""
    expected_px: float
    """Residuals up to this are what the calibration's standard deviations explain."""
    shared: int
    """People seen together with another camera, over all frames."""
    alone: int
    """Frames in which it and another camera saw people, and no person was the same."""
    trouble: str = ""
    """What is wrong in words; empty while nothing is."""


class Health:
    """Collects what every frame says of the cameras."""

    def __init__(self, settings: FusionSettings) -> None:
        self._settings = settings
        self._residuals: dict[str, deque[float]] = {}
        self._expected: dict[str, float] = {}
        self._shared: dict[str, int] = {}
        self._alone: dict[str, int] = {}
        self._blind: dict[str, int] = {}
        self._swapped: dict[str, str] = {}

    def observe(
        self,
        view: str,
        residuals_px: np.ndarray,
        focal_px: float,
        *,
        others_see: bool,
        sees: bool,
        should_see: bool,
    ) -> None:
        """One frame of one view.

        Args:
            view: its name.
            residuals_px: of its people who are seen by others too.
            focal_px: of its image.
            others_see: whether any other view has people now.
            sees: whether this one has.
            should_see: whether people of others are where its image is.
        """
        values = self._residuals.setdefault(view, deque(maxlen=_WINDOW))
        values.extend(residuals_px.tolist())
        settings = self._settings
        usual = np.hypot(_PIXEL_NOISE, focal_px * settings.camera_rotation_rad)
        self._expected[view] = settings.max_residual_px or 3.0 * float(usual)
        self._shared[view] = self._shared.get(view, 0) + len(residuals_px)
        if sees or should_see:
            self._blind[view] = 0 if sees else self._blind.get(view, 0) + 1
        if sees and others_see:
            alone = 0 if len(residuals_px) else self._alone.get(view, 0) + 1
            self._alone[view] = alone

    def suspect_swap(self, view: str, other: str) -> None:
        """Say that people of a view would agree if it had the pose of another one."""
        self._swapped[view] = other

    def is_lonely(self, view: str) -> bool:
        """Whether no person was shared for many frames although others see people."""
        return self._alone.get(view, 0) >= _ENOUGH

    def views(self) -> list[str]:
        """Every view so far."""
        return sorted(self._residuals)

    def of(self, view: str) -> ViewHealth:
        """What is known of a view."""
        values = self._residuals.get(view, ())
        residual = median(values) if len(values) else float("nan")
        expected = self._expected.get(view, float("nan"))
        trouble = ""
        if self.is_lonely(view) and view in self._swapped:
            other = self._swapped[view]
            trouble = (
                f"camera {view}: its people agree with the others' only if it had the pose of "
                f"{other}. Are the two swapped? Exchange their poses or their images."
            )
        elif self.is_lonely(view):
            trouble = (
                f"camera {view}: sees people, and so do others, but no person was the same for "
                f"{self._alone[view]} frames; expected people in view of two cameras at once. Do "
                "they look at the same place, do their clocks agree, is no image mirrored or "
                "upside down, and is the calibration right? `human3r calibrate` finds it from "
                "people."
            )
        elif self._blind.get(view, 0) >= _BLIND:
            trouble = (
                f"camera {view}: sees no person in {self._blind[view]} frames in which others see "
                "people where it looks; expected to see them too. Is it covered or very dark, "
                "does it hang upside down without its pose saying so, or is its pose wrong?"
            )
        elif len(values) >= _ENOUGH and residual > expected:
            trouble = (
                f"camera {view}: its people lie {residual:.0f} px from where the others see them; "
                f"expected up to {expected:.0f} px. Has a camera been moved, is its image "
                "mirrored, or do clocks differ? "
                "`human3r calibrate` finds poses and time offsets from people."
            )
        return ViewHealth(
            view,
            residual,
            expected,
            self._shared.get(view, 0),
            self._alone.get(view, 0),
            trouble,
        )
