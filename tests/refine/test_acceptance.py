"""What does not explain what it was not shown is not believed."""

from dataclasses import replace

import numpy as np
import pytest

from human3r.refine.acceptance import judge
from human3r.refine.problem import first_state
from human3r.refine.recording import key_frames
from human3r.refine.refinement import refine
from human3r.refine.residuals.features import FeaturePairs
from human3r.refine.rows import rows_of
from tests.refine.test_refinement import largest_change_m, with_false_contacts
from tests.refine.walker import bench


@pytest.mark.slow
def test_contacts_that_are_all_false_return_the_input():
    made = bench()
    refined = refine(made.recording, change_contacts=with_false_contacts(1.0))
    assert not refined.has_changed
    assert "no better" in refined.verdict.why
    assert largest_change_m(refined.recording, made.recording) < 1e-12
    assert (refined.frame_scale == 1).all()


def first_state_of(work):
    nothing = np.zeros(1)
    return first_state(work.recording, work.keys, work.chunk, nothing, len(work.rows.key))


class Stays:
    """Work that solves nothing."""

    def __init__(self, recording):
        self.recording, self.keys = recording, key_frames(recording.times_s, 10)
        self.chunk = np.zeros(len(self.keys), int)
        self.rows = rows_of(recording, self.keys)

    def round(self, state, contacts):
        return state, 0, 0.0


@pytest.mark.parametrize(("better", "is_still"), [(0.95, False), (0.95, True), (0.85, True)])
def test_contacts_alone_have_to_speak_clearly(monkeypatch, better, is_still):
    from human3r.refine import acceptance
    from human3r.refine.residuals.features import no_features

    made = bench(2.0)
    work = Stays(made.recording)
    came = first_state_of(work)
    if is_still:
        came.centre[:] = came.centre[0]
    values = [{0: acceptance.HeldOut(40 * share, 30 * share)} for share in (1, better)]
    monkeypatch.setattr(acceptance, "_held_out", lambda *everything: tuple(values))
    verdict = judge(work, came, came, came, (None,), no_features())
    assert verdict.is_accepted == (better < 0.9 or not is_still)


@pytest.mark.parametrize(("along_m", "is_believed"), [(0.5, True), (2.5, False)])
def test_bodies_are_not_moved_farther_than_they_may_be_wrong(monkeypatch, along_m, is_believed):
    from human3r.refine import acceptance
    from human3r.refine.residuals.features import no_features

    work = Stays(bench(2.0).recording)
    came = first_state_of(work)
    ray = work.rows.place / np.linalg.norm(work.rows.place, axis=1, keepdims=True)
    moved = replace(came, shift=along_m * ray)
    values = [{0: acceptance.HeldOut(40 * share, 30 * share)} for share in (1, 0.5)]
    monkeypatch.setattr(acceptance, "_held_out", lambda *everything: tuple(values))
    verdict = judge(work, came, came, moved, (None,), no_features())
    assert verdict.is_accepted == is_believed
    assert verdict.unmoved == (() if is_believed else (0,))


@pytest.mark.parametrize("off", [0.05, -0.05])
def test_cameras_that_features_contradict_are_not_believed(off):
    made = bench(2.0)
    work = Stays(made.recording)
    came = first_state_of(work)
    places = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 5], (30, 3))
    key, other = np.full(30, 2), np.full(30, 9)
    world = places @ came.rotation[2].T + came.centre[2]
    there = (world - came.centre[9]) @ came.rotation[9]
    pixel = there[:, :2] / there[:, 2:] + 0.001
    features = FeaturePairs(key, places, other, pixel, np.full(30, 0.002))
    moved = first_state_of(work)
    moved.centre[9] += [off, 0, 0]
    verdict = judge(work, came, came, moved, (), features)
    assert not verdict.is_accepted
    assert verdict.features_after > verdict.features_before
    assert judge(work, moved, moved, came, (), features).is_accepted
