"""Several cameras in one room: who is who, what a body is, and what happens when one is lost."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from human3r.errors import ConfigError, InputError
from human3r.multiview.fuser import Fuser
from human3r.multiview.settings import FusionSettings
from human3r.types import TrackState
from tests.multiview.rooms import (
    FRAME_NS,
    Noise,
    body_model,
    camera_at,
    people,
    posed,
    rotation_about,
    seen_by,
    spread_places,
)

AROUND = [camera_at(angle) for angle in np.deg2rad([0, 80, 170, 260])]
LITTLE = Noise(pixels=3, depth_share=0.02, pose_rad=0.09)
NAMES = ("a", "b", "c", "d")


def make(**settings) -> Fuser:
    return Fuser(body_model().joint_parents, FusionSettings(**settings))


def only(bodies, rows):
    return [bodies[i] for i in rows]


def joint_error_m(person, true) -> float:
    apart = person.joints_world[:22] - true.joints_camera[:22]
    return float(np.linalg.norm(apart, axis=-1).mean())


def test_five_people_in_four_views_with_gaps_and_a_stranger():
    right = wrong = possible = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        bodies = people(rng, spread_places(rng, 6))
        shown = [[i for i in range(5) if rng.random() > 0.15] for _ in AROUND]
        shown[seed % 4].append(5)  # Only one camera sees the sixth.
        views = [
            seen_by(rng, name, pose, only(bodies, rows), LITTLE, numbers=rows)
            for name, pose, rows in zip(NAMES, AROUND, shown, strict=True)
        ]
        estimate = make().step(views)
        for person in estimate.people:
            assert len({view for view, _ in person.members}) == len(person.members)
            found = [number for _, number in person.members]
            pairs = [(a, b) for i, a in enumerate(found) for b in found[i + 1 :]]
            right += sum(a == b for a, b in pairs)
            wrong += sum(a != b for a, b in pairs)
        counts = [sum(i in rows for rows in shown) for i in range(6)]
        possible += sum(count * (count - 1) // 2 for count in counts)
        reordered = make().step([views[i] for i in (2, 0, 3, 1)])
        assert [p.members for p in reordered.people] == [p.members for p in estimate.people]
    assert right >= 0.98 * possible
    assert wrong <= 0.02 * right


def test_when_everybody_holds_one_pose_places_decide():
    rng = np.random.default_rng(3)
    bodies = people(rng, spread_places(rng, 5), same_pose=True)
    views = [seen_by(rng, n, p, bodies, LITTLE) for n, p in zip(NAMES, AROUND, strict=True)]
    for person in make().step(views).people:
        assert len(person.members) == 4
        assert len({number for _, number in person.members}) == 1


def test_when_places_are_far_off_poses_decide():
    rng = np.random.default_rng(4)
    right = 0
    for _ in range(10):
        close = np.array([[0.0, 0, 0.95], [0.35, 0, 0.95]])
        bodies = people(rng, close)
        # Both cameras look along the line on which the two stand, so depths say little.
        poses = [camera_at(0.0), camera_at(0.1)]
        views = [
            seen_by(rng, n, p, bodies, Noise(depth_share=0.05, pose_rad=0.05))
            for n, p in zip(NAMES, poses, strict=False)
        ]
        mean = [v.joints_world.mean(1) for v in views]
        same = np.linalg.norm(mean[0] - mean[1], axis=-1).sum()
        other = np.linalg.norm(mean[0] - mean[1][::-1], axis=-1).sum()
        if other > same:
            continue  # Places alone are right already.
        right -= 1
        found = make(max_deviation=50.0).step(views).people
        right += 2 * all(len({n for _, n in p.members}) == 1 for p in found)
    assert right >= 0


def test_one_view_is_the_single_view_path_exactly():
    rng = np.random.default_rng(5)
    fuser = make()
    pose = np.eye(4)
    for frame in range(4):
        bodies = people(rng, spread_places(rng, 3) + np.array([0, 0, 0.1 * frame]))
        in_camera = seen_by(
            rng, "a", camera_at(0.3), bodies, LITTLE, numbers=[4, 7, 5], frame=frame
        )
        view = replace(in_camera, world_from_camera=pose)
        found = fuser.step([view]).people
        assert [person.number for person in found] == [4, 5, 7]
        for person in found:
            tracked = view.tracked[list(view.numbers).index(person.number)]
            assert person.origin is tracked
            assert np.array_equal(person.joints_world, tracked.person.joints_camera)
            assert np.array_equal(person.rotations, tracked.person.body.rotations)
            assert np.array_equal(person.betas, tracked.person.body.betas)
            assert np.allclose(
                person.covariance[:3, :3].ravel(),
                view.place_covariance[list(view.numbers).index(person.number)].ravel(),
            )


def test_fused_bodies_are_better_than_the_best_camera():
    rng = np.random.default_rng(6)
    noise = Noise(pixels=3, depth_share=0.06, pose_rad=0.14, camera_rad=0.009, camera_m=0.03)
    fused, single, mean, rays = [], [], [], []
    for _ in range(15):
        bodies = people(rng, spread_places(rng, 3))
        views = [seen_by(rng, n, p, bodies, noise) for n, p in zip(NAMES, AROUND, strict=True)]
        truth = [bodies[i] for i in range(3)]
        for method, errors in (("weighted", fused), ("mean", mean), ("triangulation", rays)):
            found = make(position=method).step(views).people
            by_number = {p.members[0][1]: p for p in found}
            errors.append([joint_error_m(by_number[i], truth[i]) for i in range(3)])
        single.append(
            [[joint_error_m_of(v.joints_world[i], truth[i]) for i in range(3)] for v in views]
        )
    best = np.mean(single, axis=(0, 2)).min()
    assert np.mean(fused) <= 0.7 * best
    assert np.mean(fused) <= np.mean(mean)
    assert np.mean(fused) <= 1.05 * np.mean(rays)


def joint_error_m_of(joints_world, true) -> float:
    return float(np.linalg.norm(joints_world[:22] - true.joints_camera[:22], axis=-1).mean())


def test_without_noise_the_fused_body_is_the_true_one():
    rng = np.random.default_rng(7)
    bodies = people(rng, spread_places(rng, 2))
    none = Noise(pixels=0, depth_share=0, pose_rad=0)
    for method in ("weighted", "triangulation", "mean"):
        views = [seen_by(rng, n, p, bodies, none) for n, p in zip(NAMES, AROUND, strict=True)]
        for person in make(position=method).step(views).people:
            true = bodies[person.members[0][1]]
            assert np.abs(person.joints_world - true.joints_camera).max() < 2e-3
            assert np.abs(person.rotations - true.body.rotations).max() < 1e-4
            # The parameters alone give the same body.
            again = posed(person.rotations[None], person.betas[None], person.joints_world[:1])[0]
            assert np.abs(again.joints_camera - person.joints_world).max() < 2e-3


def walk(rng, frame):
    return people(np.random.default_rng(11), np.array([[-1.0 + 0.1 * frame, 0.5, 0.95]]))


def test_a_lost_and_returned_camera_keeps_the_number_and_the_place():
    rng = np.random.default_rng(8)
    fuser, jumps, sigma = make(), [], None
    numbers, before = set(), None
    for frame in range(40):
        body = walk(rng, frame)
        views = [
            seen_by(rng, n, p, body, Noise(), numbers=[9 if n == "b" else 0], frame=frame)
            for n, p in zip(NAMES[:2], AROUND[:2], strict=True)
            if n == "a" or not 15 <= frame < 30
        ]
        (person,) = fuser.step(views).people
        numbers.add(person.number)
        sigma = np.sqrt(np.trace(views[0].place_covariance[0]))
        place = person.joints_world[0]
        if before is not None and frame in (15, 30):
            jumps.append(np.linalg.norm(place - before))
        before = place
    assert len(numbers) == 1
    assert max(jumps) < sigma


def test_a_camera_that_counts_from_anew_keeps_the_numbers():
    rng = np.random.default_rng(9)
    fuser = make()
    bodies = people(rng, np.array([[-1.0, 0, 0.95], [1.0, 0, 0.95]]))
    for frame in range(30):
        given = [0, 1] if frame < 15 else [1, 0]  # It began again and met them otherwise.
        views = [
            seen_by(rng, "a", AROUND[0], bodies, LITTLE, numbers=[0, 1], frame=frame),
            seen_by(rng, "b", AROUND[1], bodies, LITTLE, numbers=given, frame=frame),
        ]
        if 12 <= frame < 15:
            views.pop()
        estimate = fuser.step(views)
        by_a = {p.number: dict(p.members)["a"] for p in estimate.people}
        assert by_a == {0: 0, 1: 1}
    assert all(len(p.members) == 2 for p in estimate.people)


@pytest.mark.parametrize("seed", range(6))
def test_a_camera_that_counts_from_anew_and_comes_before_the_others_keeps_the_numbers(seed):
    rng = np.random.default_rng(seed)
    fuser, numbers = make(), set()
    bodies = people(same(), np.array([[-1.0, 0.2, 0.95], [1.0, -0.2, 0.95]]))
    for frame in range(25):
        again = frame >= 20
        right = seen_by(
            rng, "b", AROUND[1], bodies, Noise(), numbers=[1, 0] if again else [0, 1], frame=frame
        )
        left = seen_by(rng, "a", AROUND[0], bodies, Noise(), frame=frame)
        if frame == 20:
            fuser.forget_view("b")
        estimate = fuser.step([right] if frame == 20 else [left, right])
        numbers |= {person.number for person in estimate.people}
    assert numbers == {0, 1}


def test_two_numbers_that_turn_out_to_be_one_person_go_on_as_the_older():
    rng = np.random.default_rng(10)
    fuser = make()
    body = people(rng, np.array([[0.0, 0, 0.95]]))
    far = people(rng, np.array([[3.0, 0, 0.95]]))
    fuser.step(
        [
            seen_by(rng, "a", AROUND[0], body, LITTLE, frame=0),
            seen_by(rng, "b", AROUND[1], far, LITTLE, frame=0),
        ]
    )
    for frame in range(1, 30):
        estimate = fuser.step(
            [
                seen_by(rng, "a", AROUND[0], body, LITTLE, frame=frame),
                seen_by(rng, "b", AROUND[1], body, LITTLE, frame=frame),
            ]
        )
    assert [person.number for person in estimate.people] == [0]


def test_predictions_do_not_count_where_somebody_measures():
    rng = np.random.default_rng(12)
    body = people(rng, np.array([[0.0, 0, 0.95]]))
    measured = seen_by(rng, "a", AROUND[0], body, LITTLE)
    predicted = seen_by(rng, "b", AROUND[1], body, LITTLE)
    coasting = replace(
        predicted,
        tracked=tuple(replace(t, state=TrackState.COASTING) for t in predicted.tracked),
        is_measured=np.zeros(1, bool),
    )
    (person,) = make().step([measured, coasting]).people
    assert np.allclose(person.joints_world, measured.joints_world[0])
    assert person.state == TrackState.OK


def test_nobody_anywhere():
    rng = np.random.default_rng(13)
    empty = [
        replace(seen_by(rng, n, p, people(rng, spread_places(rng, 1)), LITTLE), **nobody())
        for n, p in zip(NAMES, AROUND, strict=True)
    ]
    assert make().step(empty).people == ()


def nobody() -> dict:
    return {
        "tracked": (),
        "numbers": np.zeros(0, int),
        "is_measured": np.zeros(0, bool),
        "rotations": np.zeros((0, 53, 3, 3)),
        "betas": np.zeros((0, 10)),
        "expression": np.zeros((0, 10)),
        "joints_camera": np.zeros((0, 55, 3)),
        "place_covariance": np.zeros((0, 3, 3)),
        "turn_variance": np.zeros(0),
    }


# -- cameras that do not agree -------------------------------------------------------------------


def same():
    return np.random.default_rng(5)


def run_room(told, *, frames=30, seed=14, true=AROUND[:2], lag=0):
    rng = np.random.default_rng(seed)
    fuser = make()
    start = spread_places(rng, 3)
    for frame in range(frames):
        now, late = (
            people(same(), start + np.array([0.12 * f, 0.05 * f, 0])) for f in (frame, frame - lag)
        )
        views = [
            seen_by(rng, n, p, bodies, Noise(), frame=frame, told_pose=t)
            for n, p, t, bodies in zip(NAMES, true, told, (now, late, now, now), strict=False)
        ]
        estimate = fuser.step(views)
    return estimate


def test_cameras_that_agree_are_in_good_health():
    estimate = run_room(AROUND[:2])
    for health in estimate.health.values():
        assert health.trouble == ""
        assert 0 < health.residual_px < health.expected_px


def test_a_turned_camera_is_told_by_its_residual():
    wrong = camera_at(np.deg2rad(80))
    wrong[:3, :3] = wrong[:3, :3] @ rotation_about("x", 5)
    texts = [h.trouble for h in run_room([AROUND[0], wrong]).health.values()]
    assert any("px from where the others see them" in text for text in texts)


def test_of_four_cameras_the_turned_one_is_worst():
    wrong = AROUND[1].copy()
    wrong[:3, :3] = wrong[:3, :3] @ rotation_about("y", 6)
    told = [AROUND[0], wrong, *AROUND[2:]]
    health = run_room(told, true=AROUND).health
    assert max(health, key=lambda view: health[view].residual_px) == "b"
    assert "camera b" in health["b"].trouble


def test_a_badly_wrong_calibration_is_told_by_who_is_never_shared():
    wrong = camera_at(np.deg2rad(80))
    wrong[:3, 3] += [6.0, 6.0, 0]
    estimate = run_room([AROUND[0], wrong])
    assert all("no person was the same" in h.trouble for h in estimate.health.values())


def test_clocks_that_differ_are_told():
    health = run_room(AROUND, true=AROUND, lag=6).health
    assert max(health, key=lambda view: health[view].residual_px) == "b"
    assert "clocks" in health["b"].trouble


def test_cameras_that_do_not_overlap_are_told_and_nobody_is_merged():
    rng = np.random.default_rng(18)
    fuser = make()
    here = people(rng, np.array([[-1.5, 0, 0.95]]))
    there = people(rng, np.array([[4.5, 3.0, 0.95]]))
    for frame in range(30):
        estimate = fuser.step(
            [
                seen_by(rng, "a", AROUND[0], here, Noise(), frame=frame),
                seen_by(rng, "b", AROUND[1], there, Noise(), frame=frame),
            ]
        )
    assert [len(person.members) for person in estimate.people] == [1, 1]
    assert all("same place" in health.trouble for health in estimate.health.values())


def test_swapped_cameras_are_named():
    estimate = run_room([AROUND[1], AROUND[0]], true=AROUND[:2])
    assert "swapped" in estimate.health["a"].trouble
    assert "b" in estimate.health["a"].trouble


def test_a_mirrored_image_is_told():
    rng = np.random.default_rng(3)
    fuser = make()
    for frame in range(30):
        bodies = people(same(), np.array([[-1.2, 0.5, 0.95], [0.3, -1.4, 0.95]]))
        right = seen_by(rng, "right", AROUND[1], bodies, Noise(), frame=frame)
        mirrored = replace(right, joints_camera=right.joints_camera * [-1.0, 1.0, 1.0])
        left = seen_by(rng, "left", AROUND[0], bodies, Noise(), frame=frame)
        health = fuser.step([left, mirrored]).health
    assert "px from where the others see them" in health["right"].trouble
    assert "mirrored" in health["right"].trouble


def test_a_camera_that_sees_no_person_where_others_do_is_told():
    """Covered, dark, or upside down while its pose says that it is not."""
    rng = np.random.default_rng(3)
    fuser = make()
    bodies = people(same(), np.array([[-0.2, 0.1, 0.95]]))
    for frame in range(90):
        left = seen_by(rng, "left", AROUND[0], bodies, Noise(), frame=frame)
        right = seen_by(rng, "right", AROUND[1], bodies, Noise(), frame=frame)
        empty = replace(right, **nobody())
        health = fuser.step([left, empty if frame < 80 else right]).health
        if frame == 79:
            assert health["left"].trouble == ""
            assert "camera right: sees no person" in health["right"].trouble
            assert "upside down" in health["right"].trouble
    assert health["right"].trouble == "", "it has seen someone since"


def test_a_camera_that_looks_elsewhere_may_see_nobody():
    rng = np.random.default_rng(3)
    fuser = make()
    bodies = people(same(), np.array([[-0.2, 0.1, 0.95]]))
    away = camera_at(1.4)
    away[:3, :3] = away[:3, :3] @ rotation_about("y", 120)
    for frame in range(90):
        left = seen_by(rng, "left", AROUND[0], bodies, Noise(), frame=frame)
        right = seen_by(rng, "right", AROUND[1], bodies, Noise(), frame=frame)
        elsewhere = replace(right, world_from_camera=away, **nobody())
        health = fuser.step([left, elsewhere]).health
    assert health["right"].trouble == ""


# -- wrong use -----------------------------------------------------------------------------------


def test_wrong_use_is_told():
    rng = np.random.default_rng(15)
    view = seen_by(rng, "a", AROUND[0], people(rng, spread_places(rng, 1)), LITTLE, frame=3)
    with pytest.raises(InputError, match="each once"):
        make().step([view, view])
    with pytest.raises(InputError, match="at least one"):
        make().step([])
    fuser = make()
    fuser.step([view])
    with pytest.raises(InputError, match="order of time"):
        fuser.step([replace(view, stamp_ns=view.stamp_ns - FRAME_NS)])
    with pytest.raises(ConfigError, match="triangulation"):
        FusionSettings(position="rays")


def test_every_order_of_three_views_gives_the_same_bits():
    rng = np.random.default_rng(16)
    bodies = people(rng, spread_places(rng, 4))
    views = [seen_by(rng, n, p, bodies, LITTLE) for n, p in zip(NAMES[:3], AROUND, strict=False)]
    first, *others = [make().step(list(order)).people for order in permutations(views)]
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert a.number == b.number
            assert np.array_equal(a.joints_world, b.joints_world)
