import dataclasses

import numpy as np
import pytest
import torch
from human3r_lab.evaluation import depth_metrics, depth_pairs
from human3r_lab.evaluation.depth_metrics import (
    ALIGNMENTS,
    DepthAlignment,
    align_median,
    align_scale_shift,
    depth_errors,
)
from human3r_lab.evaluation.depth_pairs import DepthPairs


@pytest.fixture
def pairs():
    with DepthPairs() as pairs:
        yield pairs


def some_depth(seed=0, count=2000):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.5, 10, count).astype(np.float32)
    return (0.6 * true * rng.uniform(0.8, 1.3, count)).astype(np.float32), true


def test_perfect_depth_has_no_error(pairs):
    _, true = some_depth()
    pairs.add(true, true)
    errors = depth_errors(pairs, DepthAlignment())
    assert (errors.abs_rel, errors.rmse_m, errors.log_rmse) == (0, 0, 0)
    assert (errors.delta_1, errors.num_pixels) == (1, 2000)


@pytest.mark.parametrize("name", ["scale", "median"])
def test_a_wrong_scale_is_undone(pairs, name):
    _, true = some_depth()
    pairs.add(0.25 * true, true)
    alignment = ALIGNMENTS[name](pairs)
    assert alignment.scale == pytest.approx(4, rel=1e-5)
    assert depth_errors(pairs, alignment).abs_rel < 1e-5


def test_metric_depth_is_left_alone(pairs):
    predicted, true = some_depth()
    pairs.add(predicted, true)
    errors = depth_errors(pairs, ALIGNMENTS["metric"](pairs))
    assert errors.abs_rel == pytest.approx(float((np.abs(predicted - true) / true).mean()))


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 1001])
def test_the_median_is_the_lower_middle_value_of_any_numbers(pairs, count):
    values = np.random.default_rng(count).normal(0.3, 2, count).astype(np.float32)
    pairs.add(values, np.ones(count))
    want = torch.from_numpy(values).median().item()
    assert align_median(pairs).scale == pytest.approx(1 / want, rel=1e-6)


# The protocol's ten rounds of `scale` do not converge: rounding alone moves the third digit.
@pytest.mark.parametrize(
    ("name", "tolerance"), [("metric", 1e-9), ("median", 1e-9), ("scale", 2e-3)]
)
def test_no_alignment_depends_on_the_size_of_chunks(monkeypatch, name, tolerance):
    predicted, true = some_depth()
    found = []
    for chunk in (100_000, 300):
        monkeypatch.setattr(depth_pairs, "CHUNK_PIXELS", chunk)
        with DepthPairs() as pairs:
            for part in range(0, 2000, 250):
                pairs.add(predicted[part : part + 250], true[part : part + 250])
            found.append(dataclasses.astuple(depth_errors(pairs, ALIGNMENTS[name](pairs))))
    assert np.allclose(*found, rtol=tolerance)


def test_scale_and_shift_are_what_adam_finds(pairs, monkeypatch):
    monkeypatch.setattr(depth_metrics, "_ADAM_STEPS", 300)
    predicted, true = some_depth(count=300)
    predicted += 0.5
    pairs.add(predicted, true)
    p, g = torch.from_numpy(predicted).double(), torch.from_numpy(true).double()
    scale = torch.tensor((g.median() / p.median()).item(), dtype=torch.float64, requires_grad=True)
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([scale, shift], lr=1e-4)
    for _ in range(300):
        optimiser.zero_grad()
        (scale * p + shift - g).abs().mean().backward()
        optimiser.step()
    found = align_scale_shift(pairs)
    assert found.scale == pytest.approx(scale.item(), abs=2e-4)
    assert found.shift_m == pytest.approx(shift.item(), abs=2e-4)
    assert abs(found.shift_m) > 0.01


def test_a_surface_behind_the_camera_is_wrong_not_undefined(pairs):
    pairs.add(np.array([-2.0, 2.0]), np.array([2.0, 2.0]))
    errors = depth_errors(pairs, DepthAlignment())
    assert errors.delta_1 == 0.5
    assert np.isfinite(dataclasses.astuple(errors)).all()


def test_clipping_comes_after_the_alignment(pairs):
    pairs.add(np.array([50.0, 10.0]), np.array([70.0, 20.0]))
    errors = depth_errors(pairs, DepthAlignment(2.0), max_depth_m=70)
    assert errors.abs_rel == 0


def test_nothing_valid_gives_no_errors(pairs):
    assert depth_errors(pairs, DepthAlignment()) is None


def test_many_pixels_go_to_disk_and_come_back(monkeypatch):
    monkeypatch.setattr(depth_pairs, "_IN_MEMORY_BYTES", 1000)
    predicted, true = some_depth()
    with DepthPairs() as pairs:
        pairs.add(predicted, true)
        pairs.add(true, predicted)
        (got, want), *rest = pairs.chunks()
        assert not rest
    assert np.array_equal(got, np.concatenate([predicted, true]))
    assert np.array_equal(want, np.concatenate([true, predicted]))
