"""The camera's path from followed features: exact on scenes of known depth, honest where lost."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.config import Settings
from human3r.geometry import invert
from human3r.pipeline import Pipeline
from human3r.streaming.visual_odometry import VisualOdometry, find_pose
from human3r.types import Frame, FrameEstimate, ImageGeometry, Intrinsics

_WIDTH, _HEIGHT = 224, 160
_CAMERA = Intrinsics(200.0, 200.0, 112.0, 80.0, _WIDTH, _HEIGHT)
_GEOMETRY = ImageGeometry(_WIDTH, _HEIGHT, _WIDTH, _HEIGHT, 0, 0, _WIDTH, _HEIGHT)
_WALL_M = 3.0
"""From the first camera to a wall that it looks at straight on."""


def _texture(seed: int, width: int = _WIDTH * 3, height: int = _HEIGHT * 3) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)


_WALL = _texture(1)


def _estimate(
    world_from_camera: np.ndarray, wall: np.ndarray = _WALL, **changes: object
) -> FrameEstimate:
    """What a network that knows all but its own pose says of the wall."""
    # The texture is the wall as the first camera sees it, with a margin of one image around.
    wall_from_texture = np.array([[1, 0, -_WIDTH], [0, 1, -_HEIGHT], [0, 0, 1.0]])
    camera = _CAMERA.matrix()
    to_wall = np.linalg.inv(camera) * _WALL_M
    camera_from_world = invert(world_from_camera)
    plane = np.column_stack((camera_from_world[:3, :2], np.zeros(3)))
    plane[:, 2] = camera_from_world[:3, 2] + camera_from_world[:3, 3] / _WALL_M
    image_from_texture = camera @ plane @ to_wall @ wall_from_texture
    image = cv2.warpPerspective(wall, image_from_texture, (_WIDTH, _HEIGHT))
    columns, rows = np.meshgrid(np.arange(_WIDTH), np.arange(_HEIGHT))
    rays = np.stack((columns, rows, np.ones_like(rows)), -1) @ np.linalg.inv(camera).T
    in_world = rays @ world_from_camera[:3, :3].T
    depth = (_WALL_M - world_from_camera[2, 3]) / in_world[..., 2]
    values = {
        "stamp_ns": 1,
        "session": 0,
        "frame_index": 0,
        "geometry": _GEOMETRY,
        "image": image,
        "points_camera": (rays * depth[..., None]).astype(np.float32),
        "confidence": np.ones((_HEIGHT, _WIDTH), np.float32),
        "person_probability": np.zeros((_HEIGHT, _WIDTH), np.float32),
        "world_from_camera": np.full((4, 4), np.nan),
        "intrinsics": _CAMERA,
        "people": (),
    }
    return FrameEstimate(**(values | changes))


def _path(frames: int, seed: int) -> list[np.ndarray]:
    """A camera that drifts sideways, forwards and around, evenly."""
    rng = np.random.default_rng(seed)
    velocity = rng.uniform(-0.04, 0.04, 3)
    turn = rng.uniform(-0.01, 0.01, 3)
    poses = []
    for index in range(frames):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec(turn * index).as_matrix()
        pose[:3, 3] = velocity * index
        poses.append(pose)
    return poses


def _assert_close(pose: np.ndarray, true: np.ndarray, metres: float, radians: float) -> None:
    error = invert(true) @ pose
    assert np.linalg.norm(error[:3, 3]) < metres
    assert Rotation.from_matrix(error[:3, :3]).magnitude() < radians


@pytest.mark.parametrize("seed", range(6))
def test_the_path_is_the_true_one_where_the_depth_is(seed):
    odometry = VisualOdometry()
    for true in _path(20, seed):
        answer = odometry.apply(_estimate(true), _CAMERA)
        assert answer.is_motion_known
        _assert_close(answer.world_from_camera, true, 0.04, 0.01)


def test_lengths_are_those_of_the_depth():
    odometry = VisualOdometry()
    for true in _path(10, 3):
        estimate = _estimate(true)
        doubled = _estimate(true, points_camera=estimate.points_camera * 2)
        answer = odometry.apply(doubled, _CAMERA)
    expected = true.copy()
    expected[:3, 3] *= 2
    _assert_close(answer.world_from_camera, expected, 0.04, 0.005)


def test_lengths_are_those_of_depth_that_is_corrected():
    """The first image's depth is half of what it should be, and corrected before the next."""
    odometry = VisualOdometry()
    for index, true in enumerate(_path(10, 3)):
        estimate = _estimate(true, stamp_ns=1 + index)
        halved = replace(estimate, points_camera=estimate.points_camera / 2)
        answer = odometry.apply(halved, _CAMERA)
        odometry.correct_depth(replace(answer, points_camera=estimate.points_camera))
    _assert_close(answer.world_from_camera, true, 0.04, 0.005)


def test_a_camera_that_stands_still_stays_where_it_is():
    odometry = VisualOdometry()
    rng = np.random.default_rng(0)
    for _ in range(30):
        still = _estimate(np.eye(4))
        noise = rng.normal(0, 3, still.image.shape)
        noisy = np.clip(still.image + noise, 0, 255).astype(np.uint8)
        answer = odometry.apply(_estimate(np.eye(4), image=noisy), _CAMERA)
    _assert_close(answer.world_from_camera, np.eye(4), 0.01, 0.003)


@pytest.mark.parametrize("seed", range(12))
def test_a_few_features_astray_do_not_move_a_camera_that_sees_few(seed):
    """As where somebody's shadow falls on an almost empty room."""
    rng = np.random.default_rng(seed)
    points = rng.uniform((-1.5, -1.0, 2.2), (1.5, 1.0, 3.8), (22, 3))
    seen = points @ _CAMERA.matrix().T
    pixels = seen[:, :2] / seen[:, 2:] + rng.normal(0, 0.25, (22, 2))
    lowest = np.argsort(pixels[:, 1])[-4:]
    pixels[lowest] += np.array([1.0, 0.3]) + rng.normal(0, 0.3, (4, 2))
    found = find_pose(points, pixels, _CAMERA.matrix(), _WIDTH, np.eye(4))
    assert found is not None
    assert np.array_equal(found.key_from_camera, np.eye(4))


def test_few_features_show_a_camera_that_moves():
    rng = np.random.default_rng(0)
    points = rng.uniform((-1.5, -1.0, 2.0), (1.5, 1.0, 4.0), (22, 3))
    seen = (points - [0.1, 0.0, 0.05]) @ _CAMERA.matrix().T
    pixels = seen[:, :2] / seen[:, 2:] + rng.normal(0, 0.2, (22, 2))
    found = find_pose(points, pixels, _CAMERA.matrix(), _WIDTH, np.eye(4))
    assert found is not None
    assert found.key_from_camera[:3, 3] == pytest.approx([0.1, 0.0, 0.05], abs=0.03)


def test_a_camera_on_a_tripod_has_no_path_at_all():
    """Trembling features and a flickering lamp are no motion, however long they last."""
    odometry = VisualOdometry()
    rng = np.random.default_rng(1)
    still = _estimate(np.eye(4)).image.astype(np.float32)
    for _ in range(80):
        seen = still * rng.uniform(0.9, 1.1) + rng.normal(0, 4, still.shape)
        image = np.clip(seen, 0, 255).astype(np.uint8)
        answer = odometry.apply(_estimate(np.eye(4), image=image), _CAMERA)
        assert np.array_equal(answer.world_from_camera, np.eye(4))


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_a_focal_length_that_is_estimated_anew_moves_nobody_and_a_zoom_is_followed(is_calibrated):
    """The same picture, and another focal length: a better estimate, or a camera that went back."""
    odometry = VisualOdometry()
    for focal_px in (200.0, 210.0, 190.0, 180.0):
        camera = Intrinsics(focal_px, focal_px, 112.0, 80.0, _WIDTH, _HEIGHT)
        known = {"calibrated": camera} if is_calibrated else {}
        answer = odometry.apply(_estimate(np.eye(4), intrinsics=camera, **known), camera)
    forward_m = answer.world_from_camera[2, 3]
    assert forward_m == pytest.approx(0.1 * _WALL_M if is_calibrated else 0.0, abs=0.03)


def test_a_camera_that_turns_on_the_spot_stays_there_though_depth_is_wrong():
    odometry = VisualOdometry()
    rng = np.random.default_rng(2)
    for index in range(12):
        true = np.eye(4)
        true[:3, :3] = Rotation.from_euler("yx", (0.012 * index, 0.004 * index)).as_matrix()
        estimate = _estimate(true)
        wrong = np.exp(cv2.GaussianBlur(rng.normal(0, 2, (_HEIGHT, _WIDTH, 1)), (0, 0), 9))
        points = (estimate.points_camera * wrong[..., None]).astype(np.float32)
        answer = odometry.apply(_estimate(true, points_camera=points), _CAMERA)
        _assert_close(answer.world_from_camera, true, 1e-6, 0.004)


def test_a_camera_that_creeps_gets_there():
    """What is too little to be seen between two images is seen between many."""
    odometry = VisualOdometry()
    for index in range(100):
        true = np.eye(4)
        true[0, 3] = 0.001 * index
        answer = odometry.apply(_estimate(true), _CAMERA)
    _assert_close(answer.world_from_camera, true, 0.015, 0.004)


def test_what_is_not_known_about_the_pose_grows_with_the_way():
    odometry = VisualOdometry()
    odometry.apply(_estimate(np.eye(4)), _CAMERA)
    assert not odometry.covariance.any()
    variances = []
    for index in range(1, 30):
        true = np.eye(4)
        true[:3, 3] = 0.03 * index, 0, 0.02 * index
        odometry.apply(_estimate(true), _CAMERA)
        covariance = odometry.covariance
        assert np.allclose(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > 0
        variances.append(np.trace(covariance[:3, :3]))
    assert variances[-1] > variances[14] > variances[4]
    # All depth may be off alike by a tenth, and with it the length of the way.
    assert odometry.covariance[0, 0] > (0.1 * true[0, 3]) ** 2


def test_while_nothing_can_be_followed_the_camera_may_be_anywhere():
    odometry = VisualOdometry()
    for stamp_ns, texture in ((1, 1), (1_000_000_001, 7)):
        seen = _estimate(np.eye(4), wall=_texture(texture), stamp_ns=stamp_ns)
        answer = odometry.apply(seen, _CAMERA)
    assert not answer.is_motion_known
    assert np.sqrt(np.trace(odometry.covariance[:3, :3])) > 0.5


def test_people_who_walk_do_not_move_the_camera():
    odometry = VisualOdometry()
    clothes = _texture(2)
    for index in range(20):
        estimate = _estimate(np.eye(4))
        image, is_person = estimate.image.copy(), estimate.person_probability.copy()
        left = 5 * index
        image[20:150, left : left + 90] = clothes[:130, :90]
        is_person[20:150, left : left + 90] = 1
        seen = _estimate(np.eye(4), image=image, person_probability=is_person)
        answer = odometry.apply(seen, _CAMERA)
        assert answer.is_motion_known
    _assert_close(answer.world_from_camera, np.eye(4), 0.02, 0.005)


@pytest.mark.parametrize("turn_rad", [0.2, 0.35, -0.45])
def test_a_camera_that_turned_too_fast_to_be_followed_is_found_by_what_it_sees(turn_rad):
    """As at a few images per second: the image moves by 40 to 90 of its 224 pixels at once."""
    odometry = VisualOdometry()
    odometry.apply(_estimate(np.eye(4)), _CAMERA)
    true = np.eye(4)
    true[:3, :3] = Rotation.from_rotvec([0.05, turn_rad, 0.05]).as_matrix()
    true[:3, 3] = 0.2, 0.05, 0.1
    found = odometry.apply(_estimate(true, stamp_ns=10**8), _CAMERA)
    assert found.is_motion_known
    _assert_close(found.world_from_camera, true, 0.05, 0.02)


def test_another_scene_is_not_taken_for_the_same():
    for seed in range(2, 12):
        odometry = VisualOdometry()
        odometry.apply(_estimate(np.eye(4)), _CAMERA)
        other = _estimate(np.eye(4), _texture(seed), stamp_ns=10**8)
        assert not odometry.apply(other, _CAMERA).is_motion_known


def test_a_covered_lens_is_waited_for():
    odometry = VisualOdometry()
    path = _path(12, 4)
    before = None
    for index, true in enumerate(path):
        estimate = _estimate(true)
        if index in (5, 6):
            black = np.zeros_like(estimate.image)
            estimate = _estimate(true, image=black, state_updated=False)
        answer = odometry.apply(estimate, _CAMERA)
        assert answer.is_motion_known == (index not in (5, 6))
        if index in (5, 6):
            assert np.array_equal(answer.world_from_camera, before)
        before = answer.world_from_camera
    _assert_close(answer.world_from_camera, path[-1], 0.02, 0.005)


def test_a_cut_is_said_and_gone_on_from():
    odometry = VisualOdometry()
    path = _path(8, 5)
    for true in path:
        before = odometry.apply(_estimate(true), _CAMERA)
    elsewhere = _texture(7)
    at_cut = odometry.apply(_estimate(path[0], wall=elsewhere), _CAMERA)
    assert not at_cut.is_motion_known
    assert np.array_equal(at_cut.world_from_camera, before.world_from_camera)
    for true in path[1:]:
        after = odometry.apply(_estimate(true, wall=elsewhere), _CAMERA)
        assert after.is_motion_known
    _assert_close(after.world_from_camera, before.world_from_camera @ path[-1], 0.03, 0.01)


@pytest.mark.parametrize("what", ["no texture", "no focal length", "nothing in front"])
def test_where_nothing_can_be_followed_the_camera_stands_still(what):
    odometry = VisualOdometry()
    camera = _CAMERA
    for index, true in enumerate(_path(4, 6)):
        estimate = _estimate(true)
        if what == "no texture":
            estimate = _estimate(true, image=np.full_like(estimate.image, 90))
        if what == "no focal length":
            camera = Intrinsics(0.0, 0.0, 112.0, 80.0, _WIDTH, _HEIGHT)
        if what == "nothing in front":
            estimate = _estimate(true, points_camera=-estimate.points_camera)
        answer = odometry.apply(estimate, camera)
        assert np.array_equal(answer.world_from_camera, np.eye(4))
        assert answer.is_motion_known == (index == 0)


def test_restarts():
    odometry = VisualOdometry()
    path = _path(8, 2)
    for true in path:
        last = odometry.apply(_estimate(true), _CAMERA).world_from_camera
    odometry.restart(keep_world=True)
    answer = odometry.apply(_estimate(path[0]), _CAMERA)
    assert np.array_equal(answer.world_from_camera, last)
    assert answer.is_motion_known
    odometry.restart(keep_world=False)
    answer = odometry.apply(_estimate(path[3]), _CAMERA)
    assert np.array_equal(answer.world_from_camera, np.eye(4))


def test_published_networks_say_their_path_themselves(small_network, body_model):
    """Only our own network's path comes from features, unless settings say otherwise."""
    image = cv2.resize(_WALL, (160, 128))
    moved = np.roll(image, 4, axis=1)

    def path(**changes: str) -> np.ndarray:
        settings = Settings().replace({"model.input_size": 160, **changes})
        pipeline = Pipeline(small_network, body_model, settings)
        for stamp_ns, seen in enumerate((image, moved), start=1):
            estimate = pipeline.step(Frame(seen, stamp_ns))
        return estimate.world_from_camera

    as_it_is, network, features = (
        path(**{"odometry.source": source}) for source in ("auto", "network", "features")
    )
    assert np.array_equal(as_it_is, network)
    assert not np.array_equal(features, network)


def test_frames_without_depth_are_followed_to_the_next_that_has_it():
    """Also where nothing can be followed for a while: the key image waits."""
    odometry = VisualOdometry()
    path = _path(13, 4)
    blank = np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8)
    for index, true in enumerate(path):
        changes = {} if index % 4 == 0 else {"has_scene": False}
        if changes:
            changes["points_camera"] = np.zeros((_HEIGHT, _WIDTH, 3), np.float32)
        if index == 6:
            changes["image"] = blank
        answer = odometry.apply(_estimate(true, **changes), _CAMERA)
        assert answer.is_motion_known == (index != 6)
        if index != 6:
            _assert_close(answer.world_from_camera, true, 0.04, 0.01)


def test_a_repeated_picture_moves_nobody_though_its_depth_differs():
    odometry = VisualOdometry()
    path = _path(3, 5)
    before = [odometry.apply(_estimate(pose), _CAMERA) for pose in path][-1]
    for _ in range(3):
        again = _estimate(path[-1], points_camera=before.points_camera * 1.3)
        after = odometry.apply(again, _CAMERA, is_repeated=True)
        np.testing.assert_array_equal(after.world_from_camera, before.world_from_camera)
        assert after.is_motion_known
