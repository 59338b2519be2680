"""Which triangle is seen at which sample: z-buffers for the camera and for the sun.

Camera triangles are drawn from their three edge planes through the eye (Olano and Greer 1997), so
one that reaches behind the camera needs no cutting: the near plane is a test per sample. Shared
edges have exactly opposite plane coefficients, hence no gaps.
"""

import numpy as np

from human3r_lab.synth.compiler import kernel


@kernel()
def rasterise(camera_m, screen, faces, lens, near_m, inverse_depth, seen_face):
    """Draw triangles into a z-buffer.

    Args:
        camera_m: (V, 3) float32 vertices in the camera frame, metres.
        screen: (V, 2) float32 their samples (column, row); read only in front of ``near_m``.
        faces: (F, 3) int32.
        lens: (4,) float64 fx, fy, cx, cy in samples.
        near_m: nothing closer along the optical axis is drawn.
        inverse_depth: (rows, columns) float32, 0 for nothing; updated, 1 / m.
        seen_face: (rows, columns) int32; updated.
    """
    rows, columns = inverse_depth.shape
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    nearest = 1.0 / near_m
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        z0, z1, z2 = camera_m[i, 2], camera_m[j, 2], camera_m[k, 2]
        low_z = min(z0, z1, z2)
        left, right, top, bottom = 0, columns - 1, 0, rows - 1
        if low_z >= near_m:
            u0, u1, u2 = screen[i, 0], screen[j, 0], screen[k, 0]
            v0, v1, v2 = screen[i, 1], screen[j, 1], screen[k, 1]
            low_u, high_u = min(u0, u1, u2) - 0.01, max(u0, u1, u2) + 0.01
            low_v, high_v = min(v0, v1, v2) - 0.01, max(v0, v1, v2) + 0.01
            if low_u > right or high_u < 0.0 or low_v > bottom or high_v < 0.0:
                continue
            left, right = max(left, int(np.ceil(low_u))), min(right, int(np.floor(high_u)))
            top, bottom = max(top, int(np.ceil(low_v))), min(bottom, int(np.floor(high_v)))
            if left > right or top > bottom:
                continue
        elif max(z0, z1, z2) < near_m:
            continue

        x0, y0, z0 = float(camera_m[i, 0]), float(camera_m[i, 1]), float(camera_m[i, 2])
        x1, y1, z1 = float(camera_m[j, 0]), float(camera_m[j, 1]), float(camera_m[j, 2])
        x2, y2, z2 = float(camera_m[k, 0]), float(camera_m[k, 1]), float(camera_m[k, 2])
        px, py, pz = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
        qx, qy, qz = y2 * z0 - z2 * y0, z2 * x0 - x2 * z0, x2 * y0 - y2 * x0
        rx, ry, rz = y0 * z1 - z0 * y1, z0 * x1 - x0 * z1, x0 * y1 - y0 * x1
        volume = x0 * px + y0 * py + z0 * pz
        if volume == 0.0:
            continue
        sign = 1.0 if volume > 0.0 else -1.0
        a0, b0 = sign * px / fx, sign * py / fy
        a1, b1 = sign * qx / fx, sign * qy / fy
        a2, b2 = sign * rx / fx, sign * ry / fy
        c0 = sign * pz - a0 * cx - b0 * cy
        c1 = sign * qz - a1 * cx - b1 * cy
        c2 = sign * rz - a2 * cx - b2 * cy
        scale = 1.0 / (sign * volume)
        depth_a, depth_b = (a0 + a1 + a2) * scale, (b0 + b1 + b2) * scale
        depth_c = (c0 + c1 + c2) * scale
        turn0 = -1.0 / a0 if a0 != 0.0 else 0.0
        turn1 = -1.0 / a1 if a1 != 0.0 else 0.0
        turn2 = -1.0 / a2 if a2 != 0.0 else 0.0
        for row in range(top, bottom + 1):
            e0, e1, e2 = b0 * row + c0, b1 * row + c1, b2 * row + c2
            if (a0 == 0.0 and e0 < 0.0) or (a1 == 0.0 and e1 < 0.0) or (a2 == 0.0 and e2 < 0.0):
                continue
            start, end = float(left), float(right)
            if a0 > 0.0:
                start = max(start, e0 * turn0)
            elif a0 < 0.0:
                end = min(end, e0 * turn0)
            if a1 > 0.0:
                start = max(start, e1 * turn1)
            elif a1 < 0.0:
                end = min(end, e1 * turn1)
            if a2 > 0.0:
                start = max(start, e2 * turn2)
            elif a2 < 0.0:
                end = min(end, e2 * turn2)
            if start > end:
                continue
            row_depth = depth_b * row + depth_c
            for column in range(int(np.ceil(start)), int(np.floor(end)) + 1):
                inverse = np.float32(depth_a * column + row_depth)
                if inverse > inverse_depth[row, column] and inverse <= nearest:
                    inverse_depth[row, column] = inverse
                    seen_face[row, column] = face


@kernel()
def rasterise_shadow(light_texels, faces, farthest_m, depth_m):
    """Draw triangles into an orthographic depth map, the smallest depth staying.

    Args:
        light_texels: (V, 3) float32: column and row in texels, depth along the light in metres.
        faces: (F, 3) int32.
        farthest_m: triangles wholly behind this depth are left out.
        depth_m: (rows, columns) float32; updated.
    """
    rows, columns = depth_m.shape
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        z0, z1, z2 = light_texels[i, 2], light_texels[j, 2], light_texels[k, 2]
        if min(z0, z1, z2) > farthest_m:
            continue
        x0, x1, x2 = light_texels[i, 0], light_texels[j, 0], light_texels[k, 0]
        y0, y1, y2 = light_texels[i, 1], light_texels[j, 1], light_texels[k, 1]
        left = max(0, int(np.ceil(min(x0, x1, x2))))
        right = min(columns - 1, int(np.floor(max(x0, x1, x2))))
        top = max(0, int(np.ceil(min(y0, y1, y2))))
        bottom = min(rows - 1, int(np.floor(max(y0, y1, y2))))
        if left > right or top > bottom:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0.0:
            continue
        scale = np.float32(1.0) / area
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                w0 = ((x1 - column) * (y2 - row) - (x2 - column) * (y1 - row)) * scale
                w1 = ((x2 - column) * (y0 - row) - (x0 - column) * (y2 - row)) * scale
                w2 = np.float32(1.0) - w0 - w1
                if w0 >= 0.0 and w1 >= 0.0 and w2 >= 0.0:
                    depth = w0 * z0 + w1 * z1 + w2 * z2
                    if depth < depth_m[row, column]:
                        depth_m[row, column] = depth


@kernel()
def to_texels(vertices_m, texels_from_world, texels):
    """Fill (V, 3) float32 columns, rows and depths of a map; no BLAS, whose bits vary by threads.

    Args:
        vertices_m: (V, 3) float32, world frame.
        texels_from_world: (3, 4) float64.
        texels: (V, 3) float32; filled.
    """
    m = texels_from_world
    for i in range(vertices_m.shape[0]):
        x, y, z = vertices_m[i, 0], vertices_m[i, 1], vertices_m[i, 2]
        for row in range(3):
            texels[i, row] = m[row, 0] * x + m[row, 1] * y + m[row, 2] * z + m[row, 3]


@kernel()
def to_camera(vertices_m, rotation, translation, lens, camera_m, screen):
    """Fill the camera-frame vertices and their samples; camera = rotation @ world + translation."""
    for i in range(vertices_m.shape[0]):
        x, y, z = vertices_m[i, 0], vertices_m[i, 1], vertices_m[i, 2]
        cx = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + translation[0]
        cy = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + translation[1]
        cz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + translation[2]
        camera_m[i, 0], camera_m[i, 1], camera_m[i, 2] = cx, cy, cz
        if cz > 1e-3:
            screen[i, 0] = lens[0] * cx / cz + lens[2]
            screen[i, 1] = lens[1] * cy / cz + lens[3]


@kernel()
def add_vertex_normals(vertices_m, faces, normals):
    """Add every face's area-weighted normal to its corners; ``normals`` starts as zeros."""
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        ux = vertices_m[j, 0] - vertices_m[i, 0]
        uy = vertices_m[j, 1] - vertices_m[i, 1]
        uz = vertices_m[j, 2] - vertices_m[i, 2]
        vx = vertices_m[k, 0] - vertices_m[i, 0]
        vy = vertices_m[k, 1] - vertices_m[i, 1]
        vz = vertices_m[k, 2] - vertices_m[i, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in range(3):
            v = faces[face, corner]
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
