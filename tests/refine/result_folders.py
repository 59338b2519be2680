"""Result folders as `human3r run` writes them, of somebody who stands before a moving camera."""

import json

import numpy as np
import torch

from human3r.atomic import sha256_of
from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.io.trajectory import write_trajectory
from tests.refine.walker import FLOOR_M, RATE_HZ, depth_of, moving_camera

_DEPTH_ERROR = 1e-3
"""That the depth network expects of itself."""
CAMERA = np.array([[120.0, 0, 80], [0, 120.0, 60], [0, 0, 1]])


def write_standing(folder, scale=0.85, frames=40, with_frames=True, shake_m=0.0):
    """A person stands at 3.5 m; scene and camera path are off by ``scale``.

    Returns:
        The true poses of the cameras.
    """
    folder.mkdir(parents=True)
    body = load_body_model(default_body_path())
    times_s = np.arange(frames) / RATE_HZ
    true = moving_camera(times_s)
    poses = true.copy()
    poses[:, :3, 3] *= scale
    root = true[:, :3, :3].transpose(0, 2, 1) @ np.diag([1.0, -1, -1])
    rotations = np.tile(np.eye(3, dtype=np.float32), (frames, 53, 1, 1))
    rotations[:, 0] = root
    zeros = np.zeros((frames, 10), np.float32)
    rest = body(
        torch.from_numpy(np.tile(np.eye(3, dtype=np.float32), (1, 53, 1, 1))),
        *(torch.zeros(1, n) for n in (10, 10, 3)),
    )
    lowest = float(rest.vertices[0, :, 1].min())
    head_world = np.array([0.3, FLOOR_M + lowest, 3.5])
    head = np.einsum("nji,nj->ni", true[:, :3, :3], head_world - true[:, :3, 3])
    head += shake_m * np.random.default_rng(0).normal(size=head.shape)
    arguments = (rotations, zeros, zeros, head.astype(np.float32))
    mesh = body(*(torch.from_numpy(a) for a in arguments))
    joints = mesh.joints.numpy()
    stamps = (times_s * 1e9).astype(np.int64)
    track = np.zeros(frames, np.int64)
    np.savez(
        folder / "people.npz",
        frame=np.arange(frames),
        stamp_ns=stamps,
        session=track,
        track_id=track + 7,
        score=np.ones(frames, np.float32),
        head_px=np.zeros((frames, 2), np.float32),
        joints_camera=joints,
        rotations=rotations,
        betas=zeros,
        expression=zeros,
        head_camera=head.astype(np.float32),
        track_state=np.ones(frames, np.uint8),
        scale=np.ones(frames),
        world_from_camera=poses,
        frame_stamp_ns=stamps,
        frame_session=track,
        frame_world_from_camera=poses,
        frame_intrinsics=np.tile(CAMERA, (frames, 1, 1)),
        frame_size_px=np.tile([160, 120], (frames, 1)),
        format=np.array("human3r-people-1"),
        conventions=np.array("{}"),
        joint_names=np.array(body.joint_names),
        joint_parents=np.array(body.joint_parents, np.int64),
        body_model=np.array(body.name),
        body_model_sha256=np.array(sha256_of(default_body_path())),
        up_world=np.array([0.0, -1, 0]),
    )
    summary = {"source": "standing.mp4", "stages_ms": {"depth": 1.0}}
    (folder / "summary.json").write_text(json.dumps(summary))
    write_trajectory(folder / "trajectory.tum", stamps, poses)
    if with_frames:
        (folder / "frames").mkdir()
        for frame in range(frames):
            _write_frame(folder, frame, stamps[frame], true[frame], poses[frame], mesh, scale)
    return true


def _write_frame(folder, frame, stamp_ns, true, pose, mesh, scale):
    depth = depth_of(true, scale)
    pixels = mesh.vertices[frame].numpy() @ CAMERA.T
    pixels = np.round(pixels[:, :2] / pixels[:, 2:]).astype(int)
    inside = ((pixels >= 0) & (pixels < [160, 120])).all(axis=1)
    person = np.zeros((120, 160), np.float16)
    person[pixels[inside, 1], pixels[inside, 0]] = 1
    np.savez(
        folder / "frames" / f"{frame:06d}.npz",
        stamp_ns=stamp_ns,
        session=np.array(0),
        frame_index=np.array(frame),
        image=np.full((120, 160, 3), 90, np.uint8),
        depth=depth.astype(np.float32),
        confidence=np.full((120, 160), 1 + 0.3 / _DEPTH_ERROR, np.float32),
        person_probability=person,
        intrinsics=CAMERA,
        source_intrinsics=CAMERA,
        source_size=np.array([160, 120]),
        world_from_camera=pose,
        has_scene=np.array(True),
        scale=np.array(1.0),
        track_id=np.array([7]),
        score=np.ones(1, np.float32),
        head_px=np.zeros((1, 2), np.float32),
        rotations=np.zeros((1, 53, 3, 3), np.float32),
        betas=np.zeros((1, 10), np.float32),
        expression=np.zeros((1, 10), np.float32),
        head_camera=np.zeros((1, 3), np.float32),
        joints_camera=mesh.joints[frame : frame + 1].numpy(),
    )
