"""Images of one moment, cameras that hang upside down, fused people as those of a camera."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from human3r.geometry import invert, transform_points
from human3r.multiview.fuser import Fuser
from human3r.multiview.results import tracked_in
from human3r.multiview.synchronise import LiveSets, synchronised
from human3r.multiview.upright import quarter_turns, turned_frame, turned_pose
from human3r.types import Frame, Intrinsics
from tests.multiview.rooms import (
    FOCAL_PX,
    Noise,
    body_model,
    camera_at,
    people,
    rotation_about,
    seen_by,
    spread_places,
)


@dataclass(frozen=True)
class Stamped:
    stamp_ns: int


def stamps(*values):
    return [Stamped(value) for value in values]


def test_images_within_the_tolerance_belong_together():
    sources = {"a": stamps(0, 100, 200), "b": stamps(8, 140, 204)}
    sets = list(synchronised(sources, {}, 10))
    assert [sorted(found) for found in sets] == [["a", "b"], ["a"], ["b"], ["a", "b"]]


def test_offsets_bring_clocks_together():
    sources = {"a": stamps(0, 100), "b": stamps(1000, 1100)}
    assert all(len(found) == 2 for found in synchronised(sources, {"b": -1000}, 10))


def test_a_source_that_ends_early_is_missing_afterwards():
    sources = {"a": stamps(0, 100, 200), "b": stamps(0)}
    assert [len(found) for found in synchronised(sources, {}, 10)] == [2, 1, 1]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_turned_images_show_the_same_points(turns):
    upright_pose = camera_at(0.4)
    lens = Intrinsics(600.0, 610.0, 300.0, 200.0, 640, 480)
    # A camera whose image must be turned clockwise `turns` times to stand upright.
    hung = upright_pose.copy()
    hung[:3, :3] = upright_pose[:3, :3] @ rotation_about("z", 90 * turns)
    assert quarter_turns(hung) == turns
    point = np.array([0.3, 0.2, 1.1])
    u, v = np.round(lens.project(transform_points(invert(hung), point))).astype(int)
    image = np.zeros((480, 640, 3), np.uint8)
    image[v, u] = 255
    frame = turned_frame(Frame(image, 1, lens), turns)
    pose = turned_pose(hung, turns)
    assert np.allclose(pose[:3, :3], upright_pose[:3, :3])
    assert frame.intrinsics is not None
    seen = frame.intrinsics.project(transform_points(invert(pose), point))
    row, column = np.argwhere(frame.image[..., 0])[0]
    assert np.abs(seen - [column, row]).max() < 1.0


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_pixels_of_a_turned_image_lead_back_to_those_of_the_lens(turns):
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    frame = turned_frame(Frame(image, 1, raw_from_image=lambda pixels: pixels + 100), turns)
    assert frame.raw_from_image is not None
    for u, v in ((0, 0), (3, 11), (frame.image.shape[1] - 1, 5)):
        column, row = frame.raw_from_image(np.array([u, v])) - 100
        assert (frame.image[v, u] == image[row, column]).all()


def test_a_camera_that_looks_down_is_left_as_it_is():
    down = np.diag([1.0, -1.0, -1.0, 1.0])
    assert quarter_turns(down) == 0


def test_fused_people_are_the_same_in_every_camera():
    rng = np.random.default_rng(1)
    poses = [camera_at(0.0), camera_at(1.5)]
    bodies = people(rng, spread_places(rng, 2))
    views = [seen_by(rng, n, p, bodies, Noise()) for n, p in zip("ab", poses, strict=True)]
    fused = Fuser(body_model().joint_parents).step(views).people
    there, here = (tracked_in(fused, pose, body_model()) for pose in poses)
    for first, second, person in zip(there, here, fused, strict=True):
        assert first.number == second.number == person.number
        for tracked, pose in ((first, poses[0]), (second, poses[1])):
            found = tracked.person
            back = transform_points(pose, found.joints_camera)
            assert np.allclose(back, person.joints_world, atol=1e-4)
            given = [
                torch.from_numpy(x[None])
                for x in (found.body.rotations, found.body.betas, found.body.expression)
            ]
            mesh = body_model()(*given, torch.from_numpy(found.body.head_camera[None]))
            assert np.allclose(mesh.vertices[0].numpy(), found.vertices_camera, atol=1e-4)
            assert np.allclose(mesh.joints[0, :22].numpy(), found.joints_camera[:22], atol=5e-3)


def test_whom_one_camera_knows_alone_stays_as_they_are():
    rng = np.random.default_rng(2)
    view = seen_by(
        rng, "a", camera_at(0.0), people(rng, spread_places(rng, 1)), Noise(), numbers=[3]
    )
    fused = Fuser(body_model().joint_parents).step([view]).people
    (tracked,) = tracked_in(fused, view.world_from_camera, body_model(), view="a")
    original = view.tracked[0]
    assert tracked.person.joints_camera is original.person.joints_camera
    assert tracked == replace(original, person=tracked.person)
    assert view.focal_px == FOCAL_PX


# -- live ----------------------------------------------------------------------------------------


def test_a_live_set_goes_when_all_views_have_joined():
    sets = LiveSets(10, patience_s=0.2)
    assert sets.add("a", Stamped(100), 0.0) == [{"a": Stamped(100)}]  # Nobody else is known yet.
    sets.add("b", Stamped(105), 0.01)
    assert sets.add("a", Stamped(200), 0.1) == [{"b": Stamped(105)}]
    assert sets.add("b", Stamped(205), 0.11) == [{"a": Stamped(200), "b": Stamped(205)}]


def test_a_live_set_does_not_wait_for_a_view_that_is_gone():
    sets = LiveSets(10, patience_s=0.2, silent_s=1.0)
    sets.add("b", Stamped(1), 0.0)
    assert sets.add("a", Stamped(100), 0.5) == []
    assert sets.tick(0.6) == []
    assert sets.tick(0.8) == [{"a": Stamped(100)}]
    assert sets.add("a", Stamped(200), 2.0) == [{"a": Stamped(200)}]


def test_the_newest_win_and_what_is_late_is_counted():
    sets = LiveSets(10, patience_s=0.2)
    sets.add("b", Stamped(1), 0.0)
    sets.add("a", Stamped(100), 0.1)
    assert sets.add("a", Stamped(200), 0.15) == [{"a": Stamped(100)}]
    assert sets.add("b", Stamped(90), 0.16) == []
    assert sets.late == {"b": 1}
    assert sets.add("b", Stamped(201), 0.17) == [{"a": Stamped(200), "b": Stamped(201)}]


def test_after_time_was_set_back_sets_go_on():
    sets = LiveSets(10, patience_s=0.2, silent_s=1.0)
    for view in ("b", "a"):
        sets.add(view, Stamped(10_000), 0.0)
    # A recording that begins again.
    for view in ("b", "a"):
        assert sets.add(view, Stamped(100), 0.5) == []
        assert sets.late[view] > 0
    sets.add("a", Stamped(200), 1.2)
    assert sets.add("b", Stamped(200), 1.3) == [{"a": Stamped(200), "b": Stamped(200)}]


def test_one_slow_clock_does_not_set_time_back_for_all():
    sets = LiveSets(10, patience_s=0.0, silent_s=1.0)
    for number in range(30):
        now_s = 0.1 * number
        assert sets.add("a", Stamped(10_000 + 100 * number), now_s) or sets.tick(now_s)
        sets.add("b", Stamped(100 * number), now_s)
    assert sets.late["b"] >= 29


def test_people_keep_their_numbers_when_time_is_set_back():
    rng = np.random.default_rng(2)
    bodies = people(rng, spread_places(rng, 2))
    fuser = Fuser(body_model().joint_parents)

    def numbers(frame):
        views = [
            seen_by(rng, name, camera_at(angle), bodies, Noise(), frame=frame)
            for name, angle in (("a", 0.0), ("b", 1.4))
        ]
        return [person.number for person in fuser.step(views).people]

    before = [numbers(frame) for frame in (100, 101, 102)][-1]
    fuser.forget_time()
    assert numbers(0) == before
    assert numbers(1) == before
