"""A calibrated camera put in the place of the one that the network believes in.

The network knows no calibration: its points lie along the rays of a camera of its own, whose focal
length may be off by a fifth. A calibration says in which direction every pixel looks, so points go
sideways onto those rays and people with them; depth stays what the network says.
"""

from dataclasses import replace

import numpy as np

from human3r.types import FrameEstimate, Intrinsics, PersonEstimate


def seen_through(estimate: FrameEstimate, source: Intrinsics) -> FrameEstimate:
    """The estimate along the rays of a calibrated camera; its own focal estimate is kept.

    Args:
        estimate: as the network says it; unchanged when ``source`` is of another image size.
        source: calibration of the source image.
    """
    camera = camera_in_use(estimate, source)
    if camera is estimate.intrinsics:
        return estimate
    points = estimate.points_camera
    depth = points[..., 2]
    along = points.copy()
    along[..., 0] = (np.arange(camera.width_px) - camera.cx) / camera.fx * depth
    along[..., 1] = (np.arange(camera.height_px)[:, None] - camera.cy) / camera.fy * depth
    own = estimate.intrinsics
    # 0 where the points fit no camera: then nothing says which pixel the network put a body at.
    people = estimate.people
    if own.fx > 0:
        people = tuple(_moved(person, own, camera) for person in people)
    return replace(estimate, points_camera=along.astype(points.dtype, copy=False), people=people)


def camera_in_use(estimate: FrameEstimate, source: Intrinsics | None) -> Intrinsics:
    """The camera of the network image along whose rays points and people lie.

    Args:
        estimate: one frame's result.
        source: calibration of the source image, where there is one; that of another image size
            is not used.
    """
    geometry = estimate.geometry
    size = (geometry.source_width_px, geometry.source_height_px)
    if source is None or (source.width_px, source.height_px) != size:
        return estimate.intrinsics
    return geometry.network_intrinsics(source)


def _moved(person: PersonEstimate, own: Intrinsics, camera: Intrinsics) -> PersonEstimate:
    """The body moved sideways until its head is seen by ``camera`` where ``own`` saw it."""
    x, y, z = (float(value) for value in person.body.head_camera)
    if z <= 0:
        return person
    head = np.array(
        [
            (own.fx * x + (own.cx - camera.cx) * z) / camera.fx,
            (own.fy * y + (own.cy - camera.cy) * z) / camera.fy,
            z,
        ],
        np.float32,
    )
    shift = head - person.body.head_camera
    return replace(
        person,
        body=replace(person.body, head_camera=head),
        joints_camera=person.joints_camera + shift,
        vertices_camera=person.vertices_camera + shift,
    )
