"""One focal length for a recording, and features that hold its cameras."""

from dataclasses import replace

import numpy as np
import pytest

from human3r.refine.loops import find_loops
from human3r.refine.one_focal import one_focal
from human3r.refine.recording import key_frames
from human3r.refine.refinement import refine
from human3r.refine.residuals.features import follow_features
from tests.refine.test_loops import loop, recording_of
from tests.refine.walker import ate_m, bench


@pytest.mark.parametrize("depth_follows", [True, False])
def test_one_focal_length_puts_everything_back(depth_follows):
    made = bench(4.0)
    wave = 1 + 0.03 * np.sin(np.arange(40) / 3.0)
    apart = replace(one_focal(np.ones(40), depth_follows), ratio=wave).recording(made.recording)
    again = one_focal(wave, depth_follows)
    scale = float(np.median(wave))
    mended = again.recording(apart)
    for frame in (0, 11, 30):
        view, true = mended.view(frame), made.recording.view(frame)
        assert view.camera[0, 0] == pytest.approx(scale * true.camera[0, 0])
        depth = scale * true.depth if depth_follows else true.depth
        np.testing.assert_allclose(view.depth, depth, rtol=1e-9)
    # Pelvises appear where they did.
    for track, true in zip(mended.tracks, made.recording.tracks, strict=True):
        a, b = (t.joints[:, 0, :2] / t.joints[:, 0, 2:] for t in (track, true))
        np.testing.assert_allclose(a * scale, b, rtol=1e-9)


def test_a_constant_focal_length_changes_nothing():
    made = bench(2.0)
    assert one_focal(np.full(20, 500.0), depth_follows=True).recording(made.recording) is (
        made.recording
    )


def test_features_are_followed_and_some_are_held_out():
    true, path = loop(frames=30, drift=False)
    made = recording_of(true, path)
    keys = key_frames(made.recording.times_s, 10)
    shown, held = follow_features(made.recording, keys)
    assert len(shown.key) > 500
    assert len(held.key) == pytest.approx(len(shown.key) / 3, rel=0.05)
    world = np.einsum("nij,nj->ni", path[held.key, :3, :3], held.place) + path[held.key, :3, 3]
    there = np.einsum("nji,nj->ni", path[held.other, :3, :3], world - path[held.other, :3, 3])
    off = np.linalg.norm(there[:, :2] / there[:, 2:] - held.pixel, axis=1)
    assert np.median(off) * 200 < 1.0  # Pixels.


def test_a_path_that_features_contradict_is_mended():
    true, drifted = loop(frames=40)
    made = recording_of(true, drifted)
    refined = refine(made.recording, loops=find_loops)
    assert refined.verdict.features_after < 0.8 * refined.verdict.features_before
    assert ate_m(refined.recording, made.truth) < ate_m(made.recording, made.truth)
