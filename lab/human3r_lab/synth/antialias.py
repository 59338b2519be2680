"""From samples to pixels: which samples are worth a colour, and what a pixel makes of them.

A picture has two samples per pixel and axis, pixel centres among them: (2 H + 1, 2 W + 1).
"""

import numpy as np

from human3r_lab.synth.compiler import kernel


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
            edge = many = False
            for down in range(-1, 2):
                for across in range(-1, 2):
                    other = seen_face[row + down, column + across]
                    if other != face:
                        many = True
                        if other < 0 or face < 0 or face_group[other] != group:
                            edge = True
            # One triangle alone is flat.
            if many and not edge:
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


@kernel()
def read_centres(inverse_depth, seen_face, face_person, depth_m, person_index):
    """Fill what pixels hold besides their colour: the truth at their centres.

    Args:
        inverse_depth: (2 H + 1, 2 W + 1) float32.
        seen_face: the same shape, int32, -1 for sky.
        face_person: (F,) uint8.
        depth_m: (H, W) float32; filled, 0 for sky.
        person_index: (H, W) uint8; filled, 0 for sky and scenery.
    """
    for y in range(depth_m.shape[0]):
        for x in range(depth_m.shape[1]):
            face = seen_face[2 * y + 1, 2 * x + 1]
            if face >= 0:
                depth_m[y, x] = np.float32(1.0) / inverse_depth[2 * y + 1, 2 * x + 1]
                person_index[y, x] = face_person[face]
            else:
                depth_m[y, x] = 0.0
                person_index[y, x] = 0
