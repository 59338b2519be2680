"""A HumanArray as the node publishes it, from a small skeleton of our own; NumPy only."""

from array import array

import human3r_bridge  # noqa: F401 - settles the client library and the message packages.
import numpy as np
from builtin_interfaces.msg import Time
from human3r_bridge.geometry_messages import point, pose_from_matrix, vector
from human3r_msgs.msg import Human, HumanArray, SkeletonInfo
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from human3r.body.skeleton import JOINT_NAMES, JOINT_PARENTS

FRAME = "camera_optical"
FOCAL, WIDTH, HEIGHT = 500.0, 640, 480
STATURE_M = 1.63
REP155_FROM_SMPLX = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
FACING_CAMERA = Rotation.from_euler("x", np.pi)
"""Root rotation of an upright person who looks at the camera."""
_LANDMARKS = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
_LANDMARK_PARENTS = (15, 24, 23, 15, 15)
# Metres from mid-hips, x to the person's left, y up, z forward, arms stretched out.
_MIDDLE = {
    "pelvis": (0, 0.036, 0.004),
    "spine1": (0, 0.146, -0.026),
    "spine2": (0, 0.256, -0.022),
    "spine3": (0, 0.317, -0.029),
    "neck": (0, 0.556, 0.006),
    "head": (0, 0.649, 0.039),
    "jaw": (0, 0.658, 0.053),
    "nose": (0, 0.652, 0.157),
}
_LEFT = {
    "hip": (0.107, 0, 0),
    "knee": (0.123, -0.365, -0.004),
    "ankle": (0.119, -0.761, -0.016),
    "foot": (0.122, -0.809, 0.125),
    "collar": (0.022, 0.483, 0.02),
    "shoulder": (0.175, 0.484, 0.014),
    "elbow": (0.424, 0.484, 0.014),
    "wrist": (0.647, 0.484, 0.014),
    "eye_smplhf": (0.029, 0.691, 0.116),
    "eye": (0.029, 0.692, 0.132),
    "ear": (0.084, 0.685, 0.028),
    **{
        f"{finger}{link}": (0.72 + 0.025 * link, 0.48, z)
        for finger, z in zip(
            ("index", "middle", "pinky", "ring", "thumb"),
            (0.04, 0.014, -0.026, -0.007, 0.06),
            strict=True,
        )
        for link in (1, 2, 3)
    },
}


def _rest(name):
    side, _, rest = name.partition("_")
    if side in ("left", "right"):
        x, y, z = _LEFT[rest]
        return (x if side == "left" else -x), y, z
    return _MIDDLE[name]


NAMES = (*JOINT_NAMES, *_LANDMARKS)
PARENTS = (*JOINT_PARENTS, *_LANDMARK_PARENTS)
REST_M = np.array([_rest(name) for name in NAMES])


def random_pose(seed, spread_rad=0.4):
    """55 rotations (55, 3, 3): facing the camera, every joint turned at random."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(spread_rad * rng.standard_normal((55, 3)))
    rotations = turns.as_matrix()
    rotations[0] = (FACING_CAMERA * turns[0]).as_matrix()
    return rotations


def upright():
    """Everyone's zero pose, arms stretched out."""
    rotations = np.tile(np.eye(3), (55, 1, 1))
    rotations[0] = FACING_CAMERA.as_matrix()
    return rotations


def make_human(number=1, rotations=None, place=(0.2, 0.1, 3.0), state=Human.TRACK_OK, **changes):
    """One person whose hips are at ``place`` (metres, camera)."""
    rotations = upright() if rotations is None else rotations
    joints, globals_ = _pose(rotations)
    joints += np.array(place) - (joints[1] + joints[2]) / 2
    body, head = np.eye(4), np.eye(4)
    body[:3, :3], body[:3, 3] = globals_[0] @ REP155_FROM_SMPLX.T, place
    head[:3, :3], head[:3, 3] = globals_[15] @ REP155_FROM_SMPLX.T, joints[23:25].mean(axis=0)
    pixels = FOCAL * joints[:, :2] / joints[:, 2:] + [WIDTH / 2, HEIGHT / 2]
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    values = {
        "id": f"h3r{number:05d}",
        "track_id": number,
        "track_state": state,
        "age_frames": 5,
        "score": 0.75,
        "body_pose": pose_from_matrix(body),
        "head_pose": pose_from_matrix(head),
        "velocity": vector((0.5, 0.0, -1.0)),
        "velocity_valid": True,
        "box_center": point((0.05, 0.0, -0.1)),
        "box_size": vector((0.4, 1.6, 1.7)),
        "stature": STATURE_M,
        "joint_positions": array("f", joints.ravel()),
        "joint_rotations": array("f", Rotation.from_matrix(rotations).as_quat().ravel()),
        "joint_pixels": array("f", pixels.ravel()),
        "box_pixels": np.array([*low, *high], np.float32),
    }
    return Human(**{**values, **changes})


def make_array(*humans, stamp_ns=5_000_000_123, **changes):
    values = {
        "header": Header(
            stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id=FRAME
        ),
        "session": 1,
        "skeleton_id": "bones",
        "camera_pose": pose_from_matrix(LEVEL_FROM_CAMERA),
        "camera_pose_valid": True,
        "scale": 1.0,
        "image_width": WIDTH,
        "image_height": HEIGHT,
        "humans": list(humans),
    }
    return HumanArray(**{**values, **changes})


LEVEL_FROM_CAMERA = np.array(
    [[0.0, 0.0, 1.0, 10.0], [-1.0, 0.0, 0.0, 20.0], [0.0, -1.0, 0.0, 1.5], [0.0, 0.0, 0.0, 1.0]]
)
"""A level camera that looks along x, 1.5 m up."""


def make_skeleton():
    return SkeletonInfo(
        skeleton_id="bones",
        body_model="test",
        num_rotating=55,
        joint_names=list(NAMES),
        joint_parents=array("h", PARENTS),
    )


def _pose(rotations):
    joints, globals_ = np.zeros((len(NAMES), 3)), np.zeros((55, 3, 3))
    order = sorted(range(len(NAMES)), key=lambda joint: (joint >= 55, joint))
    for joint in order:
        parent = PARENTS[joint]
        if parent < 0:
            globals_[joint], joints[joint] = rotations[joint], REST_M[joint]
            continue
        joints[joint] = joints[parent] + globals_[parent] @ (REST_M[joint] - REST_M[parent])
        if joint < 55:
            globals_[joint] = globals_[parent] @ rotations[joint]
    return joints, globals_
