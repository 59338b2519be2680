"""A picture with depth: points, shaded meshes and lines drawn in software, no OpenGL."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from human3r.viewer.colors import Rgb
from human3r.viewer.raster import NEAR_M, triangle_ids, vertex_normals
from human3r.viewer.viewpoint import Viewpoint

_LIGHT = np.array([-0.45, -0.75, -0.5]) / np.linalg.norm([-0.45, -0.75, -0.5])
"""Direction to the light as the viewer sees it: from the upper left, a little from behind."""
_MAX_SPLAT_PX = 9
_HIDDEN_OPACITY = 0.22


class Canvas:
    """Draw in this order: floor, points, ``shade_points``, meshes, lines, ``picture``.

    Works at twice the size of the picture, which smooths every edge when it is scaled down.
    """

    def __init__(self, view: Viewpoint) -> None:
        self.view = Viewpoint(
            view.view_from_world, 2 * view.focal_px, 2 * view.width_px, 2 * view.height_px
        )
        shape = (self.view.height_px, self.view.width_px)
        self.color = _backdrop(*shape)
        self.depth = np.full(shape, np.inf, np.float32)

    def picture(self) -> UInt8[np.ndarray, "height width 3"]:
        """What was drawn, at the size of the viewpoint."""
        size = (self.view.width_px // 2, self.view.height_px // 2)
        small = cv2.resize(self.color, size, interpolation=cv2.INTER_AREA)
        return np.clip(np.round(small), 0, 255).astype(np.uint8)

    def floor_grid(
        self, origin: np.ndarray, up: np.ndarray, ahead: np.ndarray, reach_m: float, step_m: float
    ) -> None:
        """A grid on the plane through ``origin`` that fades out with distance from it."""
        ahead = ahead - up * (ahead @ up)
        ahead = ahead / np.linalg.norm(ahead)
        side = np.cross(ahead, up)
        count = int(reach_m / step_m)
        cover = np.zeros(self.depth.shape, np.uint8)
        for number in range(-count, count + 1):
            offset_m = number * step_m
            half_m = np.sqrt(max(0.0, reach_m**2 - offset_m**2))
            along = np.linspace(-half_m, half_m, 41)
            fade = np.clip(1 - np.hypot(offset_m, along) / reach_m, 0, 1)
            for first, second in ((ahead, side), (side, ahead)):
                line = origin + offset_m * first + along[:, None] * second
                self._fading_line(cover, line, fade, 3 if number % 5 == 0 else 2)
        whole = (slice(None), slice(None))
        self._blend(whole, cover.astype(np.float32) * (0.5 / 255), np.array([150, 162, 184.0]))

    def _fading_line(
        self, cover: np.ndarray, line: np.ndarray, fade: np.ndarray, width_px: int
    ) -> None:
        pixels, depth = self.view.project(line)
        for number in range(len(line) - 1):
            if min(depth[number], depth[number + 1]) > NEAR_M:
                ends = (_fixed(pixels[number]), _fixed(pixels[number + 1]))
                cv2.line(cover, *ends, round(255 * float(fade[number])), width_px, cv2.LINE_AA, 4)

    def points(
        self,
        points_world: Float[np.ndarray, "points 3"],
        colors: UInt8[np.ndarray, "points 3"],
        size_m: float,
    ) -> None:
        """Coloured squares of ``size_m``, the nearest in front."""
        pixels, depth = self.view.project(points_world)
        column, row = np.round(pixels).astype(np.int64).T
        border = _MAX_SPLAT_PX
        inside = (depth > NEAR_M) & (column > -border) & (row > -border)
        inside &= (column < self.view.width_px + border) & (row < self.view.height_px + border)
        # Far points first: where an index repeats, numpy keeps the last value.
        order = np.flatnonzero(inside)
        order = order[np.argsort(-depth[order], kind="stable")]
        column, row, depth, colors = column[order], row[order], depth[order], colors[order]
        side_px = np.clip(np.round(size_m * self.view.focal_px / depth), 2, _MAX_SPLAT_PX)
        for dy, dx in _spiral(_MAX_SPLAT_PX):
            reach = max(abs(2 * dy + 1), abs(2 * dx + 1))
            some = reach <= side_px
            x, y = column[some] + dx, row[some] + dy
            fits = (x >= 0) & (y >= 0) & (x < self.view.width_px) & (y < self.view.height_px)
            self._put(x[fits], y[fits], depth[some][fits], colors[some][fits])

    def _put(self, x: np.ndarray, y: np.ndarray, depth: np.ndarray, colors: np.ndarray) -> None:
        nearer = depth < self.depth[y, x]
        x, y = x[nearer], y[nearer]
        self.depth[y, x] = depth[nearer]
        self.color[y, x] = colors[nearer]

    def shade_points(self, strength: float = 0.55) -> None:
        """Darken points that lie behind their neighbours, so that shapes stand out.

        Source: Boucheny 2009, eye-dome lighting.
        """
        known = np.isfinite(self.depth)
        log_depth = np.where(known, np.log2(np.where(known, self.depth, 1.0)), np.inf)
        behind = np.zeros(self.depth.shape, np.float32)
        for dy, dx in ((0, 3), (0, -3), (3, 0), (-3, 0), (2, 2), (-2, 2), (2, -2), (-2, -2)):
            shifted = np.roll(log_depth, (dy, dx), (0, 1))
            both = known & np.isfinite(shifted)
            behind[both] += np.clip(log_depth[both] - shifted[both], 0, 0.06)
        shade = np.exp(-strength * 20 * behind / 8)
        self.color[known] *= shade[known, None]

    def mesh(
        self,
        vertices_world: Float[np.ndarray, "vertices 3"],
        faces: Int[np.ndarray, "faces 3"],
        color: Rgb,
        opacity: float = 1.0,
    ) -> None:
        """A shaded mesh; below full opacity it hides nothing that is drawn later."""
        pixels, depth = self.view.project(vertices_world)
        low, high = _box(pixels[depth > NEAR_M], 2, self.view)
        if (high <= low).any():
            return
        ids = triangle_ids(pixels - low, depth, faces, *(high - low).tolist())
        y, x = np.nonzero(ids >= 0)
        corners = faces[ids[y, x]]
        weights, depth_here = _inside_triangles(pixels - low, depth, corners, x, y)
        area = (slice(low[1], high[1]), slice(low[0], high[0]))
        seen = depth_here < self.depth[area][y, x]
        x, y, corners, weights = x[seen], y[seen], corners[seen], weights[seen]
        rotation = self.view.view_from_world[:3, :3]
        normals = vertex_normals(vertices_world, faces) @ rotation.T
        normal = np.einsum("pc,pcd->pd", weights, normals[corners])
        cover = np.zeros(ids.shape, np.float32)
        cover[y, x] = opacity
        layer = np.zeros((*ids.shape, 3), np.float32)
        layer[y, x] = _lit(normal, color)
        self._blend(area, cover, layer)
        if opacity >= 1:
            self.depth[area][y, x] = depth_here[seen]

    def line(self, points_world: np.ndarray, color: Rgb, width_px: float) -> None:
        """A line through points; parts behind something are drawn faintly."""
        pixels, depth = self.view.project(points_world)
        for number in range(len(points_world) - 1):
            ends, depths = pixels[number : number + 2], depth[number : number + 2]
            if depths.min() <= NEAR_M or np.abs(ends).max() > 20_000:
                continue
            pieces = int(np.clip(np.linalg.norm(ends[1] - ends[0]) / 10, 1, 400))
            share = np.linspace(0, 1, pieces + 1)[:, None]
            places = ends[0] + share * (ends[1] - ends[0])
            places_depth = depths[0] + share[:, 0] * (depths[1] - depths[0])
            for piece in range(pieces):
                self._piece(places[piece : piece + 2], places_depth[piece], color, 2 * width_px)

    def _piece(self, ends: np.ndarray, depth: float, color: Rgb, width_px: float) -> None:
        low, high = _box(ends, int(width_px) + 3, self.view)
        if (high <= low).any():
            return
        cover = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        width = max(1, round(width_px))
        cv2.line(cover, _fixed(ends[0] - low), _fixed(ends[1] - low), 255, width, cv2.LINE_AA, 4)
        area = (slice(low[1], high[1]), slice(low[0], high[0]))
        visible = self.depth[area] > depth * 0.995
        opacity = cover.astype(np.float32) / 255 * np.where(visible, 1.0, _HIDDEN_OPACITY)
        self._blend(area, opacity, np.array(color, np.float32))

    def _blend(self, area: tuple[slice, slice], cover: np.ndarray, color: np.ndarray) -> None:
        region = self.color[area]
        region += cover[..., None] * (color - region)


def _backdrop(height_px: int, width_px: int) -> np.ndarray:
    """Dark, a little lighter towards the middle."""
    y, x = np.linspace(-1, 1, height_px)[:, None], np.linspace(-1, 1, width_px)
    glow = np.exp(-1.1 * (x**2 + (y + 0.1) ** 2)).astype(np.float32)
    dark, light = np.array([[15, 17, 22], [25, 29, 38]], np.float32)
    return dark + glow[..., None] * light


def _spiral(side_px: int) -> list[tuple[int, int]]:
    """Offsets of a square, outer ones first, so that centres are never covered by rims."""
    half = side_px // 2
    offsets = [(dy, dx) for dy in range(-half, half + 1) for dx in range(-half, half + 1)]
    return sorted(offsets, key=lambda at: -max(abs(2 * at[0] + 1), abs(2 * at[1] + 1)))


def _box(pixels: np.ndarray, margin_px: int, view: Viewpoint) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the part of the picture around some pixels; empty when they are outside."""
    size = (view.width_px, view.height_px)
    if len(pixels) == 0:
        return np.zeros(2, int), np.zeros(2, int)
    low = np.clip(np.floor(pixels.min(axis=0)) - margin_px, 0, size).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)) + margin_px, 0, size).astype(int)
    return low, high


def _fixed(pixel: np.ndarray) -> tuple[int, int]:
    u, v = np.clip(pixel, -1e5, 1e5) * 16
    return round(float(u)), round(float(v))


def _inside_triangles(
    pixels: np.ndarray, depth: np.ndarray, corners: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric weights (pixels, 3) and depth of pixels within their triangles."""
    a, b, c = (pixels[corners[:, corner]] for corner in range(3))
    at = np.stack([x, y], -1)
    area = _cross(b - a, c - a)
    safe = np.where(np.abs(area) > 1e-9, area, 1.0)
    weights = np.stack([_cross(b - at, c - at), _cross(c - at, a - at), _cross(a - at, b - at)], -1)
    weights = weights / safe[:, None]
    # The filler covers pixels whose centre is just outside; a sliver takes its first corner.
    weights = np.clip(np.where(np.abs(area)[:, None] > 1e-9, weights, [1.0, 0, 0]), 0, 1)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    # One over depth is linear in the picture.
    return weights, 1 / (weights / depth[corners]).sum(axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _lit(normals: np.ndarray, color: Rgb) -> np.ndarray:
    """Colours of a matte surface with a light rim; both sides of a face are lit."""
    length = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    normals = normals / length
    normals = np.where(normals[:, 2:] > 0, -normals, normals)
    diffuse = np.clip(0.5 + 0.5 * (normals @ _LIGHT), 0, 1) ** 1.4
    rim = (1 - np.clip(-normals[:, 2], 0, 1)) ** 3
    shade = 0.30 + 0.72 * diffuse
    return np.clip(np.array(color, np.float32) * shade[:, None] + 46 * rim[:, None], 0, 255).astype(
        np.float32
    )
