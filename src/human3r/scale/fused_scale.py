"""Scale from everything that knows metres: one number and how sure it is.

Each source gives the logarithm of the scale with a standard error of its own, to which comes what
it is off by in the same way in every frame. The network's own metres are one more source. They are
combined as the tracks of people are: weighted by inverse variance, with less weight for what lies
far from the others, and as uncertain as they contradict each other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from human3r.scale.guess import Guess, Middle, combined
from human3r.types import FrameEstimate

_NETWORK_STDDEV = 0.1
"""Of the depth network's own scale in one place."""
_SYSTEMATIC_STDDEV = {"people": 0.0, "camera_height": 0.1, "odometry": 0.03, "depth": 0.01}
"""What more frames do not make better: of camera_height the network's floor against the rest of its
scene, of odometry wheels and the network's drift; people have theirs in their standard error."""


class ScaleSource(Protocol):
    """Something that measures the scale while the stream runs."""

    def update(self, raw: FrameEstimate) -> Guess:
        """What is known after a frame, whose lengths are in network units."""
        ...

    def forget(self) -> None:
        """A new world."""
        ...


@dataclass(frozen=True)
class FusedScale:
    """Asks every source, and believes each as far as it can be trusted.

    Attributes:
        sources: by name, as ``scale.mode`` calls them.
    """

    sources: Mapping[str, ScaleSource]

    def forget(self) -> None:
        """A new world: what was measured of the old one says little about it."""
        for source in self.sources.values():
            source.forget()

    def update(self, raw: FrameEstimate) -> Guess:
        """What is known after a frame; unusable answers are left out."""
        guesses = {name: source.update(raw) for name, source in self.sources.items()}
        usable = {
            name: guess
            for name, guess in guesses.items()
            if not guess.trouble and math.isfinite(guess.value)
        }
        if not usable:
            return Guess()
        middles = [
            Middle(
                math.log(guess.value), math.hypot(guess.relative_stddev, _SYSTEMATIC_STDDEV[name])
            )
            for name, guess in usable.items()
        ]
        middle = combined([*middles, Middle(0.0, _NETWORK_STDDEV)])
        samples = sum(guess.samples for guess in usable.values())
        return Guess(math.exp(middle.value), middle.stddev, samples, sources=tuple(usable))
