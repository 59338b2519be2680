"""Derivatives of the residuals are those of differences."""

from dataclasses import replace

import numpy as np
import pytest

from human3r.refine.contacts import find_contacts
from human3r.refine.problem import Problem, Seen, first_state, motion_of
from human3r.refine.recording import chunks_of
from human3r.refine.residuals.cameras import PosePairs
from human3r.refine.residuals.features import FeaturePairs
from human3r.refine.residuals.scene import Depth, depth_pairs
from human3r.refine.residuals.touches import touch_of
from human3r.refine.rows import rows_of
from human3r.refine.surface import Surface, take_samples
from tests.refine.walker import bench


def problem_of(made):
    recording = made.recording
    keys = np.arange(len(recording.stamps_ns))
    chunk = chunks_of(recording.session[keys], recording.times_s[keys], 10)
    samples, rows = take_samples(recording, keys), rows_of(recording, keys)
    scales = np.zeros(int(chunk.max()) + 1)
    state = first_state(recording, keys, chunk, scales, len(rows.key))
    surface = Surface(samples, state.rotation, state.centre, np.ones(len(keys)))
    motion, _ = motion_of(recording, keys, rows, state, 0)
    touch = touch_of(recording, rows, [find_contacts(motion, surface)])
    pairs = depth_pairs(recording, samples, state, chunk)
    poses = recording.world_from_camera
    pose = np.linalg.inv(poses[2]) @ poses[30]
    ones = np.array([0.02])
    loops = PosePairs(np.array([2]), np.array([30]), pose[None], ones, ones)
    border = np.full(len(scales) - 1, 0.01)
    noise = np.full((1, 2), 0.004)
    seen = Seen(touch, noise, np.full(1, 0.01), pairs, features_of(poses), loops, border)
    recording = replace(recording, depth_stddev=0.02)
    made = Problem(recording, keys, chunk, rows, seen, state, smooth=True)
    return made, made.begun(state)


def features_of(poses):
    """Points before key frame 4 and where they appear in 7."""
    places = np.random.default_rng(2).uniform([-1, -1, 3], [1, 1, 6], (20, 3))
    b_from_a = np.linalg.inv(poses[7]) @ poses[4]
    there = places @ b_from_a[:3, :3].T + b_from_a[:3, 3]
    a, b = np.full(20, 4), np.full(20, 7)
    return FeaturePairs(a, places, b, there[:, :2] / there[:, 2:], np.full(20, 0.002))


@pytest.fixture(scope="module")
def somewhere():
    session = np.repeat([0, 1], 30)
    problem, state = problem_of(bench(6.0, session=session))
    step = 1e-3 * np.random.default_rng(0).normal(size=problem.num_unknowns)
    return problem, problem.moved(state, step)


def test_derivatives_are_those_of_differences(somewhere):
    problem, state = somewhere
    step = 1e-6 * np.random.default_rng(1).normal(size=problem.num_unknowns)
    before = problem.residuals(state)
    after = problem.residuals(problem.moved(state, step))
    assert len(before) >= 12
    for one, other in zip(before, after, strict=True):
        predicted = np.zeros_like(one.values)
        for block in one.blocks:
            columns = block.columns[:, None] + np.arange(block.values.shape[2])
            predicted += np.einsum("ndw,nw->nd", block.values, step[columns])
        true = other.values - one.values
        # Bodies turn by rotation vectors, whose derivative is that of small ones.
        assert np.abs(predicted - true).max() < 0.02 * np.abs(true).max()


def test_a_smaller_scene_fits_no_better(somewhere):
    """Depth and paths that disagree do not pull the scale to nothing."""
    problem, state = somewhere
    depth = next(kind for kind in problem.kinds if isinstance(kind, Depth))
    half = replace(state, centre=state.centre / 2, log_scale=state.log_scale - np.log(2))
    scene, smaller = (depth.residuals(s)[0].cost() for s in (state, half))
    assert smaller == pytest.approx(scene, rel=1e-6)
