"""Refining synthetic walkers with exact truth: what is wrong becomes right, what is right stays."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from human3r.refine.recording import Recording
from human3r.refine.refinement import refine
from tests.refine.walker import (
    FLOOR_M,
    aligned_joint_error_mm,
    ate_m,
    bench,
    in_camera,
    in_world,
    joint_error_mm,
    moving_camera,
    slide_mm,
    to_surface_m,
    walk,
)

FRAMES = 120
TIMES_S = np.arange(FRAMES) / 10


def largest_change_m(refined: Recording, before: Recording) -> float:
    """Of joints in the world and of cameras."""
    changes = [np.abs(refined.world_from_camera[:, :3, 3] - before.world_from_camera[:, :3, 3])]
    for a, b in zip(refined.tracks, before.tracks, strict=True):
        world = in_world(a.joints, refined.world_from_camera[a.frames])
        changes.append(np.abs(world - in_world(b.joints, before.world_from_camera[b.frames])))
    return max(float(change.max()) for change in changes)


def white(size_m, seed=0):
    return size_m / np.sqrt(3) * np.random.default_rng(seed).normal(size=(FRAMES, 3))


@pytest.mark.parametrize("scale", [0.8, 1.25])
def test_feet_give_the_scene_its_scale(scale):
    made = bench(scale=scale)
    refined = refine(made.recording)
    assert refined.frame_scale * scale == pytest.approx(1, abs=0.02)
    assert ate_m(refined.recording, made.truth) < 0.1 * ate_m(made.recording, made.truth)
    assert joint_error_mm(refined.recording, made.truth) < 10


def test_chunks_of_different_scales_agree_afterwards():
    scale = np.repeat([1.0, 1.1, 1 / 1.1], FRAMES // 3)
    made = bench(scale=scale, session=np.repeat([0, 1, 2], FRAMES // 3))
    refined = refine(made.recording)
    scales = refined.frame_scale * scale
    assert scales.max() / scales.min() < 1.02
    assert ate_m(refined.recording, made.truth) <= 0.3 * ate_m(made.recording, made.truth)


def test_chunks_agree_even_when_nobody_touches_anything():
    scale = np.repeat([1.0, 1.1], FRAMES // 2)
    made = bench(scale=scale, session=np.repeat([0, 1], FRAMES // 2), people=[flying()])
    scales = refine(made.recording).frame_scale * scale
    assert scales.max() / scales.min() < 1.02


@cache
def trembling():
    """Somebody who trembles by 5 mm, and the same refined."""
    made = bench(noise=white(0.005))
    return made, refine(made.recording)


def test_feet_stop_sliding():
    made, refined = trembling()
    before, after = (slide_mm(r, 0, made.stance[0]) for r in (made.recording, refined.recording))
    assert after <= 0.5 * before
    before, after = (
        aligned_joint_error_mm(r, made.truth) for r in (made.recording, refined.recording)
    )
    assert after <= before


def test_people_whose_feet_stop_sliding_are_believed():
    verdict = trembling()[1].verdict
    assert verdict.is_accepted
    assert verdict.unmoved == ()
    assert verdict.after[0].sliding_mm < 0.95 * verdict.before[0].sliding_mm


@pytest.mark.slow
@pytest.mark.parametrize("down_m", [0.1, -0.1])
def test_bodies_that_sink_or_float_stand_on_the_floor(down_m):
    made = bench(noise=np.tile([0, down_m, 0], (FRAMES, 1)))
    refined = refine(made.recording)
    heights = to_surface_m(refined.recording, 0, made.stance[0], refined.frame_scale, made.truth)
    assert np.abs(heights).mean() <= 0.02
    assert heights.min() >= -0.01
    assert refined.frame_scale == pytest.approx(1, abs=0.02)  # It was the body, not the scene.
    assert joint_error_mm(refined.recording, made.truth) < 40


def flying():
    """Somebody who leaps through the room: nothing is ever still."""
    joints, soles, stance = walk(TIMES_S, np.array([0.3, FLOOR_M, 3.5]), 0.9)
    beat = np.stack([0.15 * np.sin(9 * TIMES_S), -0.5 + 0.3 * np.cos(8 * TIMES_S), 0 * TIMES_S])
    beat = beat.T + TIMES_S[:, None] * [0.5, 0, 0.1]
    return joints + beat[:, None], soles + beat[:, None], np.zeros_like(stance)


@pytest.mark.parametrize("scale", [1.0, 0.8])
def test_without_any_contact_nothing_changes(scale):
    made = bench(people=[flying()], scale=scale, noise=white(0.005))
    refined = refine(made.recording)
    assert largest_change_m(refined.recording, made.recording) <= 1e-3
    assert np.abs(refined.frame_scale - 1).max() <= 1e-3


def test_cropped_feet_are_no_contact():
    made = bench(scale=0.9)
    track = made.recording.tracks[0]
    nothing = replace(track, points=track.points[:, :0], parts=track.parts[:0])
    refined = refine(made.recording.with_tracks((nothing,)))
    assert largest_change_m(refined.recording, made.recording) < 1e-12
    assert not refined.has_changed


def test_what_is_perfect_stays_as_it_is():
    made = bench()
    refined = refine(made.recording)
    assert largest_change_m(refined.recording, made.recording) <= 1e-3
    assert np.abs(refined.frame_scale - 1).max() <= 1e-3
    assert len(refined.contacts[0].row) > 300  # It was looked at.


def with_false_contacts(share, seed=0):
    """Some of the contacts become those of frames in which the foot swings."""
    random = np.random.default_rng(seed)

    def change(person, found):
        wrong = random.random(len(found.row)) < share
        row = np.where(wrong, np.clip(found.row + 6, 0, FRAMES - 1), found.row)
        order = np.lexsort((found.point, row))
        return replace(
            found,
            **{
                name: getattr(replace(found, row=row), name)[order]
                for name in ("row", "point", "episode", "confidence", "is_moving")
            },
            planes=type(found.planes)(
                *(getattr(found.planes, n)[order] for n in found.planes.__dataclass_fields__)
            ),
        )

    return change


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 0.95])
def test_a_tenth_of_false_contacts_makes_nothing_worse(scale):
    made = bench(noise=white(0.01), scale=scale)
    refined = refine(made.recording, change_contacts=with_false_contacts(0.1))
    for allowed, measure in (
        (0, lambda r, scale: slide_mm(r, 0, made.stance[0])),
        (30, lambda r, scale: joint_error_mm(r, made.truth)),
        (0, lambda r, scale: aligned_joint_error_mm(r, made.truth)),
        (0.01, lambda r, scale: ate_m(r, made.truth)),
        (0, lambda r, scale: np.abs(to_surface_m(r, 0, made.stance[0], scale, made.truth)).mean()),
    ):
        before = measure(made.recording, np.full(FRAMES, scale))
        # What was exact, cameras among it, may drift by a few centimetres in 12 s.
        assert measure(refined.recording, scale * refined.frame_scale) <= before + allowed


@pytest.mark.slow
def test_two_people_whose_ids_change_are_no_worse_than_alone():
    people = [
        walk(TIMES_S, np.array([0.3, FLOOR_M, 3.5]), 0.9),
        walk(TIMES_S + 0.3, np.array([-1.5, FLOOR_M, 4.5]), 0.3),
    ]
    made = bench(people=people, noise=white(0.005))
    first, second = made.recording.tracks
    half = FRAMES // 2

    def swapped(a, b):
        joined = [
            np.concatenate([x[:half], y[half:]])
            for x, y in ((a.joints, b.joints), (a.points, b.points))
        ]
        return replace(a, joints=joined[0], points=joined[1])

    wrong = made.recording.with_tracks((swapped(first, second), swapped(second, first)))
    both = refine(wrong).recording
    a, b = both.tracks
    mended = both.with_tracks((swapped(a, b), swapped(b, a)))
    for person in range(2):
        alone = refine(made.recording.with_tracks((made.recording.tracks[person],))).recording
        one = made.truth.with_tracks((made.truth.tracks[person],))
        stance = made.stance[person]
        assert slide_mm(mended, person, stance) <= 1.2 * slide_mm(alone, 0, stance)
        together = mended.with_tracks((mended.tracks[person],))
        assert aligned_joint_error_mm(together, one) <= aligned_joint_error_mm(alone, one) + 2


def test_who_stands_on_an_escalator_is_reported_and_not_forced_still():
    joints, soles, stance = walk(np.zeros(FRAMES), np.array([0.3, FLOOR_M, 3.5]), 0.9)
    ride = TIMES_S[:, None, None] * np.array([0.12, 0, 0.05])
    made = bench(people=[(joints + ride, soles + ride, stance)])
    refined = refine(made.recording)
    assert len(refined.contacts[0].row)
    assert refined.contacts[0].is_moving.all()
    assert joint_error_mm(refined.recording, made.truth) < 1


def test_metric_depth_keeps_its_scale():
    made = bench(noise=np.tile([0, 0.1, 0], (FRAMES, 1)), poses=np.tile(np.eye(4), (FRAMES, 1, 1)))
    refined = refine(replace(made.recording, is_metric=True))
    assert refined.frame_scale == pytest.approx(1, abs=1e-3)
    heights = to_surface_m(refined.recording, 0, made.stance[0], refined.frame_scale, made.truth)
    assert np.abs(heights).mean() <= 0.02


def test_a_camera_that_stood_still_stays_while_bodies_tremble():
    made = bench(noise=white(0.02), poses=np.tile(np.eye(4), (FRAMES, 1, 1)))
    refined = refine(made.recording)
    assert refined.has_changed
    assert np.abs(refined.recording.world_from_camera - np.eye(4)).max() < 5e-5


def test_the_cloud_serves_where_no_depth_was_saved():
    made = bench(scale=0.85)
    x, z = (a.ravel() for a in np.meshgrid(np.arange(-4, 8, 0.1), np.arange(1, 12, 0.1)))
    cloud = 0.85 * np.stack([x, np.full_like(x, FLOOR_M), z], axis=1)
    only_cloud = replace(made.recording, view=lambda frame: None, cloud=cloud)
    refined = refine(only_cloud)
    assert refined.frame_scale * 0.85 == pytest.approx(1, abs=0.02)


def test_frames_between_key_frames_follow():
    times_s = np.arange(240) / 20
    poses = moving_camera(times_s)
    joints, soles, stance = walk(times_s, np.array([0.3, FLOOR_M, 3.5]), 0.9)
    made = bench(24.0, scale=0.9, poses=poses, people=[(joints, soles, stance)])
    faster = replace(made.recording, stamps_ns=made.recording.stamps_ns // 2)
    refined = refine(faster)
    assert len(refined.keys) < 130
    assert refined.frame_scale * 0.9 == pytest.approx(1, abs=0.02)
    assert joint_error_mm(refined.recording, made.truth) < 10


@pytest.mark.slow
def test_an_interrupted_refinement_goes_on_where_it_was():
    made = bench(noise=white(0.005), seconds=12)
    told = []
    whole = refine(made.recording, after_round=told.append)
    resumed = refine(made.recording, resume=told[0])
    np.testing.assert_array_equal(
        resumed.recording.world_from_camera, whole.recording.world_from_camera
    )
    np.testing.assert_array_equal(
        resumed.recording.tracks[0].joints, whole.recording.tracks[0].joints
    )


def test_in_camera_undoes_in_world():
    poses = moving_camera(TIMES_S)
    points = np.random.default_rng(0).normal(size=(FRAMES, 4, 3))
    np.testing.assert_allclose(in_camera(in_world(points, poses), poses), points, atol=1e-12)
