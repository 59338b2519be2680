"""Scale from depth images with holes, noise and wrong units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.scale.robot_scale import DepthScale
from human3r.scale.sources import ScaleSources
from tests.scale.streams import FRAME_NS, T0, estimate, pose, room_depth

POSES = [pose(0.02 * number) for number in range(12)]


def sensor(number, *, rng=None, noise=0.0, holes=0.0, unit=1.0):
    """Measures the true depth of a frame at pixels (n, 2)."""

    def measure(pixels):
        u, v = np.round(pixels).astype(int).T
        depth = room_depth(POSES[number])[v, u] * unit
        if rng is not None:
            depth = depth * (1 + rng.normal(0, noise, depth.shape))
            depth[rng.random(depth.shape) < holes] = np.nan
        return depth

    return measure


def compare(scale, frames=12, *, arrives=lambda number, now: True, **options):
    measured, now, said = None, 0, []

    def depth_at(stamp_ns):
        number = (stamp_ns - T0) // FRAME_NS
        return sensor(number, **options) if arrives(number, now) else None

    measured = DepthScale(ScaleSources(depth_at=depth_at))
    for now in range(frames):
        said.append(measured.update(estimate(now, POSES[now], POSES[0], scale)))
    return said


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.3, 3.0), seed=st.integers(0, 1000))
def test_any_scale_is_found_through_noise_and_holes(scale, seed):
    rng = np.random.default_rng(seed)
    guess = compare(scale, rng=rng, noise=0.03, holes=0.6)[-1]
    assert not guess.trouble
    assert guess.value == pytest.approx(scale, rel=0.01)


def test_a_few_frames_are_needed():
    said = compare(1.5)
    assert [bool(guess.trouble) for guess in said[:5]] == [True] * 4 + [False]
    assert "compared in 4 frames" in said[3].trouble


def test_depth_that_comes_after_the_image_is_compared_all_the_same():
    said = compare(1.5, arrives=lambda number, now: now - number >= 3)
    assert said[-1].value == pytest.approx(1.5, rel=0.01)


def test_without_depth_it_says_where_it_was_expected():
    guess = compare(1.5, arrives=lambda number, now: False)[-1]
    assert np.isnan(guess.value)
    assert "topic depth" in guess.trouble


def test_a_sensor_that_sees_nothing_is_named():
    guess = compare(1.5, rng=np.random.default_rng(0), holes=1.0)[-1]
    assert guess.samples == 0
    assert "0% of its pixels" in guess.trouble


def test_millimetres_taken_for_metres_are_not_believed():
    # All of it is out of range, so nothing is compared.
    assert compare(1.5, unit=1000.0)[-1].trouble


def test_the_scale_follows_votes_of_the_last_twenty_seconds_only():
    depth_at = lambda stamp_ns: sensor(0)  # noqa: E731
    measured = DepthScale(ScaleSources(depth_at=depth_at))
    for number in range(6):
        guess = measured.update(estimate(number, POSES[0], POSES[0], 2.0))
    assert guess.value == pytest.approx(2.0, rel=0.01)
    for number in range(300, 306):
        guess = measured.update(estimate(number, POSES[0], POSES[0], 1.2))
    assert (guess.value, guess.samples) == (pytest.approx(1.2, rel=0.01), 6)
    measured.forget()
    assert measured.update(estimate(400, POSES[0], POSES[0], 1.2)).samples == 1
