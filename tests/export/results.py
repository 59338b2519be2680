"""Result folders of made-up people whose joints are known: written by the real writers."""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.io.people_file import PeopleFile, about_body
from human3r.io.results import write_ply
from human3r.types import (
    BodyParameters,
    Frame,
    FrameEstimate,
    Intrinsics,
    PersonEstimate,
    TrackedPerson,
    TrackState,
)
from tests.viewer import synthetic_estimates

WIDTH, HEIGHT = synthetic_estimates.SOURCE
RATE_HZ = 10
UP_TILT = np.radians(12)
"""How far the first camera looks down."""


def write_result(
    folder: Path,
    body_file: Path,
    seed: int,
    frames: int = 6,
    scale: float = 1.0,
    settings: str = "",
) -> None:
    """Two people with one shape each in random poses; the second is missing in frames 2 and 3.

    Args:
        folder: to make.
        body_file: the body model.
        seed: of poses, shapes and camera path.
        frames: how many.
        scale: of everything.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    body = load_body_model(body_file)
    writer = PeopleFile(folder / "people.npz", about_body(body, body_file, UP_TILT))
    shapes = rng.normal(0, 0.5, (2, 10)).astype(np.float32)
    starts = [Rotation.random(53, rng=rng) for _ in range(2)]
    turns = [Rotation.from_rotvec(rng.normal(0, 0.15, (53, 3))) for _ in range(2)]
    for number in range(frames):
        people = []
        for one in range(2):
            if one == 1 and number in (2, 3):
                continue
            rotations = (starts[one] * turns[one] ** number).as_matrix()
            place = np.array([0.8 * one - 0.4, 0.1, 3.0 + 0.1 * number]) + rng.normal(0, 0.05, 3)
            people.append(_person(body, 3 + 4 * one, rotations, shapes[one], place, scale))
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec([0.02 * number, 0.05 * number, 0]).as_matrix()
        pose[:3, 3] = [0.1 * number, 0, 0.03 * number]
        writer.add(*_estimate(number, people, pose, scale))
    writer.finish()
    points = rng.uniform(-3, 3, (50, 3)).astype(np.float32)
    write_ply(folder / "scene.ply", points, rng.integers(0, 255, (50, 3), np.uint8))
    settings = f"level:\n  pitch_rad: {UP_TILT}\nmodel:\n  body_model: {body_file}\n"
    (folder / "settings.yaml").write_text(settings)


def _person(body, track_id, rotations, betas, place, scale) -> PersonEstimate:
    values = (rotations, betas, np.zeros(10), place)
    arguments = [torch.from_numpy(np.asarray(value, np.float32))[None] for value in values]
    mesh = body(*arguments)
    head = place * scale
    joints, vertices = (
        ((points[0].numpy() - place) * scale + head).astype(np.float32)
        for points in (mesh.joints, mesh.vertices)
    )
    parameters = BodyParameters(
        *(np.asarray(value, np.float32) for value in (rotations, betas, np.zeros(10), head))
    )
    return PersonEstimate(track_id, 0.8, np.zeros(2, np.float32), parameters, joints, vertices)


def _estimate(number, people, pose, scale) -> tuple[Frame, FrameEstimate]:
    geometry = synthetic_estimates.geometry()
    shape = (geometry.height_px, geometry.width_px)
    stamp_ns = 1_700_000_000_000_000_000 + number * 1_000_000_000 // RATE_HZ
    camera = Intrinsics(300.0, 310.0, 158.0, 121.0, WIDTH, HEIGHT)
    frame = Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), stamp_ns, camera)
    return frame, FrameEstimate(
        stamp_ns=stamp_ns,
        session=1,
        frame_index=number,
        geometry=geometry,
        image=np.zeros((*shape, 3), np.uint8),
        points_camera=np.zeros((*shape, 3), np.float32),
        confidence=np.ones(shape, np.float32),
        person_probability=np.zeros(shape, np.float32),
        world_from_camera=pose,
        intrinsics=synthetic_estimates.network_camera(),
        people=tuple(people),
        tracked=tuple(
            TrackedPerson(one.track_id, TrackState.OK, one, None, stamp_ns, stamp_ns, number)
            for one in people
        ),
        scale=scale,
        body_scale=scale,
        calibrated=frame.intrinsics,
    )


def joints_in(folder: Path, axes_from_world: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Joints by track id and frame in other axes, straight from people.npz."""
    with np.load(folder / "people.npz") as file:
        people = dict(file)
    found = {}
    for row, (track_id, frame) in enumerate(zip(people["track_id"], people["frame"], strict=True)):
        matrix = axes_from_world @ people["world_from_camera"][row]
        joints = people["joints_camera"][row] @ matrix[:3, :3].T + matrix[:3, 3]
        found[int(track_id), int(frame)] = joints
    return found


def tilted(pitch_rad: float) -> dict[str, np.ndarray]:
    """axes_from_world of each ``--world``, for a first camera that looks down by an angle."""
    c, s = np.cos(pitch_rad), np.sin(pitch_rad)
    upright = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])  # x right, y down, z level
    axes = {
        "camera": np.eye(3),
        "level": np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]) @ upright,
        "yup": np.diag([1, -1, -1]) @ upright,
    }
    matrices = {}
    for name, rotation in axes.items():
        matrices[name] = np.eye(4)
        matrices[name][:3, :3] = rotation
    return matrices
