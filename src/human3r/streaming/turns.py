"""Which frames of a stream get depth, and which of them are asked for more."""

from dataclasses import dataclass

from human3r.config import Settings

_FIRST_ESTIMATES = 10
"""Frames with a scene of which each is asked for the focal length: a median of ten is steady."""


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
