"""What colour the seen samples have.

All colours are linear light. The sun has a shadow map, a lamp falls off with distance, sky and
ground light from above and below, haze hides what is far.

Samples are collected into batches, and every step runs over a whole batch: short loops over a few
arrays, which the compiler turns into vector instructions. Places are computed in float64, because
a shadow's edge shows the smallest error; light is computed in float32.

Compiled code is kept until its own file changes: kernels that call each other share one file.
"""

import numpy as np

from human3r_lab.synth.compiler import kernel

_FLOOR_M = 0.02
"""What lies flat below this height is floor."""
_ONE_BITS = 0x3F800000
"""The bits of 1.0 as float32."""


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
    batch,
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
        batch: Batch, to work in.
        color: (rows, columns, 3) float32; filled where wanted.
    """
    pose, normals, uv = world_from_camera, surfaces.normals, surfaces.uv
    rows, columns = seen_face.shape
    colors = color.reshape(-1, 3)
    per_fx, per_fy = 1.0 / lens[0], 1.0 / lens[1]
    count = 0
    current, texture, smooth = -1, 0, False
    ax = ay = az = bx = by = bz = sx = sy = sz = gx = gy = gz = density = 0.0
    u0 = v0 = u1 = v1 = u2 = v2 = 0.0
    nx0 = ny0 = nz0 = nx1 = ny1 = nz1 = nx2 = ny2 = nz2 = 0.0
    for row in range(rows):
        ray_y = (row - lens[3]) * per_fy
        for column in range(columns):
            if not wanted[row, column]:
                continue
            ray_x = (column - lens[2]) * per_fx
            dx = pose[0, 0] * ray_x + pose[0, 1] * ray_y + pose[0, 2]
            dy = pose[1, 0] * ray_x + pose[1, 1] * ray_y + pose[1, 2]
            dz = pose[2, 0] * ray_x + pose[2, 1] * ray_y + pose[2, 2]
            face = seen_face[row, column]
            if face < 0:
                _paint_sky(lighting, atlas, cloud_texture, dx, dy, dz, color[row, column])
                continue
            if face != current:
                # What all samples of a triangle share; a: weight of corner 1, b: of corner 2,
                # s: inverse depth, each linear in the ray; g: its unit normal.
                current = face
                ax, ay, az, bx, by, bz, sx, sy, sz = _planes(surfaces, face)
                gx, gy, gz, area = _unit_normal(surfaces, face)
                i, j, k = surfaces.faces[face, 0], surfaces.faces[face, 1], surfaces.faces[face, 2]
                texture = surfaces.face_texture[face]
                u0, v0 = float(uv[i, 0]), float(uv[i, 1])
                u1, v1, u2, v2 = uv[j, 0] - u0, uv[j, 1] - v0, uv[k, 0] - u0, uv[k, 1] - v0
                # A sample is half a pixel wide.
                density = atlas.size[texture] * np.sqrt(abs(u1 * v2 - u2 * v1) / area)
                density *= 2.0 * per_fx
                smooth = surfaces.face_group[face] < 0
                if smooth:
                    nx0, ny0, nz0 = normals[i, 0], normals[i, 1], normals[i, 2]
                    nx1, ny1, nz1 = normals[j, 0] - nx0, normals[j, 1] - ny0, normals[j, 2] - nz0
                    nx2, ny2, nz2 = normals[k, 0] - nx0, normals[k, 1] - ny0, normals[k, 2] - nz0
            depth = 1.0 / (sx * ray_x + sy * ray_y + sz)
            w1 = (ax * ray_x + ay * ray_y + az) * depth
            w2 = (bx * ray_x + by * ray_y + bz) * depth
            batch.spot[count], batch.texture[count] = row * columns + column, texture
            batch.ray_x[count], batch.ray_y[count], batch.depth[count] = ray_x, ray_y, depth
            batch.u[count], batch.v[count] = u0 + w1 * u1 + w2 * u2, v0 + w1 * v1 + w2 * v2
            batch.facing[count], batch.density[count] = gx * dx + gy * dy + gz * dz, density
            if smooth:
                batch.nx[count] = nx0 + w1 * nx1 + w2 * nx2
                batch.ny[count] = ny0 + w1 * ny1 + w2 * ny2
                batch.nz[count] = nz0 + w1 * nz1 + w2 * nz2
            else:
                batch.nx[count], batch.ny[count], batch.nz[count] = gx, gy, gz
            count += 1
            if count == len(batch.spot):
                _shade_batch(count, batch, lighting, atlas, shadows, pose, colors)
                count = 0
    _shade_batch(count, batch, lighting, atlas, shadows, pose, colors)


@kernel()
def _planes(surfaces, face):
    """Weights of corners 1 and 2 over depth, and 1 / depth, as planes over the ray (x, y, 1)."""
    corners, p = surfaces.faces, surfaces.camera_m
    i, j, k = corners[face, 0], corners[face, 1], corners[face, 2]
    x0, y0, z0 = float(p[i, 0]), float(p[i, 1]), float(p[i, 2])
    x1, y1, z1 = float(p[j, 0]), float(p[j, 1]), float(p[j, 2])
    x2, y2, z2 = float(p[k, 0]), float(p[k, 1]), float(p[k, 2])
    px, py, pz = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
    ax, ay, az = y2 * z0 - z2 * y0, z2 * x0 - x2 * z0, x2 * y0 - y2 * x0
    bx, by, bz = y0 * z1 - z0 * y1, z0 * x1 - x0 * z1, x0 * y1 - y0 * x1
    inverse = 1.0 / (x0 * px + y0 * py + z0 * pz)
    sx, sy, sz = (px + ax + bx) * inverse, (py + ay + by) * inverse, (pz + az + bz) * inverse
    ax, ay, az, bx, by, bz = (
        ax * inverse,
        ay * inverse,
        az * inverse,
        bx * inverse,
        by * inverse,
        bz * inverse,
    )
    return ax, ay, az, bx, by, bz, sx, sy, sz


@kernel()
def _unit_normal(surfaces, face):
    """World frame; and twice the triangle's area."""
    corners, p = surfaces.faces, surfaces.vertices_m
    i, j, k = corners[face, 0], corners[face, 1], corners[face, 2]
    ux, uy, uz = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
    tx, ty, tz = p[k, 0] - p[i, 0], p[k, 1] - p[i, 1], p[k, 2] - p[i, 2]
    gx, gy, gz = uy * tz - uz * ty, uz * tx - ux * tz, ux * ty - uy * tx
    area = np.sqrt(gx * gx + gy * gy + gz * gz) + 1e-20
    return gx / area, gy / area, gz / area, area


@kernel()
def _shade_batch(count, batch, lighting, atlas, shadows, pose, colors):
    """Colour the first ``count`` samples of a batch."""
    b, single = batch, np.float32
    _measure_footprints(count, b.ray_x, b.ray_y, b.depth, b.facing, b.density, b.footprint)
    _take_fraction(count, b.u)
    _take_fraction(count, b.v)
    _read_texture(count, atlas, b.texture, b.u, b.v, b.footprint, b.red, b.green, b.blue)
    _turn_normals(count, b.facing, b.nx, b.ny, b.nz)
    _transform(count, pose[0], b.ray_x, b.ray_y, b.depth, b.x)
    _transform(count, pose[1], b.ray_x, b.ray_y, b.depth, b.y)
    _transform(count, pose[2], b.ray_x, b.ray_y, b.depth, b.z)

    sun, light_from_camera = lighting.sun_direction, shadows.light_from_camera
    _face_sun(count, single(sun[0]), single(sun[1]), single(sun[2]), b.nx, b.ny, b.nz, b.sunny)
    _transform(count, light_from_camera[0], b.ray_x, b.ray_y, b.depth, b.column)
    _transform(count, light_from_camera[1], b.ray_x, b.ray_y, b.depth, b.row)
    far_m = b.u  # Its texture coordinates are done with.
    _transform(count, light_from_camera[2], b.ray_x, b.ray_y, b.depth, far_m)
    softness = lighting.sun_softness
    _limit_shadow(count, shadows.texel_m, softness, b.sunny, far_m, b.limit)
    _cast_shadow(count, softness, shadows.depth_m, b.column, b.row, b.limit, b.sunny)
    b.lamp[:], b.haze[:] = single(0.0), single(0.0)
    if lighting.lamp_color.max() > 0.0:
        lamp = lighting.lamp_m
        lamp_x, lamp_y, lamp_z = single(lamp[0]), single(lamp[1]), single(lamp[2])
        _face_lamp(count, lamp_x, lamp_y, lamp_z, b.x, b.y, b.z, b.nx, b.ny, b.nz, b.lamp)
    if lighting.haze_per_m > 0.0:
        _spread_haze(count, lighting.haze_per_m, b.depth, b.haze)
    _darken_floor(count, shadows, b.x, b.y, b.z, b.nz, b.open_sky)
    for channel, values in enumerate((b.red, b.green, b.blue)):
        _to_light(count, values)
        _mix(
            count,
            single(lighting.sun_color[channel]),
            single(lighting.lamp_color[channel]),
            single(lighting.ambient_up[channel]),
            single(lighting.ambient_down[channel]),
            single(lighting.horizon_color[channel]),
            b.sunny,
            b.lamp,
            b.nz,
            b.open_sky,
            b.haze,
            values,
        )
    for n in range(count):
        spot = b.spot[n]
        colors[spot, 0], colors[spot, 1], colors[spot, 2] = b.red[n], b.green[n], b.blue[n]


@kernel()
def _transform(count, line, ray_x, ray_y, depth, out):
    """One line of an affine transform of the places ``depth * (ray_x, ray_y, 1)``."""
    a, b, c, d = line[0], line[1], line[2], line[3]
    for n in range(count):
        out[n] = (a * ray_x[n] + b * ray_y[n] + c) * depth[n] + d


@kernel()
def _turn_normals(count, facing, nx, ny, nz):
    """To length one, towards the eye."""
    for n in range(count):
        length = np.sqrt(nx[n] * nx[n] + ny[n] * ny[n] + nz[n] * nz[n]) + np.float32(1e-20)
        turn = (np.float32(-1.0) if facing[n] > 0.0 else np.float32(1.0)) / length
        nx[n] *= turn
        ny[n] *= turn
        nz[n] *= turn


@kernel()
def _measure_footprints(count, ray_x, ray_y, depth, facing, density, footprint):
    """Leaning surfaces are a little blurred, not aliased."""
    for n in range(count):
        stretch = np.float32(np.sqrt(ray_x[n] * ray_x[n] + ray_y[n] * ray_y[n] + 1.0))
        texels = density[n] * np.float32(depth[n])
        lean = max(abs(facing[n]), np.float32(0.05) * stretch)
        footprint[n] = texels * texels * stretch / lean


@kernel()
def _take_fraction(count, values):
    for n in range(count):
        values[n] -= np.floor(values[n])


@kernel()
def _read_texture(count, atlas, texture, u, v, footprint, red, green, blue):
    """8.8 fixed point sRGB between two mip levels; u and v in [0, 1)."""
    bits = footprint.view(np.int32)
    for n in range(count):
        which = texture[n]
        side = atlas.size[which] * 256.0
        x, y = np.uint32(u[n] * side), np.uint32(v[n] * side)
        # Half the exponent is the level; the mantissa stands in for the logarithm's fraction.
        level, part = 0, np.float32(0.0)
        logarithm = bits[n] - _ONE_BITS
        if logarithm > 0:
            level = logarithm >> 24
            # Two levels are read only half way between them: the eye does not miss the rest.
            part = np.float32(logarithm & 0xFFFFFF) * np.float32(2.0**-23) - np.float32(0.5)
            part = min(max(part, np.float32(0.0)), np.float32(1.0))
        last = atlas.last[which]
        if level >= last:
            level, part = last, np.float32(0.0)
        elif part == 1.0:
            level, part = level + 1, np.float32(0.0)
        r, g, b = _texel(atlas, which, level, x, y)
        if part > 0.0:
            coarse_r, coarse_g, coarse_b = _texel(atlas, which, level + 1, x, y)
            r += (coarse_r - r) * part
            g += (coarse_g - g) * part
            b += (coarse_b - b) * part
        red[n], green[n], blue[n] = r, g, b


@kernel()
def _texel(atlas, texture, level, x, y):
    """A bilinear look-up in one mip level: red, green, blue in 8.8 fixed point.

    x and y count 256ths of texels of level 0.
    """
    one, byte = np.uint32(1), np.uint32(8)
    side = np.uint32(atlas.size[texture]) >> np.uint32(level)
    mask, low = side - one, np.uint32(255)
    # Texels have their colour in the middle; one more side keeps this above zero.
    x = (x >> np.uint32(level)) + (side << byte) - np.uint32(128)
    y = (y >> np.uint32(level)) + (side << byte) - np.uint32(128)
    left, right = (x >> byte) & mask, ((x >> byte) + one) & mask
    first = np.uint32(atlas.first[texture, level])
    upper = np.uint64(first + ((y >> byte) & mask) * side)
    lower = np.uint64(first + (((y >> byte) + one) & mask) * side)
    across, down = x & low, y & low
    both = (across * down) >> byte
    return _weigh(
        atlas.texels[upper + np.uint64(left)],
        atlas.texels[upper + np.uint64(right)],
        atlas.texels[lower + np.uint64(left)],
        atlas.texels[lower + np.uint64(right)],
        across - both,
        down - both,
        both,
    )


@kernel()
def _weigh(a, b, c, d, weight_b, weight_c, weight_d):
    """Red, green and blue of four texels, 8.8 fixed point; the weights sum to 256."""
    weight_a = np.uint32(256) - weight_b - weight_c - weight_d
    # No sum exceeds 16 bits, so red does not spill into blue.
    lanes, lane, byte = np.uint32(0xFF00FF), np.uint32(0xFF), np.uint32(8)
    both = (a & lanes) * weight_a + (b & lanes) * weight_b
    both += (c & lanes) * weight_c + (d & lanes) * weight_d
    green = ((a >> byte) & lane) * weight_a + ((b >> byte) & lane) * weight_b
    green += ((c >> byte) & lane) * weight_c + ((d >> byte) & lane) * weight_d
    red, blue = both & np.uint32(0xFFFF), np.uint32(both) >> np.uint32(16)
    return np.float32(red), np.float32(green), np.float32(blue)


@kernel()
def _to_light(count, values):
    """From 8.8 fixed point sRGB to light, by a cubic that stays within 0.002 of the sRGB curve."""
    for n in range(count):
        byte = values[n] * np.float32(1 / (256 * 255))
        values[n] = byte * (
            byte * (byte * np.float32(0.305306011) + np.float32(0.682171111))
            + np.float32(0.012522878)
        )


@kernel()
def _face_sun(count, sun_x, sun_y, sun_z, nx, ny, nz, sunny):
    for n in range(count):
        sunny[n] = max(nx[n] * sun_x + ny[n] * sun_y + nz[n] * sun_z, np.float32(0.0))


@kernel()
def _limit_shadow(count, texel_m, softness, sunny, far_m, limit):
    """Where the surface leans away from the light, one texel spans more depth."""
    reach = softness + 0.7
    for n in range(count):
        cosine = np.float64(sunny[n])
        slope = np.sqrt(max(1.0 - cosine * cosine, 0.0)) / max(cosine, 0.05)
        limit[n] = np.float32(far_m[n] - texel_m * (1.0 + reach * min(slope, 6.0)))


@kernel()
def _cast_shadow(count, softness, shadow_m, column, row, limit, sunny):
    """Leave the share of a soft 3x3 neighbourhood of the shadow map that the sun reaches."""
    rows, columns = shadow_m.shape
    for n in range(count):
        x, y, far = column[n] + 0.5, row[n] + 0.5, limit[n]
        inside = y >= softness and y < rows - softness and x >= softness and x < columns - softness
        if sunny[n] == 0.0 or not inside:
            continue
        left, middle, right = np.uint32(x - softness), np.uint32(x), np.uint32(x + softness)
        top, centre, bottom = np.uint32(y - softness), np.uint32(y), np.uint32(y + softness)
        lit = int(shadow_m[centre, middle] >= far)
        lit += (shadow_m[top, left] >= far) + (shadow_m[top, right] >= far)
        lit += (shadow_m[bottom, left] >= far) + (shadow_m[bottom, right] >= far)
        if lit == 5:
            continue
        if lit > 0:
            lit += (shadow_m[top, middle] >= far) + (shadow_m[bottom, middle] >= far)
            lit += (shadow_m[centre, left] >= far) + (shadow_m[centre, right] >= far)
        sunny[n] *= np.float32(lit / 9.0)


@kernel()
def _face_lamp(count, lamp_x, lamp_y, lamp_z, x, y, z, nx, ny, nz, lamp):
    for n in range(count):
        lx, ly, lz = lamp_x - x[n], lamp_y - y[n], lamp_z - z[n]
        far = lx * lx + ly * ly + lz * lz + np.float32(0.4)
        lamp[n] = max(nx[n] * lx + ny[n] * ly + nz[n] * lz, np.float32(0.0)) / (far * np.sqrt(far))


@kernel()
def _darken_floor(count, shadows, x, y, z, nz, open_sky):
    """Bilinear look-up of what reaches the floor; all of it outside the map and elsewhere."""
    m, light = shadows.floor_from_world, shadows.floor_light
    rows, columns, one = light.shape[0] - 1, light.shape[1] - 1, np.uint32(1)
    for n in range(count):
        open_sky[n] = 1.0
        if z[n] >= _FLOOR_M or nz[n] <= 0.9:
            continue
        column = m[0, 0] * x[n] + m[0, 1] * y[n] + m[0, 2]
        row = m[1, 0] * x[n] + m[1, 1] * y[n] + m[1, 2]
        if row >= 0 and row < rows and column >= 0 and column < columns:
            i, j = np.uint32(row), np.uint32(column)
            down, across = np.float32(row - i), np.float32(column - j)
            upper = light[i, j] + (light[i, j + one] - light[i, j]) * across
            lower = light[i + one, j] + (light[i + one, j + one] - light[i + one, j]) * across
            open_sky[n] = upper + (lower - upper) * down


@kernel()
def _spread_haze(count, haze_per_m, depth, haze):
    """1 - exp(-haze_per_m * depth): a series for a 64th of the way, then squares."""
    for n in range(count):
        t = min(depth[n] * haze_per_m / 64, 0.5)
        clear = 1.0 - t * (1.0 - t * (1 / 2 - t * (1 / 6 - t / 24)))
        clear *= clear
        clear *= clear
        clear *= clear
        clear *= clear
        clear *= clear
        haze[n] = 1.0 - clear * clear


@kernel()
def _mix(count, sun, lamp, up, down, horizon, sunny, near_lamp, nz, open_sky, haze, values):
    """One channel of what is seen; ``values`` holds the surface's own colour and is updated."""
    half, one = np.float32(0.5), np.float32(1.0)
    for n in range(count):
        share = half + half * nz[n]
        diffuse = lamp * near_lamp[n] + up * share + down * (one - share)
        seen = values[n] * (sun * sunny[n] + diffuse * open_sky[n])
        values[n] = seen + (horizon - seen) * haze[n]


@kernel()
def _paint_sky(lighting, atlas, cloud_texture, dx, dy, dz, out):
    """Horizon to zenith, with clouds on a plane high above; the direction has any length."""
    stretch = np.sqrt(dx * dx + dy * dy + dz * dz)
    up = max(dz / stretch, 0.0)
    share = 1.0 - (1.0 - up) ** 4
    cloud = 0.0
    if up > 0.02:
        u, v, side = 0.2 * dx / dz, 0.2 * dy / dz, atlas.size[cloud_texture] * 256.0
        x, y = np.uint32((u - np.floor(u)) * side), np.uint32((v - np.floor(v)) * side)
        _, green, _ = _texel(atlas, cloud_texture, 0, x, y)
        byte = green / (256.0 * 255.0)
        light = byte * (byte * (byte * 0.305306011 + 0.682171111) + 0.012522878)
        threshold = 0.55 - 0.5 * lighting.cloud_cover
        cloud = min(max((light - threshold) * 4.0, 0.0), 1.0) * min(up * 5.0, 1.0)
    for c in range(3):
        clear = lighting.horizon_color[c] * (1 - share) + lighting.zenith_color[c] * share
        out[c] = clear * (1 - cloud) + lighting.horizon_color[c] * 1.1 * cloud
