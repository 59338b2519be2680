"""Draws a scene: scenery that stays, meshes that move, light, and a camera."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from human3r.types import Intrinsics
from human3r_lab.synth.antialias import mark_samples, read_centres, resolve
from human3r_lab.synth.atlas import pack_textures
from human3r_lab.synth.batch import new_batch
from human3r_lab.synth.lighting import Lighting, Shade
from human3r_lab.synth.mesh import Mesh
from human3r_lab.synth.shading import shade
from human3r_lab.synth.surfaces import Surfaces, join_meshes, stack_surfaces
from human3r_lab.synth.visibility import (
    rasterise,
    rasterise_shadow,
    to_camera,
    to_texels,
)

NEAR_M = 0.05
"""Nothing closer to the camera is drawn."""

_SHADOW_TEXELS = 1024
_FLOOR_TEXELS = 256
_OCCLUDER_M = 0.6
"""What is higher above the floor takes no light from the sky there."""


@dataclass(frozen=True)
class Picture:
    """What a camera sees."""

    color: np.ndarray
    """(H, W, 3) float32 linear light, 1 is white."""
    depth_m: np.ndarray
    """(H, W) float32 along the optical axis at pixel centres, 0 where there is nothing."""
    person_index: np.ndarray
    """(H, W) uint8 person_id at pixel centres, 0 for scenery."""


class _Samples:
    """The buffers of a picture, kept from frame to frame: fresh memory costs milliseconds."""

    def __init__(self, rows: int, columns: int) -> None:
        self.inverse_depth = np.empty((rows, columns), np.float32)
        self.seen_face = np.empty((rows, columns), np.int32)
        self.wanted = np.empty((rows, columns), np.bool_)
        self.is_edge = np.empty((rows // 2, columns // 2), np.bool_)
        self.color = np.empty((rows, columns, 3), np.float32)

    def add(self, surfaces: Surfaces, lens: np.ndarray, world_from_camera: np.ndarray) -> None:
        """Fill the inverse depth and the face of every sample."""
        camera_from_world = np.linalg.inv(world_from_camera)
        screen = np.empty((len(surfaces.camera_m), 2), np.float32)
        to_camera(
            surfaces.vertices_m,
            np.ascontiguousarray(camera_from_world[:3, :3]),
            np.ascontiguousarray(camera_from_world[:3, 3]),
            lens,
            surfaces.camera_m,
            screen,
        )
        self.inverse_depth.fill(0.0)
        self.seen_face.fill(-1)
        rasterise(
            surfaces.camera_m,
            screen,
            surfaces.faces,
            lens,
            NEAR_M,
            self.inverse_depth,
            self.seen_face,
        )


class Renderer:
    """Draws frames of one scene.

    Args:
        scenery: meshes that never move.
        textures: (S, S, 3) uint8 each; ``face_texture`` of all meshes counts through them.
        lighting: the light; its sun throws shadows of everything that stands inside ``bounds``.
        bounds: (2, 3) float64 smallest and largest world coordinates that matter for shadows.
        casts_shadow: whether each mesh of the scenery does; all by default.
        cloud_texture: index of the texture that clouds are made of.
    """

    def __init__(
        self,
        scenery: Sequence[Mesh],
        textures: Sequence[np.ndarray],
        lighting: Lighting,
        bounds: np.ndarray,
        casts_shadow: Sequence[bool] | None = None,
        cloud_texture: int = 0,
    ) -> None:
        self._lighting = lighting
        self._samples: dict[tuple[int, int], _Samples] = {}
        self._batch = new_batch()
        self._atlas = pack_textures(textures)
        self._scenery = join_meshes(scenery, first_group=1)
        self._cloud_texture = cloud_texture
        self._light_from_world = _light_from_world(lighting.sun_direction, bounds, _SHADOW_TEXELS)
        self._floor_from_world = _light_from_world(
            np.array([0.0, 0.0, -1.0]), bounds, _FLOOR_TEXELS
        )
        self._shadow_m = np.full((_SHADOW_TEXELS, _SHADOW_TEXELS), np.inf, np.float32)
        self._gap_m = np.full((_FLOOR_TEXELS, _FLOOR_TEXELS), np.inf, np.float32)
        for index, mesh in enumerate(scenery):
            if casts_shadow is None or casts_shadow[index]:
                self._cast(mesh, self._shadow_m, self._gap_m)
        self._frame_shadow_m = np.empty_like(self._shadow_m)

    def render(
        self, camera: Intrinsics, world_from_camera: np.ndarray, moving: Sequence[Mesh] = ()
    ) -> Picture:
        """Draw one frame.

        Args:
            camera: whole numbers at pixel centres.
            world_from_camera: (4, 4) float64 rigid.
            moving: meshes of this frame, with their ``face_texture`` in the scene's list.
        """
        shadow_m, gap_m = self._frame_shadow_m, self._gap_m.copy()
        np.copyto(shadow_m, self._shadow_m)
        parts = [self._scenery]
        if moving:
            # Groups of scenery never exceed its faces in number.
            parts.append(join_meshes(moving, len(self._scenery.faces) + 1))
            self._cast(parts[1], shadow_m, gap_m)
        surfaces = stack_surfaces(parts)

        # Two samples per pixel and axis, pixel centres among them.
        lens = np.array([2 * camera.fx, 2 * camera.fy, 2 * camera.cx + 1, 2 * camera.cy + 1])
        samples = self._samples_for(2 * camera.height_px + 1, 2 * camera.width_px + 1)
        samples.add(surfaces, lens, world_from_camera)
        samples.wanted.fill(False)
        mark_samples(
            samples.inverse_depth,
            samples.seen_face,
            surfaces.face_group,
            samples.wanted,
            samples.is_edge,
        )
        shade(
            surfaces,
            self._lighting,
            self._atlas,
            self._cloud_texture,
            Shade(
                shadow_m,
                self._light_from_world @ world_from_camera,
                1.0 / float(np.linalg.norm(self._light_from_world[0, :3])),
                _floor_light(gap_m),
                self._floor_from_world[:2, [0, 1, 3]],
            ),
            np.ascontiguousarray(world_from_camera),
            lens,
            samples.seen_face,
            samples.wanted,
            self._batch,
            samples.color,
        )
        size = (camera.height_px, camera.width_px)
        picture = Picture(
            np.empty((*size, 3), np.float32), np.empty(size, np.float32), np.empty(size, np.uint8)
        )
        resolve(samples.color, samples.is_edge, picture.color)
        read_centres(
            samples.inverse_depth,
            samples.seen_face,
            surfaces.face_person,
            picture.depth_m,
            picture.person_index,
        )
        return picture

    def scenery_depth(self, camera: Intrinsics, world_from_camera: np.ndarray) -> np.ndarray:
        """(H, W) float32 depth of what never moves, metres; 0 where there is nothing."""
        samples = self._samples_for(camera.height_px, camera.width_px)
        lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        samples.add(self._scenery, lens, world_from_camera)
        depth_m = np.zeros(samples.seen_face.shape, np.float32)
        np.divide(1.0, samples.inverse_depth, out=depth_m, where=samples.seen_face >= 0)
        return depth_m

    def _samples_for(self, rows: int, columns: int) -> _Samples:
        if (rows, columns) not in self._samples:
            self._samples[rows, columns] = _Samples(rows, columns)
        return self._samples[rows, columns]

    def _cast(self, solid: Mesh | Surfaces, shadow_m: np.ndarray, gap_m: np.ndarray) -> None:
        """Enter a solid into the shadow map and into the heights above the floor."""
        for frame, farthest_m, depth_m in (
            (self._light_from_world, np.inf, shadow_m),
            (self._floor_from_world, _OCCLUDER_M, gap_m),
        ):
            texels = np.empty_like(solid.vertices_m)
            to_texels(solid.vertices_m, frame, texels)
            rasterise_shadow(texels, solid.faces, farthest_m, depth_m)


def _floor_light(gap_m: np.ndarray) -> np.ndarray:
    """What things close above the floor leave of the light from the sky, softened."""
    blocked = np.clip(1.0 - gap_m / np.float32(_OCCLUDER_M), 0.0, 1.0)
    wide = cv2.blur(blocked, (9, 9), borderType=cv2.BORDER_CONSTANT)
    near = cv2.blur(blocked, (3, 3), borderType=cv2.BORDER_CONSTANT)
    return 1.0 - 0.35 * wide - 0.35 * near


def _light_from_world(direction: np.ndarray, bounds: np.ndarray, texels: int) -> np.ndarray:
    """(3, 4): world metres to columns and rows of a map and metres along the light."""
    side = np.cross(direction, [0.0, 1.0, 0.0] if abs(direction[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(direction, side), -direction])
    corners = np.array(np.meshgrid(*bounds.T)).reshape(3, -1).T @ axes.T
    low, high = corners.min(0), corners.max(0)
    scale = np.array([texels, texels, 1.0])
    scale[:2] /= np.maximum(high - low, 1e-3)[:2]
    return np.concatenate([axes, -low[:, None]], 1) * scale[:, None]
