"""Which frames of a stream are looked at: those that show something, each when it is its turn.

Nothing is known from the images of a covered lens, from darkness, fog, or a picture that is frozen.
Of the others some get depth, and some of these are asked for more.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from human3r.config import Settings
from human3r.types import FrameEstimate

_SAMPLE_PX, _SMALL_PX = 256, 32
"""Longer side of the sample taken of an image, and of what it is averaged to."""
_BLUR_PX = 2.0
UNSEEN = {
    "blank": "the image shows no scene, so it was kept out of the session's memory and nothing is "
    "known from it; expected structure. Lens covered? Dark, or fog? Numbers of 10 to 14 bits in "
    "an encoding of 16, whose white is 65535?",
    "frozen": "the picture is frozen: every image has been identical to the last bit for as long "
    "as input.max_frozen_s, so nothing is known from it; expected noise, as every camera has. "
    "Restart the camera driver, or set input.max_frozen_s to 0 for a simulator whose images have "
    "no noise.",
}
"""Why nothing is known from an image, ``FrameEstimate.unseen``, in words."""
_LEAST_REPEATED = 3
_LEAST_STRUCTURE = 3.5
"""Grey levels. Noise of a dark sensor averages out to 1; scenes in daylight have 20 and more."""

_FIRST_ESTIMATES = 10
"""Frames with a scene of which each is asked for the focal length: a median of ten is steady."""


def shows_scene(image: np.ndarray) -> bool:
    """Whether an image (height, width, 3) uint8 shows anything but light and noise.

    It is made small, so that noise averages out. Brightness that changes smoothly (vignetting,
    light beside a cover) is taken out: over the whole image as a polynomial of second order, from
    place to place as a blurred copy. What is left has to vary.
    """
    step = max(1, max(image.shape[:2]) // _SAMPLE_PX)
    sample = image[::step, ::step]
    height, width = sample.shape[:2]
    scale = _SMALL_PX / max(height, width)
    size = (max(4, round(width * scale)), max(4, round(height * scale)))
    small = cv2.resize(sample, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    basis = _smooth_basis(*size)
    flat = small.reshape(-1, 3)
    left = (flat - basis @ (basis.T @ flat)).reshape(small.shape)
    left -= cv2.GaussianBlur(left, (0, 0), _BLUR_PX)
    return float(left.reshape(-1, 3).std(axis=0).max()) >= _LEAST_STRUCTURE


class SamePicture:
    """Notices that a driver, or a recording of one, repeats one image."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next image has no predecessor."""
        self._last: np.ndarray | None = None
        self._since_ns = self._repeated = 0

    @property
    def is_repeated(self) -> bool:
        """Whether the last image was the one before it, so the camera has not moved."""
        return self._repeated > 0

    def lasts_s(self, image: np.ndarray, stamp_ns: int) -> float:
        """For how long the picture has been this one to the last bit; to be asked once per image.

        0 until it has come four times: a slow stream, or a slide show, may well repeat itself.

        Args:
            image: (height, width, 3) uint8, kept until the next one.
            stamp_ns: of the image.
        """
        before, self._last = self._last, image
        if before is None or not _is_same(before, image):
            self._since_ns, self._repeated = stamp_ns, 0
        else:
            self._repeated += 1
        if self._repeated < _LEAST_REPEATED:
            return 0.0
        return max(0, stamp_ns - self._since_ns) * 1e-9


def nothing_seen(
    estimate: FrameEstimate, world_from_camera: np.ndarray, reason: str = "blank"
) -> FrameEstimate:
    """The answer to an image from which nothing is known: no people, no depth, camera where it was.

    Args:
        estimate: what the network made of the image.
        world_from_camera: (4, 4) of the last image with a scene.
        reason: ``blank`` or ``frozen``.
    """
    return replace(
        estimate,
        points_camera=np.zeros_like(estimate.points_camera),
        points_world=None,
        confidence=np.zeros_like(estimate.confidence),
        person_probability=np.zeros_like(estimate.person_probability),
        world_from_camera=world_from_camera,
        # As where the points fit no camera.
        estimated_focal_px=0.0,
        people=(),
        state_updated=False,
        unseen=reason,
        is_motion_known=False,
    )


@dataclass(frozen=True)
class Turn:
    """What is done about one frame."""

    with_scene: bool = True
    """The frame gets depth."""
    with_network: bool = True
    """The recurrent network looks at it."""
    with_focal: bool = True
    """The focal network looks at it, where that one is in use."""


class Turns:
    """Counts a session's frames.

    Attributes:
        with_network: some frames are for the recurrent network.
    """

    def __init__(self, *, frames_may_pass: bool, with_network: bool) -> None:
        """The next frame is a session's first.

        Args:
            frames_may_pass: people come from elsewhere, so not every frame needs a scene.
            with_network: frames with a scene need the recurrent network; False where depth, motion
                and focal length come from elsewhere too.
        """
        self.with_network = with_network
        self._frames_may_pass = frames_may_pass
        self._next = 0

    def restart(self) -> None:
        """A new session begins with the next frame."""
        self._next = 0

    def take(self, settings: Settings) -> Turn:
        """The turn of the next frame; to be asked once for every frame."""
        number, self._next = self._next, self._next + 1
        every = settings.scene.every if self._frames_may_pass else 1
        if number % every:
            return Turn(with_scene=False, with_network=False, with_focal=False)
        scenes = number // every
        is_early = scenes < _FIRST_ESTIMATES
        is_due = is_early or scenes % settings.camera.estimate_every == 0
        return Turn(with_network=self.with_network, with_focal=is_due)


@lru_cache(maxsize=8)
def _smooth_basis(width: int, height: int) -> np.ndarray:
    """(pixels, 6) orthonormal: the polynomials of second order over an image."""
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    return np.linalg.qr(np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1))[0]


def _is_same(before: np.ndarray, image: np.ndarray) -> bool:
    if before.shape != image.shape:
        return False
    # Live images differ nearly everywhere: a few rows tell without reading the rest.
    some = slice(None, None, max(1, len(image) // 8))
    return np.array_equal(before[some], image[some]) and np.array_equal(before, image)
