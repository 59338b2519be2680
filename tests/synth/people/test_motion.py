"""Feet, limbs, paths and scripts: geometry that can be checked by itself."""

from itertools import pairwise

import numpy as np
import pytest
from human3r_lab.synth.people.kinematics import joint_frames, skin_transforms
from human3r_lab.synth.people.motion.feet import FootPlan, Footstep, foot_shape, move_foot
from human3r_lab.synth.people.motion.gestures import BOTH_HANDED, ONE_HANDED, SEATED, arm_goal
from human3r_lab.synth.people.motion.ground import Curve, GroundPlanner
from human3r_lab.synth.people.motion.limbs import aim_arm, aim_leg
from human3r_lab.synth.people.motion.noise import window
from human3r_lab.synth.people.motion.perform import perform
from human3r_lab.synth.people.motion.script import Crouch, Gesture, Script, Sitting
from human3r_lab.synth.people.physique import physique_of, random_physique
from human3r_lab.synth.people.rotations import X, about, apply, blend, world_from_heading
from human3r_lab.synth.people.space import Space
from human3r_lab.synth.people.template import JOINT, ROTATION
from human3r_lab.synth.stage import Obstacle, Stage
from scipy.spatial.transform import Rotation

SOLE_M = 0.02
MEAN = physique_of(np.zeros(10))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def joints_of(script: Script, times_s: np.ndarray, physique=MEAN, seed: int = 1):
    """Performance and joint places (T, 55, 3)."""
    performance = perform(script, physique, times_s, SOLE_M, rng(seed))
    frames = skin_transforms(performance.rotations, physique.joints_m, performance.head_world)
    joints = np.einsum("tjab,jb->tja", frames[..., :3], physique.joints_m) + frames[..., 3]
    return performance, joints


def standing(duration_s: float = 4.0, heading_rad: float = 0.0):
    planner = GroundPlanner(np.zeros(2), heading_rad, MEAN.stature_m, 0.1, rng(), time_s=-1.0)
    planner.stand(duration_s + 2.0)
    return planner.finish()


def test_heading_zero_faces_along_world_x():
    np.testing.assert_allclose(world_from_heading(0.0) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(world_from_heading(0.0) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(world_from_heading(1.1) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turns_about_axes_are_right_handed(axis):
    wanted = Rotation.from_rotvec(0.7 * np.eye(3)[axis]).as_matrix()
    np.testing.assert_allclose(about(axis, 0.7), wanted, atol=1e-12)


def test_blend_goes_from_the_first_to_the_second_rotation():
    a, b = Rotation.from_rotvec([[0.3, -0.2, 0.9], [-1.0, 0.4, 0.1]]).as_matrix()
    for share, wanted in ((0.0, a), (1.0, b)):
        gone = blend(a[None], b[None], np.array([share]))[0]
        np.testing.assert_allclose(gone, wanted, atol=1e-9)
    half = blend(a[None], b[None], np.array([0.5]))[0]
    angles = [np.linalg.norm(Rotation.from_matrix(x.T @ half).as_rotvec()) for x in (a, b)]
    assert angles[0] == pytest.approx(angles[1])


def test_chain_of_identities_is_the_zero_pose():
    rotations = np.tile(np.eye(3), (1, 53, 1, 1))
    _, places = joint_frames(rotations, MEAN.joints_m, MEAN.joints_m[:1])
    np.testing.assert_allclose(places[0], MEAN.joints_m, atol=1e-12)


def test_leg_reaches_its_target_with_a_hinged_knee():
    upper, lower = MEAN.bone("left_knee", "left_hip"), MEAN.bone("left_ankle", "left_knee")
    away = np.array([[0.1, -0.7, 0.2], [-0.1, -0.5, 0.4], [0.0, -0.76, 0.0], [0.2, -0.3, 0.3]])
    hip, knee = aim_leg(upper, lower, away, np.tile([1.0, 0.0, 0.0], (4, 1)))
    reached = apply(hip, upper + apply(knee, np.tile(lower, (4, 1))))
    np.testing.assert_allclose(reached, away, atol=1e-9)
    bend = Rotation.from_matrix(knee).as_rotvec()
    np.testing.assert_allclose(bend[:, 1:], 0, atol=1e-9)
    assert (bend[:, 0] > 0).all()
    knee_place = apply(hip, np.tile(upper, (4, 1)))
    middle = away * (np.linalg.norm(upper) / (np.linalg.norm(upper) + np.linalg.norm(lower)))
    assert (knee_place[[1, 3], 2] > middle[[1, 3], 2]).all(), "knees stand out forwards"


def test_leg_stretches_towards_what_it_cannot_reach():
    upper, lower = MEAN.bone("right_knee", "right_hip"), MEAN.bone("right_ankle", "right_knee")
    away = np.array([[0.0, -2.0, 0.5]])
    hip, knee = aim_leg(upper, lower, away, np.array([[1.0, 0.0, 0.0]]))
    reached = apply(hip, upper + apply(knee, lower[None]))[0]
    np.testing.assert_allclose(np.cross(reached, away[0]), 0, atol=1e-9)
    assert np.linalg.norm(reached) == pytest.approx(0.998 * MEAN.leg_length_m, rel=1e-3)


@pytest.mark.parametrize(("side", "sign"), [("left", 1.0), ("right", -1.0)])
def test_arm_reaches_its_target_with_the_elbow_where_asked(side, sign):
    upper = MEAN.bone(f"{side}_elbow", f"{side}_shoulder")
    lower = MEAN.bone(f"{side}_wrist", f"{side}_elbow")
    away = np.array([[sign * 0.1, -0.2, 0.3], [sign * 0.3, 0.1, 0.1]])
    elbow = np.array([[sign * 0.6, -0.8, 0.0]] * 2)
    shoulder, bend = aim_arm(upper, lower, away, elbow)
    middle = apply(shoulder, np.tile(upper, (2, 1)))
    wrist = middle + apply(shoulder @ bend, np.tile(lower, (2, 1)))
    np.testing.assert_allclose(wrist, away, atol=1e-9)
    aside = middle - away * ((middle * away).sum(1) / (away**2).sum(1))[:, None]
    assert ((aside * elbow).sum(1) > 0).all()


def test_curve_is_walked_at_even_speed_through_its_points():
    points = np.array([[0.0, 0.0], [1.0, 0.3], [1.5, 1.4], [3.0, 1.0]])
    curve = Curve.through(points)
    dense = curve.place(np.linspace(0, curve.length_m, 400))
    steps = np.linalg.norm(np.diff(dense, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.03
    np.testing.assert_allclose(dense[[0, -1]], points[[0, -1]], atol=1e-6)
    assert all(np.linalg.norm(dense - p, axis=1).min() < 0.02 for p in points)


def one_step() -> FootPlan:
    step = Footstep(1.0, 1.4, np.array([1.3, 0.1]), 0.1)
    return FootPlan(np.array([0.0, 0.1]), 0.0, (step,))


def test_foot_stays_lifts_and_comes_down_where_planned():
    shape = foot_shape(MEAN, "left", SOLE_M)
    times = np.arange(0, 3, 1 / 120)
    foot = move_foot(one_step(), shape, times)
    flat = -shape.heel_m[1]
    np.testing.assert_allclose(foot.ankle_m[0], [0, 0.1, flat], atol=1e-9)
    np.testing.assert_allclose(foot.ankle_m[-1], [1.3, 0.1, flat], atol=1e-9)
    in_air = (times > 1.0) & (times < 1.4)
    contact = foot.heel_contact | foot.toe_contact
    assert not contact[in_air].any()
    assert contact[~in_air & ((times < 1.0) | (times > 1.5))].all(), "but for the heel's landing"
    assert np.linalg.norm(np.diff(foot.ankle_m, axis=0), axis=1).max() * 120 < 8.0, "m/s"


def test_foot_rolls_about_points_that_stay():
    shape = foot_shape(MEAN, "left", SOLE_M)
    times = np.arange(0, 3, 1 / 240)
    foot = move_foot(one_step(), shape, times)
    ball = foot.ankle_m + apply(foot.rotation, np.tile(shape.ball_m, (len(times), 1)))
    heel = foot.ankle_m + apply(foot.rotation, np.tile(shape.heel_m, (len(times), 1)))
    before, after = times <= 1.0, times >= 1.4
    assert np.ptp(ball[before], axis=0).max() < 1e-9
    assert np.ptp(heel[after & ~foot.toe_contact], axis=0).max() < 1e-9
    assert heel[before][-1, 2] > 0.05, "the heel has risen before the toes leave"


def test_no_part_of_the_sole_goes_below_the_floor():
    shape = foot_shape(MEAN, "right", SOLE_M)
    times = np.arange(0, 3, 1 / 120)
    foot = move_foot(one_step(), shape, times)
    for point in (shape.heel_m, np.array([shape.ball_m[0], shape.toe_m[1], shape.ball_m[2]])):
        place = foot.ankle_m + apply(foot.rotation, np.tile(point, (len(times), 1)))
        assert place[:, 2].min() > -0.012
    toes = foot.rotation @ about(X, -foot.toe_rad)
    tip = foot.ankle_m + apply(foot.rotation, np.tile(shape.ball_m, (len(times), 1)))
    tip += apply(toes, np.tile(shape.toe_m - shape.ball_m, (len(times), 1)))
    assert tip[:, 2].min() > -1e-9


def walking(speed_m_s: float = 1.2):
    planner = GroundPlanner(np.zeros(2), 0.0, MEAN.stature_m, 0.1, rng(), time_s=0.0)
    planner.stand(0.5)
    planner.walk(Curve.through(np.array([[0.0, 0.0], [2.0, 0.5], [4.0, 0.0]])), speed_m_s)
    planner.stand(1.0)
    return planner, planner.finish()


def test_feet_take_turns():
    _, ground = walking()
    steps = sorted(
        (step.lift_s, step.land_s, side)
        for side, plan in ground.feet.items()
        for step in plan.steps
    )
    assert len(steps) > 5
    for (_, land_s, side), (lift_s, _, other) in pairwise(steps):
        assert side != other
        assert lift_s > land_s, "one foot is always on the floor"


def test_walking_has_the_speed_asked_for_and_ends_on_both_feet():
    planner, ground = walking(1.2)
    place, _ = ground.at(np.array([0.0, 2.0, 3.0, planner.time_s]))
    assert np.linalg.norm(place[2] - place[1]) == pytest.approx(1.2, abs=0.15)
    np.testing.assert_allclose(place[3], [4.0, 0.0], atol=0.01)
    ends = [plan.steps[-1].place_m for plan in ground.feet.values()]
    np.testing.assert_allclose(np.mean(ends, axis=0), [4.0, 0.0], atol=0.06)


def test_turning_on_the_spot_ends_at_the_heading():
    planner = GroundPlanner(np.ones(2), 0.3, MEAN.stature_m, 0.1, rng(), time_s=0.0)
    planner.turn(2.5)
    planner.stand(1.0)
    place, heading = planner.finish().at(np.array([planner.time_s]))
    assert heading[0] == pytest.approx(2.5, abs=1e-3)
    np.testing.assert_allclose(place[0], [1, 1], atol=1e-6)


def test_walker_swings_arms_against_legs():
    planner, ground = walking()
    times = np.arange(1.0, planner.time_s - 1.5, 1 / 60)
    _, joints = joints_of(Script(ground), times)
    forward = np.stack([*np.gradient(joints[:, 0, :2], axis=0).T], 1)
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    lead = [
        ((joints[:, JOINT[f"left_{part}"], :2] - joints[:, JOINT[f"right_{part}"], :2]) * forward)
        .sum(1)
        for part in ("ankle", "wrist")
    ]  # fmt: skip
    assert np.corrcoef(*lead)[0, 1] < -0.6


def test_walker_looks_where_it_goes_and_bobs_little():
    planner, ground = walking()
    times = np.arange(1.5, planner.time_s - 2.0, 1 / 60)
    performance, joints = joints_of(Script(ground), times)
    gaze = performance.rotations[:, 0, :2, 2]
    way = np.gradient(joints[:, 0, :2], axis=0)
    cosine = (gaze * way).sum(1) / np.linalg.norm(gaze, axis=1) / np.linalg.norm(way, axis=1)
    assert cosine.min() > 0.85
    assert 0.01 < np.ptp(joints[:, 0, 2]) < 0.08


def test_seated_pelvis_rests_on_the_seat_with_planted_feet():
    sitting = Sitting(-50.0, 50.0, 1.0, 0.42, 0.45, 0.0)
    performance, joints = joints_of(Script(standing(), sittings=(sitting,)), np.arange(0, 3, 0.1))
    np.testing.assert_allclose(joints[:, 0, 0], -0.42, atol=0.01)
    np.testing.assert_allclose(joints[:, 0, 2], 0.45 + MEAN.seat_clearance_m, atol=0.01)
    assert 0.05 < MEAN.seat_clearance_m < 0.15
    assert performance.contacts.all()
    ankles = joints[:, [JOINT["left_ankle"], JOINT["right_ankle"]]]
    assert np.ptp(ankles, axis=0).max() < 1e-4
    knee = performance.rotations[:, ROTATION["left_knee"]].astype(np.float64)
    assert np.degrees(np.arctan2(knee[:, 2, 1], knee[:, 1, 1])).mean() == pytest.approx(85, abs=25)


def test_sitting_down_and_standing_up_keep_the_feet():
    sitting = Sitting(1.0, 3.2, 1.0, 0.42, 0.45, 0.0)
    performance, joints = joints_of(Script(standing(), sittings=(sitting,)), np.arange(0, 4, 0.05))
    assert performance.contacts.all()
    assert np.ptp(joints[:, JOINT["left_ankle"]], axis=0).max() < 1e-4
    assert joints[0, 0, 2] > 0.8
    assert joints[-1, 0, 2] > 0.8
    assert joints[42, 0, 2] < 0.6


def test_crouching_lowers_the_pelvis_by_its_depth():
    script = Script(standing(), crouches=(Crouch(-50.0, 50.0, 1.0, 0.4, 0.5),))
    _, down = joints_of(script, np.array([1.0, 2.0]))
    _, up = joints_of(Script(standing()), np.array([1.0, 2.0]))
    np.testing.assert_allclose(up[:, 0, 2] - down[:, 0, 2], 0.4 * MEAN.leg_length_m, atol=0.02)
    assert np.abs(down[:, JOINT["left_ankle"]] - up[:, JOINT["left_ankle"]]).max() < 1e-4


ALL_GESTURES = {*ONE_HANDED, *BOTH_HANDED, *(name for name, _ in SEATED), "pick_up"}


@pytest.mark.parametrize("name", sorted(ALL_GESTURES))
def test_gesture_brings_the_wrist_to_its_goal(name):
    times = np.array([1.0, 2.0])
    gesture = Gesture(name, "right", -10.0, 10.0)
    performance, _ = joints_of(Script(standing(), gestures=(gesture,)), times)
    chest = np.tile(np.eye(3), (2, 53, 1, 1))
    for joint in ("right_collar", "right_shoulder", "right_elbow"):
        chest[:, ROTATION[joint]] = performance.rotations[:, ROTATION[joint]]
    _, places = joint_frames(chest, MEAN.joints_m, np.tile(MEAN.joints_m[0], (2, 1)))
    assert np.isfinite(places).all()
    wrist = places[:, JOINT["right_wrist"]]
    shoulder, head = MEAN.joints_m[JOINT["right_shoulder"]], MEAN.joints_m[JOINT["head"]]
    if name in ("phone", "scratch"):
        assert np.linalg.norm(wrist - head, axis=1).max() < 0.2
    if name in ("raise", "wave"):
        assert (wrist[:, 1] > shoulder[1] + 0.1).all()
    if name in ("lap", "clasp", "hips", "pick_up"):
        assert (wrist[:, 1] < shoulder[1] - 0.2).all()
    if name in ("push", "reach", "carry", "table"):
        assert (wrist[:, 2] > shoulder[2] + 0.12).all()


def test_gesture_goals_are_mirrored():
    goals = [arm_goal("hips", s, MEAN, np.zeros(1), rng()).wrist_m[0] for s in ("left", "right")]
    np.testing.assert_allclose(goals[0] * [-1, 1, 1], goals[1], atol=1e-3)


def test_gesture_is_over_outside_its_time():
    gesture = Gesture("wave", "right", 1.0, 3.0)
    with_wave, _ = joints_of(Script(standing(), gestures=(gesture,)), np.array([0.5, 2.0, 3.5]))
    without, _ = joints_of(Script(standing()), np.array([0.5, 2.0, 3.5]))
    shoulder = ROTATION["right_shoulder"]
    change = np.abs(with_wave.rotations - without.rotations)[:, shoulder].max((1, 2))
    assert change[1] > 0.3
    # The hanging arm's own chance differs a little; only a gesture changes it much.
    assert change[[0, 2]].max() < 0.3


def test_window_is_smooth_and_bounded():
    times = np.linspace(-1, 6, 701)
    values = window(times, 0.0, 5.0, 1.0)
    assert values[times <= 0].max() == 0
    assert values[(times > 1) & (times < 4)].min() == 1
    assert np.abs(np.diff(values, 2)).max() < 1e-3


@pytest.mark.parametrize("is_child", [False, True])
def test_random_physique_has_the_stature_of_its_age(is_child):
    low, high = (1.0, 1.4) if is_child else (1.45, 2.0)
    statures = [random_physique(rng(s), is_child=is_child).stature_m for s in range(25)]
    assert min(statures) > low - 0.01
    assert max(statures) < high + 0.01
    assert np.ptp(statures) > 0.2


def make_space() -> Space:
    obstacle = Obstacle(np.array([1.0, 1.0]), np.array([2.0, 2.0]), 0.7)
    return Space(Stage(np.array([-2.0, -2.0]), np.array([3.0, 3.0]), (obstacle,), ()), 2.0)


def test_space_knows_edges_obstacles_and_people():
    space = make_space()
    assert space.is_clear(np.array([[0.0, 0.0]]))
    assert not space.is_clear(np.array([[1.5, 1.5]]))
    assert not space.is_clear(np.array([[1.5, 0.8]])), "too near"
    assert not space.is_clear(np.array([[0.0, -1.9]])), "too near to the edge"
    track = np.zeros((len(space.times_s), 2))
    space.add(track)
    assert not space.is_apart(track + np.array([0.5, 0]))
    assert space.is_apart(track + np.array([1.0, 0]))


def test_way_out_of_a_seat_is_measured_to_its_edge():
    space = make_space()
    seat = np.array([1.5, 1.6])
    assert space.way_out_m(seat, np.array([1.0, 0.0])) == pytest.approx(0.5)
    assert space.way_out_m(seat, np.array([0.0, -1.0])) == pytest.approx(0.6)
    assert space.is_clear_before(seat, np.array([2.2, 1.6]), 0.05)
