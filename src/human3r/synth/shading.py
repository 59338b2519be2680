"""What colour the seen samples have, and the picture that they make.

All colours are linear light. The sun has a shadow map, a lamp falls off with distance, sky and
ground light from above and below, haze hides what is far.

Compiled code is kept until its own file changes: kernels that call each other share one file.
"""

import math

import numpy as np

from human3r.synth.compiler import kernel

_FLOOR_M = 0.02
"""What lies flat below this height is floor."""


@kernel()
def mark_samples(inverse_depth, seen_face, face_group, wanted, is_edge):
    """Choose the samples to shade: a pixel's centre, or all nine around it where an edge is.

    Args:
        inverse_depth: (2 H + 1, 2 W + 1) float32; pixel (x, y) has its centre at (2 x + 1, ...).
        seen_face: the same shape, int32, -1 for sky.
        face_group: (F,) int32.
        wanted: the same shape as ``seen_face``, bool, all false; updated.
        is_edge: (H, W) bool; filled.
    """
    for y in range(is_edge.shape[0]):
        for x in range(is_edge.shape[1]):
            row, column = 2 * y + 1, 2 * x + 1
            face = seen_face[row, column]
            group = face_group[face] if face >= 0 else 0
            edge = False
            for down in range(-1, 2):
                for across in range(-1, 2):
                    other = seen_face[row + down, column + across]
                    if other != face and (other < 0 or face < 0 or face_group[other] != group):
                        edge = True
            if face >= 0 and not edge:
                bound = np.float32(0.02) * inverse_depth[row, column]
                twice = 2 * inverse_depth[row, column]
                for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    bend = (
                        inverse_depth[row + down, column + across]
                        + inverse_depth[row - down, column - across]
                        - twice
                    )
                    if abs(bend) > bound:
                        edge = True
            is_edge[y, x] = edge
            if edge:
                wanted[row - 1 : row + 2, column - 1 : column + 2] = True
            else:
                wanted[row, column] = True


@kernel()
def _texel(atlas, texture, level, u, v):
    """A bilinear look-up in one mip level: 8.8 fixed point, packed as the texels are."""
    side = atlas.size[texture] >> level
    x = (u - np.floor(u)) * side + (side - 0.5)
    y = (v - np.floor(v)) * side + (side - 0.5)
    left, top = np.uint32(x), np.uint32(y)
    part_x, part_y = np.uint64((x - left) * 256.0), np.uint64((y - top) * 256.0)
    mask = np.uint32(side - 1)
    right, bottom = (left + np.uint32(1)) & mask, (top + np.uint32(1)) & mask
    left, top = left & mask, top & mask
    first = np.uint64(atlas.first[texture, level])
    upper, lower = first + np.uint64(top * side), first + np.uint64(bottom * side)
    both = (part_x * part_y) >> np.uint64(8)
    # The weights sum to 256, so no channel spills into its neighbour.
    return (
        atlas.texels[upper + left] * (np.uint64(256) - part_x - part_y + both)
        + atlas.texels[upper + right] * (part_x - both)
        + atlas.texels[lower + left] * (part_y - both)
        + atlas.texels[lower + right] * both
    )


@kernel()
def _sample_texture(atlas, texture, texels_squared, u, v, out):
    """The texture's linear light under a footprint of so many texels, between two mip levels."""
    level, part = 0, 0.0
    if texels_squared > 1.0:
        # Half the exponent is the level; the mantissa stands in for the logarithm's fraction.
        mantissa, exponent = math.frexp(texels_squared)
        exponent -= 1
        level, part = exponent >> 1, 0.5 * (exponent & 1) + (mantissa - 0.5)
        # Two levels are read only half way between them: the eye does not miss the rest.
        part = min(max(2.0 * part - 0.5, 0.0), 1.0)
    last = atlas.last[texture]
    if level >= last:
        level, part = last, 0.0
    elif part == 1.0:
        level, part = level + 1, 0.0
    fine = _texel(atlas, texture, level, u, v)
    coarse = fine if part == 0.0 else _texel(atlas, texture, level + 1, u, v)
    for c in range(3):
        shift = np.uint64(16 * c)
        a = np.float32((fine >> shift) & np.uint64(0xFFFF))
        b = np.float32((coarse >> shift) & np.uint64(0xFFFF))
        byte = (a + (b - a) * np.float32(part)) * np.float32(1 / (256 * 255))
        # A cubic that stays within 0.002 of the sRGB curve.
        out[c] = byte * (
            byte * (byte * np.float32(0.305306011) + np.float32(0.682171111))
            + np.float32(0.012522878)
        )


@kernel()
def _sunlit(light_from_world, texel_m, shadow_m, x, y, z, slope, softness):
    """Share of a soft 3x3 neighbourhood of the shadow map that the sun reaches."""
    m = light_from_world
    column = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3] + 0.5
    row = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3] + 0.5
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
    rows, columns = shadow_m.shape
    if not (
        row >= softness
        and row < rows - softness
        and column >= softness
        and column < columns - softness
    ):
        return 1.0
    # Where the surface leans away from the light, one texel spans more depth.
    limit = np.float32(depth - texel_m * (1.0 + (softness + 0.7) * min(slope, 6.0)))
    left, middle, right = int(column - softness), int(column), int(column + softness)
    top, centre, bottom = int(row - softness), int(row), int(row + softness)
    lit = int(shadow_m[centre, middle] >= limit)
    lit += (shadow_m[top, left] >= limit) + (shadow_m[top, right] >= limit)
    lit += (shadow_m[bottom, left] >= limit) + (shadow_m[bottom, right] >= limit)
    if lit == 0 or lit == 5:
        return lit / 5.0
    lit += (shadow_m[top, middle] >= limit) + (shadow_m[bottom, middle] >= limit)
    lit += (shadow_m[centre, left] >= limit) + (shadow_m[centre, right] >= limit)
    return lit / 9.0


@kernel()
def _floor_light(shadows, x, y):
    """Bilinear look-up of what reaches the floor; all of it outside the map."""
    m, light = shadows.floor_from_world, shadows.floor_light
    column = m[0, 0] * x + m[0, 1] * y + m[0, 2]
    row = m[1, 0] * x + m[1, 1] * y + m[1, 2]
    if not (row >= 0 and row < light.shape[0] - 1 and column >= 0 and column < light.shape[1] - 1):
        return 1.0
    i, j = int(row), int(column)
    down, across = row - i, column - j
    upper = light[i, j] * (1 - across) + light[i, j + 1] * across
    lower = light[i + 1, j] * (1 - across) + light[i + 1, j + 1] * across
    return upper * (1 - down) + lower * down


@kernel()
def _sky(lighting, atlas, cloud_texture, dx, dy, dz, out):
    """Horizon to zenith, with clouds on a plane high above."""
    up = max(dz, 0.0)
    share = 1.0 - (1.0 - up) ** 4
    cloud = 0.0
    if dz > 0.02:
        _sample_texture(atlas, cloud_texture, 1.0, 0.2 * dx / dz, 0.2 * dy / dz, out)
        threshold = 0.55 - 0.5 * lighting.cloud_cover
        cloud = min(max((out[1] - threshold) * 4.0, 0.0), 1.0) * min(dz * 5.0, 1.0)
    for c in range(3):
        clear = lighting.horizon_color[c] * (1 - share) + lighting.zenith_color[c] * share
        out[c] = clear * (1 - cloud) + lighting.horizon_color[c] * 1.1 * cloud


@kernel()
def shade(
    surfaces,
    lighting,
    atlas,
    cloud_texture,
    shadows,
    world_from_camera,
    lens,
    seen_face,
    wanted,
    color,
):
    """Fill the colour of the wanted samples.

    Args:
        surfaces: Surfaces.
        lighting: Lighting.
        atlas: Atlas.
        cloud_texture: its index in the atlas.
        shadows: Shade.
        world_from_camera: (4, 4) float64.
        lens: (4,) float64 fx, fy, cx, cy in samples.
        seen_face: (rows, columns) int32.
        wanted: (rows, columns) bool.
        color: (rows, columns, 3) float32; filled where wanted.
    """
    sun, lamp = lighting.sun_direction, lighting.lamp_m
    pose = world_from_camera
    faces, camera_m, v, n, uv = (
        surfaces.faces,
        surfaces.camera_m,
        surfaces.vertices_m,
        surfaces.normals,
        surfaces.uv,
    )
    albedo = np.zeros(3, np.float32)
    shadow_m, light_from_world = shadows.depth_m, shadows.light_from_world
    texel_m = 1.0 / np.sqrt((light_from_world[0, :3] ** 2).sum())
    per_fx, per_fy = 1.0 / lens[0], 1.0 / lens[1]
    has_lamp = lighting.lamp_color.max() > 0.0
    current, texture, smooth = -1, 0, False
    i, j, k = 0, 0, 0
    ax = ay = az = bx = by = bz = sx = sy = sz = gx = gy = gz = texels_per_m = 0.0
    for row in range(seen_face.shape[0]):
        for column in range(seen_face.shape[1]):
            if not wanted[row, column]:
                continue
            ray_x, ray_y = (column - lens[2]) * per_fx, (row - lens[3]) * per_fy
            dx = pose[0, 0] * ray_x + pose[0, 1] * ray_y + pose[0, 2]
            dy = pose[1, 0] * ray_x + pose[1, 1] * ray_y + pose[1, 2]
            dz = pose[2, 0] * ray_x + pose[2, 1] * ray_y + pose[2, 2]
            stretch = np.sqrt(dx * dx + dy * dy + dz * dz)
            face = seen_face[row, column]
            if face < 0:
                _sky(
                    lighting, atlas, cloud_texture, dx / stretch, dy / stretch, dz / stretch, albedo
                )
                for c in range(3):
                    color[row, column, c] = albedo[c]
                continue

            if face != current:
                # What all samples of a triangle share; a: weight of corner 1, b: of corner 2,
                # s: inverse depth, each linear in the ray, from the planes of the visibility pass.
                current = face
                i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
                x0, y0, z0 = float(camera_m[i, 0]), float(camera_m[i, 1]), float(camera_m[i, 2])
                x1, y1, z1 = float(camera_m[j, 0]), float(camera_m[j, 1]), float(camera_m[j, 2])
                x2, y2, z2 = float(camera_m[k, 0]), float(camera_m[k, 1]), float(camera_m[k, 2])
                px, py, pz = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
                ax, ay, az = y2 * z0 - z2 * y0, z2 * x0 - x2 * z0, x2 * y0 - y2 * x0
                bx, by, bz = y0 * z1 - z0 * y1, z0 * x1 - x0 * z1, x0 * y1 - y0 * x1
                inverse = 1.0 / (x0 * px + y0 * py + z0 * pz)
                sx, sy = (px + ax + bx) * inverse, (py + ay + by) * inverse
                sz = (pz + az + bz) * inverse
                ax, ay, az = ax * inverse, ay * inverse, az * inverse
                bx, by, bz = bx * inverse, by * inverse, bz * inverse
                ux, uy, uz = v[j, 0] - v[i, 0], v[j, 1] - v[i, 1], v[j, 2] - v[i, 2]
                tx, ty, tz = v[k, 0] - v[i, 0], v[k, 1] - v[i, 1], v[k, 2] - v[i, 2]
                gx, gy, gz = uy * tz - uz * ty, uz * tx - ux * tz, ux * ty - uy * tx
                area = np.sqrt(gx * gx + gy * gy + gz * gz) + 1e-20
                gx, gy, gz = gx / area, gy / area, gz / area
                texture = surfaces.face_texture[face]
                smooth = surfaces.face_group[face] < 0
                across = (uv[j, 0] - uv[i, 0]) * (uv[k, 1] - uv[i, 1])
                across -= (uv[k, 0] - uv[i, 0]) * (uv[j, 1] - uv[i, 1])
                texels_per_m = atlas.size[texture] * np.sqrt(abs(across) / area)

            depth = 1.0 / (sx * ray_x + sy * ray_y + sz)
            w1 = (ax * ray_x + ay * ray_y + az) * depth
            w2 = (bx * ray_x + by * ray_y + bz) * depth
            w0 = 1.0 - w1 - w2
            x, y, z = pose[0, 3] + depth * dx, pose[1, 3] + depth * dy, pose[2, 3] + depth * dz

            # The normal towards the eye.
            facing = gx * dx + gy * dy + gz * dz
            turn = -1.0 if facing > 0.0 else 1.0
            nx, ny, nz = gx, gy, gz
            if smooth:
                nx = w0 * n[i, 0] + w1 * n[j, 0] + w2 * n[k, 0]
                ny = w0 * n[i, 1] + w1 * n[j, 1] + w2 * n[k, 1]
                nz = w0 * n[i, 2] + w1 * n[j, 2] + w2 * n[k, 2]
                turn /= np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-20
            nx, ny, nz = nx * turn, ny * turn, nz * turn

            # A sample is half a pixel wide; leaning surfaces are a little blurred, not aliased.
            texels = texels_per_m * 2.0 * depth * per_fx
            texels_squared = texels * texels * stretch / max(abs(facing), 0.05 * stretch)
            _sample_texture(
                atlas,
                texture,
                texels_squared,
                w0 * uv[i, 0] + w1 * uv[j, 0] + w2 * uv[k, 0],
                w0 * uv[i, 1] + w1 * uv[j, 1] + w2 * uv[k, 1],
                albedo,
            )

            sunny = max(nx * sun[0] + ny * sun[1] + nz * sun[2], 0.0)
            if sunny > 0.0:
                slope = np.sqrt(max(1.0 - sunny * sunny, 0.0)) / max(sunny, 0.05)
                sunny *= _sunlit(
                    light_from_world, texel_m, shadow_m, x, y, z, slope, lighting.sun_softness
                )
            lx, ly, lz = lamp[0] - x, lamp[1] - y, lamp[2] - z
            far = lx * lx + ly * ly + lz * lz + 0.4
            near_lamp = max(nx * lx + ny * ly + nz * lz, 0.0) if has_lamp else 0.0
            if near_lamp > 0.0:
                near_lamp /= far * np.sqrt(far)
            up = 0.5 + 0.5 * nz
            open_sky = 1.0
            if z < _FLOOR_M and nz > 0.9:
                open_sky = _floor_light(shadows, x, y)
            haze = 0.0
            if lighting.haze_per_m > 0.0:
                haze = 1.0 - np.exp(-lighting.haze_per_m * depth)
            for c in range(3):
                diffuse = lighting.lamp_color[c] * near_lamp
                diffuse += lighting.ambient_up[c] * up + lighting.ambient_down[c] * (1.0 - up)
                light = lighting.sun_color[c] * sunny + diffuse * open_sky
                seen = albedo[c] * light
                color[row, column, c] = seen + (lighting.horizon_color[c] - seen) * haze


@kernel()
def resolve(color, is_edge, picture):
    """Average the samples of edge pixels with a tent, take the centre of the others.

    Args:
        color: (2 H + 1, 2 W + 1, 3) float32.
        is_edge: (H, W) bool.
        picture: (H, W, 3) float32; filled.
    """
    for y in range(is_edge.shape[0]):
        for x in range(is_edge.shape[1]):
            row, column = 2 * y + 1, 2 * x + 1
            for c in range(3):
                if is_edge[y, x]:
                    mean = np.float32(0.0)
                    for down in range(-1, 2):
                        for across in range(-1, 2):
                            weight = np.float32((2 - abs(down)) * (2 - abs(across)) / 16)
                            # A highlight must not bleed over a whole edge.
                            mean += weight * min(color[row + down, column + across, c], 1.5)
                    picture[y, x, c] = mean
                else:
                    picture[y, x, c] = color[row, column, c]
