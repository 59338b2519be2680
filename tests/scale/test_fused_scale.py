"""One scale from all that knows metres."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from human3r.config import Settings
from human3r.scale import MetricScale, ScaleSources
from human3r.scale.metric_scale import FusedScale
from human3r.scale.sources import Guess
from tests.scale.streams import FRAME_NS, T0, estimate, pose, room_depth

NAMES = ("people", "camera_height", "odometry", "depth")
UP_WORLD = pose()[:3, :3].T @ [0.0, 0.0, 1.0]
"""In the world of the first camera."""


@dataclass
class Says:
    """A source that always says the same."""

    guess: Guess
    is_forgotten: bool = False

    def update(self, raw):
        return self.guess

    def forget(self):
        self.is_forgotten = True


def fused(**guesses):
    return FusedScale({name: Says(guess) for name, guess in guesses.items()}).update(RAW)


RAW = estimate(0, pose(), pose())
guesses = st.builds(Guess, st.floats(0.3, 3.0), st.floats(0.001, 0.1), st.integers(1, 100))


@given(st.dictionaries(st.sampled_from(NAMES), guesses, min_size=1))
def test_the_scale_lies_between_what_is_said_and_the_networks_own(given_guesses):
    made = fused(**given_guesses)
    values = [1.0, *(one.value for one in given_guesses.values())]
    assert min(values) - 1e-9 <= made.value <= max(values) + 1e-9
    assert 0 < made.relative_stddev < 2
    assert made.sources == tuple(given_guesses)
    assert made.trouble == ""


@given(guesses, st.sampled_from(NAMES))
def test_a_source_that_agrees_makes_it_surer_and_one_that_cannot_tell_changes_nothing(one, name):
    alone = fused(people=one)
    again = fused(people=one, depth=one)
    assert again.relative_stddev <= alone.relative_stddev + 1e-9
    lost = fused(people=one, **({} if name == "people" else {name: Guess(trouble="no floor")}))
    assert lost == alone


def test_a_depth_camera_counts_more_than_people_and_they_more_than_the_network():
    made = fused(people=Guess(1.3, 0.065, 20), depth=Guess(1.1, 0.005, 20))
    assert made.value == pytest.approx(1.1, rel=0.01)
    made = fused(people=Guess(1.1, 0.065, 20))
    assert 1.05 < made.value < 1.1


def test_contradicting_sources_make_it_unsure():
    agreeing = fused(odometry=Guess(1.2, 0.03, 9), depth=Guess(1.2, 0.03, 9))
    contradicting = fused(odometry=Guess(0.8, 0.03, 9), depth=Guess(1.4, 0.03, 9))
    assert contradicting.relative_stddev > 3 * agreeing.relative_stddev


def test_nothing_known_is_no_trouble_and_a_new_world_reaches_every_source():
    assert fused(people=Guess(), depth=Guess(trouble="no depth image")) == Guess()
    sources = {name: Says(Guess()) for name in NAMES}
    FusedScale(sources).forget()
    assert all(source.is_forgotten for source in sources.values())


def test_by_default_whatever_a_robot_knows_is_used_and_named():
    path = [pose(0.1 * number, yaw=0.02 * number) for number in range(80)]

    def measure(stamp_ns):
        true = room_depth(path[(stamp_ns - T0) // FRAME_NS])
        return lambda pixels: true[tuple(np.round(pixels).astype(int).T[::-1])]

    everything = ScaleSources(
        pose_at=lambda stamp_ns: path[(stamp_ns - T0) // FRAME_NS],
        depth_at=measure,
        camera_height_m=lambda: 1.2,
    )
    scale = MetricScale(
        Settings(),
        everything,
        lambda world_from_camera: world_from_camera[:3, :3].T @ UP_WORLD,
        people_are_metric=True,
    )
    made = [scale.apply(estimate(i, path[i], path[0], 1.2)) for i in range(80)]
    report = scale.report()
    assert set(report.source.split("+")) == {"odometry", "depth", "camera_height"}
    assert report.measured == pytest.approx(1.2, rel=0.01)
    assert report.relative_stddev < 0.02
    assert made[-1].scale == pytest.approx(1.2, rel=0.02)
    assert made[-1].is_depth_measured


def test_a_stream_without_any_source_keeps_the_networks_metres():
    scale = MetricScale(Settings(), people_are_metric=True)
    assert scale.apply(RAW) is RAW
    report = scale.report()
    assert (report.value, report.source, report.trouble) == (1.0, "network", "")
    assert math.isnan(report.measured)


def test_a_given_height_is_used_with_any_network():
    settings = Settings().replace({"scale.camera_height_m": 1.2})
    scale = MetricScale(settings, up_camera=lambda seen: seen[:3, :3].T @ UP_WORLD)
    for number in range(80):
        scale.apply(estimate(number, pose(), pose(), 1.2))
    assert scale.report().source == "camera_height"
    assert 1.05 < scale.value < 1.2
