"""From recorded messages back to an estimate, as far as they carry it."""

import numpy as np
import torch
from human3r_msgs.msg import Human

from human3r.body.base import BodyModel
from human3r.errors import InputError
from human3r.scale import resized
from human3r.streaming.preprocess import fit_geometry
from human3r.types import (
    FrameEstimate,
    Intrinsics,
    PersonEstimate,
    TrackedPerson,
    TrackState,
    Visibility,
)
from human3r_ros import convert
from human3r_ros.commands.recorded_frames import RecordedFrame, image_array

_HEAD = 15
# level: x ahead, y left, z up; camera axes of the first frame: x right, y down, z ahead.
_WORLD_FROM_LEVEL = np.array(
    [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def estimate_from_messages(
    recorded: RecordedFrame, image: np.ndarray, body_model: BodyModel
) -> FrameEstimate:
    """People with meshes, depth, mask and pose of one frame.

    Points are depth along the pixels' rays, and the confidence of each pixel is not recorded.

    Args:
        recorded: a complete frame of a node whose ``level.pitch_rad`` was 0.
        image: (height, width, 3) uint8, the source image.
        body_model: the one the node ran with.

    Raises:
        InputError: the messages do not belong to this image.
    """
    humans, depth_info = recorded.parts["humans"], recorded.parts["depth_info"]
    depth, mask = (image_array(recorded.parts[part]) for part in ("depth", "mask"))
    height, width = image.shape[:2]
    geometry = fit_geometry(width, height, max(depth.shape))
    if (humans.image_width, humans.image_height) != (width, height) or depth.shape != (
        geometry.height_px,
        geometry.width_px,
    ):
        raise InputError(
            f"the recording is of {humans.image_width}x{humans.image_height} images with depth "
            f"{depth.shape}, the video has {width}x{height}; expected the same. Was it another one?"
        )
    k = depth_info.k
    camera = Intrinsics(
        float(k[0]), float(k[4]), float(k[2]), float(k[5]), geometry.width_px, geometry.height_px
    )
    tracked = tracked_from_messages(humans.humans, body_model, humans.scale)
    return FrameEstimate(
        stamp_ns=recorded.stamp_ns,
        session=humans.session,
        frame_index=humans.frame_index,
        geometry=geometry,
        image=np.zeros((*depth.shape, 3), np.uint8),
        points_camera=_points(depth, camera),
        confidence=np.full(depth.shape, np.nan, np.float32),
        person_probability=mask.astype(np.float32) / 255,
        world_from_camera=_WORLD_FROM_LEVEL @ convert.matrix_from_pose(humans.camera_pose),
        intrinsics=camera,
        estimated_focal_px=camera.fx,
        people=tuple(one.person for one in tracked if one.is_measured),
        tracked=tracked,
        scale=humans.scale,
        body_scale=humans.scale,
    )


def _points(depth: np.ndarray, camera: Intrinsics) -> np.ndarray:
    u, v = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    x, y = (u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth
    return np.stack([x, y, depth], -1).astype(np.float32)


def people_from_messages(
    humans: list, body_model: BodyModel, scale: float
) -> tuple[PersonEstimate, ...]:
    """Those measured in this frame; arguments as of ``tracked_from_messages``."""
    tracked = tracked_from_messages(humans, body_model, scale)
    return tuple(one.person for one in tracked if one.is_measured)


def tracked_from_messages(
    humans: list, body_model: BodyModel, scale: float
) -> tuple[TrackedPerson, ...]:
    """All people of a message, in its order.

    Args:
        humans: as recorded, in metres.
        body_model: gives bodies in the network's units.
        scale: metres per unit.
    """
    if not humans:
        return ()
    bodies = [convert.body_parameters(human) for human in humans]
    with torch.inference_mode():
        mesh = body_model(
            *(
                torch.from_numpy(np.stack([getattr(body, name) for body in bodies]))
                for name in ("rotations", "betas", "expression", "head_camera")
            )
        )
    heads = np.stack([body.head_camera for body in bodies])
    all_joints, all_vertices = (
        resized(found.numpy(), heads, scale) for found in (mesh.joints, mesh.vertices)
    )
    return tuple(
        _tracked(
            human,
            PersonEstimate(
                track_id=human.track_id,
                score=human.score,
                head_px=np.asarray(human.joint_pixels, np.float32).reshape(-1, 2)[_HEAD],
                body=body,
                joints_camera=joints,
                vertices_camera=vertices,
            ),
        )
        for human, body, joints, vertices in zip(
            humans, bodies, all_joints, all_vertices, strict=True
        )
    )


def _tracked(human: Human, person: PersonEstimate) -> TrackedPerson:
    """What a message says of a person beside the body."""
    velocity, visible = human.velocity, np.asarray(human.joint_visibility, np.float32)
    covariance = np.asarray(human.body_pose_covariance, np.float32)
    return TrackedPerson(
        number=human.track_id,
        state=TrackState(human.track_state),
        person=person,
        velocity_camera=np.array([velocity.x, velocity.y, velocity.z])
        if human.velocity_valid
        else None,
        first_seen_ns=_ns(human.first_seen),
        last_seen_ns=_ns(human.last_seen),
        age_frames=human.age_frames,
        stature_m=human.stature,
        visibility=Visibility(visible, human.scene_agreement) if len(visible) else None,
        # The first entry is -1 where it is unknown.
        covariance=covariance if covariance[0] >= 0 else None,
    )


def _ns(stamp) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec
