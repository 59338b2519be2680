"""The factor between network and metres: chosen by ``scale.mode``, the same for all lengths.

A measured factor is followed slowly, so that no person seems to jump, and only when it differs from
the one in use by more than half its own uncertainty. The camera's path is put together from scaled
steps: whatever the factor does, the world frame stays continuous until the next reset.

Fused: each source gives the logarithm of the scale with a standard error of its own, to which comes
what it is off by in the same way in every frame. The network's own metres are one more source. They
are combined as the tracks of people are: weighted by inverse variance, with less weight for what
lies far from the others, and as uncertain as they contradict each other.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.scale.apply import scaled
from human3r.scale.people_scale import PeopleScale, person_votes
from human3r.scale.robot_scale import DepthScale, HeightScale, MotionScale, with_measured_depth
from human3r.scale.sources import Guess, Middle, ScaleSources, combined
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


_LOW, _HIGH = 0.01, 100.0
"""As ``scale.value``."""
_RATE_PER_S = 0.03
"""A person five metres away seems to move by 0.15 m/s while the scale is being corrected."""
_DEAD_BAND, _DEAD_STDDEVS = 0.01, 0.5
"""Differences that are let be: relative, and in standard deviations of what is measured."""
_ARRIVED = 1e-4
_LONGEST_STEP_S = 1.0
_WITH_DEPTH, _WITH_PEOPLE = ("depth", "fused"), ("people", "fused")
"""Modes that take these for a source."""
NEEDS_NODE = ("odometry", "depth")
"""Modes that measure with what only a robot has."""


@dataclass(frozen=True)
class ScaleReport:
    """The scale in use and what is behind it."""

    value: float
    """Metres per network unit, already applied."""
    source: str
    """The mode, or ``set_scale``; of ``fused`` what counts now, joined by ``+``."""
    measured: float
    """What the source says; NaN where nothing is measured."""
    relative_stddev: float
    """Standard error of ``measured`` over it; 0 for what is given, NaN without a measurement."""
    samples: int
    trouble: str
    """Why what is measured is not used; empty when all is well."""


class MetricScale:
    """Scales a stream's estimates.

    Args:
        settings: of these ``scale``.
        sources: what the surroundings know; the node gives them, a file has none.
        up_camera: from world_from_camera to the direction (3,) that points up, camera frame; None
            while it is not known.
        people_are_metric: bodies are in metres by themselves, and keep their size and place.
    """

    def __init__(
        self,
        settings: Settings,
        sources: ScaleSources | None = None,
        up_camera: Callable[[np.ndarray], np.ndarray | None] = lambda world_from_camera: None,
        *,
        people_are_metric: bool = False,
    ) -> None:
        if settings.scale.mode == "auto":
            is_known = people_are_metric or settings.scale.camera_height_m > 0
            mode = "fused" if is_known else "network"
            settings = settings.replace({"scale.mode": mode})
        self.value = settings.scale.value
        self._settings = settings
        self._up_camera = up_camera
        self._name = settings.scale.mode
        self._people_are_metric = people_are_metric or self._name == "people"
        self._source: ScaleSource | None = None
        self._people: PeopleScale | None = None
        self._guess = Guess()
        self.use(sources or ScaleSources())
        self._forget_path()

    def use(self, sources: ScaleSources) -> None:
        """Measure with what these sources know, from now on."""
        self._sources = sources
        if self._name != "set_scale":
            with_people = self._people_are_metric and self._name in _WITH_PEOPLE
            self._people = PeopleScale() if with_people else None
            self._source = self._source_of(sources)
            self._guess = Guess()

    def fix(self, value: float) -> None:
        """Use this scale, whatever the mode says; the caller begins a new session.

        Raises:
            ConfigError: not a number from 0.01 to 100.
        """
        check_scale(value)
        self.value, self._name, self._source, self._guess = float(value), "set_scale", None, Guess()
        self._people = None

    def restart(self, *, keep_world: bool, keep_value: bool = True) -> None:
        """A new session: what was measured stays in use until there is something better.

        Args:
            keep_world: go on in the same world frame.
            keep_value: False begins with ``scale.value`` again, unless one was set since.
        """
        if not keep_value and self._name != "set_scale":
            self.value, self._guess = self._settings.scale.value, Guess()
        if not keep_world:
            self._forget_path()
            if self._source is not None:
                self._source.forget()

    def apply(self, raw: FrameEstimate) -> FrameEstimate:
        """The estimate in metres; ``raw`` itself where the network's are taken as they are.

        Where a depth camera is a source of scale, points are its own, as far as it has any.
        """
        if self._source is not None and raw.has_scene:
            self._guess = self._source.update(raw)
            self._follow(raw.stamp_ns)
        estimate = self._in_metres(raw)
        if self._name in _WITH_DEPTH and raw.has_scene and raw.state_updated:
            measure = self._sources.depth_at(raw.stamp_ns)
            return estimate if measure is None else with_measured_depth(estimate, measure)
        return estimate

    def votes_of(self, raw: FrameEstimate) -> dict[int, float]:
        """``person_votes`` of the frame last given to ``apply``, not looked for a second time."""
        if self._people is not None and raw.has_scene:
            return self._people.last_votes
        return person_votes(raw)

    def _in_metres(self, raw: FrameEstimate) -> FrameEstimate:
        there = raw.world_from_camera[:3, 3]
        self._correction = self._correction + (self.value - 1.0) * (there - self._there)
        self._there = there.copy()
        if self.value == 1.0 and not self._correction.any():
            return raw
        return scaled(
            raw, self.value, there + self._correction, with_people=not self._people_are_metric
        )

    def report(self) -> ScaleReport:
        """As it is after the frame last given to ``apply``."""
        is_given = self._name in ("fixed", "set_scale")
        guess = self._guess
        stddev = guess.relative_stddev if math.isfinite(guess.relative_stddev) else math.nan
        trouble = f"{guess.trouble} The scale stays at {self.value:.3g}." if guess.trouble else ""
        source = self._name
        if source == "fused":
            source, trouble = "+".join(guess.sources) or "network", self._sources.trouble()
        return ScaleReport(
            self.value, source, guess.value, 0.0 if is_given else stddev, guess.samples, trouble
        )

    def _source_of(self, sources: ScaleSources) -> ScaleSource | None:
        """What measures in the mode; None where nothing does."""
        given_m = self._settings.scale.camera_height_m
        height = (lambda: given_m) if given_m > 0 else sources.camera_height_m
        known: dict[str, ScaleSource] = {
            "odometry": MotionScale(sources),
            "depth": DepthScale(sources),
            "camera_height": HeightScale(height, self._up_camera),
        }
        if self._people is not None:
            known["people"] = self._people
        return FusedScale(known) if self._name == "fused" else known.get(self._name)

    def _forget_path(self) -> None:
        self._there = np.zeros(3)
        self._correction = np.zeros(3)
        self._last_ns: int | None = None
        self._is_moving = False

    def _follow(self, stamp_ns: int) -> None:
        """One step of the value in use towards the measured one."""
        passed_s = 0.0 if self._last_ns is None else (stamp_ns - self._last_ns) * 1e-9
        self._last_ns = stamp_ns
        guess = self._guess
        if guess.trouble or not math.isfinite(guess.value):
            return
        gap = math.log(guess.value / self.value)
        if not self._is_moving and abs(gap) <= max(
            _DEAD_BAND, _DEAD_STDDEVS * guess.relative_stddev
        ):
            return
        most = _RATE_PER_S * min(max(passed_s, 0.0), _LONGEST_STEP_S)
        step = min(max(gap, -most), most)
        self.value *= math.exp(step)
        self._is_moving = abs(gap - step) > _ARRIVED


def check_scale(value: float) -> None:
    """Nothing, when ``value`` can be a scale.

    Raises:
        ConfigError: not a number from 0.01 to 100.
    """
    if not _LOW <= value <= _HIGH:
        raise ConfigError(
            f"scale is {value:g}; expected metres per network unit from {_LOW:g} to {_HIGH:g}. 1 "
            "leaves the network's own."
        )


def check_without_node(settings: Settings) -> None:
    """Nothing, when the scale can be had from images alone.

    Raises:
        ConfigError: a mode that needs a robot, or a height that is not given.
    """
    scale = settings.scale
    if scale.mode in NEEDS_NODE:
        raise ConfigError(
            f"scale.mode is {scale.mode}, which measures with what the ROS node hears; expected "
            "fused, network, fixed, people or camera_height for a file. Choose one, or play the "
            "recording to the node."
        )
    if scale.mode == "camera_height" and scale.camera_height_m <= 0:
        raise ConfigError(
            "scale.camera_height_m is 0 with scale.mode camera_height; expected the camera's "
            "height above the floor in metres. Measure and set it."
        )
