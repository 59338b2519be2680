"""From light to photographs."""

import numpy as np
import pytest
from human3r_lab.synth.photo import Photographer


def light(level=0.3):
    ramp = np.linspace(0, 2 * level, 96, dtype=np.float32)
    return np.broadcast_to(ramp[None, :, None], (64, 96, 3)).copy()


@pytest.mark.parametrize("seed", range(6))
def test_pictures_are_exposed_alike_whatever_the_light(seed):
    dim = Photographer(np.random.default_rng(seed), True).develop(light(0.03))
    bright = Photographer(np.random.default_rng(seed), True).develop(light(0.9))
    assert dim.dtype == np.uint8
    assert dim.shape == (64, 96, 3)
    assert abs(float(dim.mean()) - float(bright.mean())) < 12
    assert 60 < dim.mean() < 200


def test_exposure_stays_over_a_sequence():
    photographer = Photographer(np.random.default_rng(0), True)
    first = photographer.develop(light(0.3))
    assert photographer.develop(light(0.6)).mean() > first.mean() + 10


def test_more_light_never_looks_darker():
    for seed in range(8):
        photographer = Photographer(np.random.default_rng(seed), False)
        columns = photographer.develop(light(1.0)).mean((0, 2))
        smooth = np.convolve(columns, np.ones(15) / 15, "valid")
        middle = smooth[: len(smooth) // 2 + 5]
        assert (np.diff(middle) > -1.5).all()


def test_noise_differs_between_frames_and_repeats_with_the_seed():
    first, second = (Photographer(np.random.default_rng(4), False) for _ in range(2))
    one, two = first.develop(light()), first.develop(light())
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, second.develop(light()))


def test_light_beyond_white_and_black_stays_in_range():
    picture = light()
    picture[:, :10], picture[:, 10:20] = 50.0, 0.0
    image = Photographer(np.random.default_rng(1), True).develop(picture)
    assert image[:, 2:8].min() > 120
    assert image[:, 12:18].max() < 90
