"""The arrays of a body model file, checked: which there must be, their shapes and their values.

The layout is that of SMPL-X v1.1, with any number of vertices. Three things are ours and
optional: a sparse joint regressor (``J_regressor_row``, ``J_regressor_column``,
``J_regressor_value``), ``landmark_vertices`` (vertex numbers of the 21 named landmarks, needed
when the mesh is not the SMPL-X one) and ``landmark_names`` (other names for them).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from human3r.body import skeleton
from human3r.errors import BodyModelError

NUM_BETAS = 10
NUM_EXPRESSIONS = 10
_EXPRESSION_START = 300
_NUM_POSE_FEATURES = 9 * (skeleton.NUM_JOINTS - 1)
_MAX_LANDMARKS = 1000
_REQUIRED = ("v_template", "shapedirs", "weights", "kintree_table", "f")
_SPARSE = ("J_regressor_row", "J_regressor_column", "J_regressor_value")

ARRAY_NAMES = (
    *_REQUIRED,
    "J_regressor",
    *_SPARSE,
    "posedirs",
    "lmk_faces_idx",
    "lmk_bary_coords",
    "landmark_vertices",
    "landmark_names",
)
"""Every array that is ever read from a file."""


@dataclass(frozen=True)
class BodyArrays:
    """A body model as checked numbers."""

    template: np.ndarray
    """(vertices, 3) float32 metres."""
    directions: np.ndarray
    """(vertices, 3, 20) float32: 10 betas, then 10 expressions."""
    pose_directions: np.ndarray | None
    """(vertices, 3, 486) float32, or None when the file has none or only zeros."""
    joint_regressor: np.ndarray
    """(55, vertices) float64."""
    skin_weights: np.ndarray
    """(vertices, 55) float32."""
    faces: np.ndarray
    """(faces, 3) int64."""
    landmark_names: tuple[str, ...]
    landmark_vertices: np.ndarray
    """(landmarks, 3) int64: the vertices each landmark is a mean of."""
    landmark_shares: np.ndarray
    """(landmarks, 3) float32: their shares, rows sum to 1."""


def check_arrays(arrays: Mapping[str, np.ndarray], source: str) -> BodyArrays:
    """The arrays as a body model.

    Args:
        arrays: some or all of ``ARRAY_NAMES``.
        source: what to call the file in errors.

    Raises:
        BodyModelError: an array is missing, has another shape or type, or holds NaN.
    """
    for name in _REQUIRED:
        if name not in arrays:
            raise BodyModelError(
                f"{source}: array {name} is missing; expected the SMPL-X layout with "
                f"{', '.join(_REQUIRED)} and J_regressor. Check that this is a body model file."
            )
    check = _Checker(arrays, source)
    template = check.floats("v_template", (None, 3))
    num_vertices = len(template)
    if num_vertices == 0:
        raise check.error("v_template", "no vertices", "at least one")
    faces = check.numbers("f", (None, 3), num_vertices)
    _check_tree(check)
    names, vertices, shares = _landmarks(check, num_vertices, faces)
    return BodyArrays(
        template=template,
        directions=_directions(check, num_vertices),
        pose_directions=_pose_directions(check, num_vertices),
        joint_regressor=_regressor(check, num_vertices),
        skin_weights=_skin_weights(check, num_vertices),
        faces=faces,
        landmark_names=names,
        landmark_vertices=vertices,
        landmark_shares=shares,
    )


class _Checker:
    """Takes arrays out of a file by name, with errors that say all."""

    def __init__(self, arrays: Mapping[str, np.ndarray], source: str) -> None:
        self.arrays = arrays
        self.source = source

    def error(self, name: str, seen: str, expected: str) -> BodyModelError:
        return BodyModelError(
            f"{self.source}: array {name}: {seen}; expected {expected}. "
            "Get the file again, or convert it with `human3r body convert`."
        )

    def _shaped(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        if name not in self.arrays:
            raise self.error(name, "missing", "it beside its partner arrays")
        array = self.arrays[name]
        fits = array.ndim == len(shape) and all(
            want is None or want == got for want, got in zip(shape, array.shape, strict=True)
        )
        if not fits:
            words = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
            raise self.error(name, f"shape {array.shape}", f"shape {words}")
        return array

    def floats(self, name: str, shape: tuple[int | None, ...], dtype: type = np.float32):
        array = self._shaped(name, shape)
        if array.dtype.kind != "f":
            raise self.error(name, f"type {array.dtype}", "floating-point numbers")
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, and is refused
            array = np.ascontiguousarray(array, dtype=dtype)
        if not np.isfinite(array).all():
            raise self.error(name, "holds NaN or infinity", "finite numbers")
        return array

    def numbers(self, name: str, shape: tuple[int | None, ...], limit: int) -> np.ndarray:
        array = self._shaped(name, shape)
        if array.dtype.kind not in "iu":
            raise self.error(name, f"type {array.dtype}", "whole numbers")
        if array.size and (array.min() < 0 or array.max() >= limit):
            raise self.error(name, f"values {array.min()} to {array.max()}", f"0 to {limit - 1}")
        return np.ascontiguousarray(array, dtype=np.int64)


def _check_tree(check: _Checker) -> None:
    tree = check._shaped("kintree_table", (2, skeleton.NUM_JOINTS))
    parents = [int(p) for p in tree[0]] if tree.dtype.kind in "iu" else []
    if parents[1:] != list(skeleton.JOINT_PARENTS[1:]):
        raise check.error("kintree_table", "another tree", "the 55 joints of SMPL-X in their order")


def _directions(check: _Checker, num_vertices: int) -> np.ndarray:
    stored = check.arrays["shapedirs"]
    columns = stored.shape[2] if stored.ndim == 3 else 0
    total = NUM_BETAS + NUM_EXPRESSIONS
    if columns == total:
        wanted = stored
    elif columns >= _EXPRESSION_START + NUM_EXPRESSIONS:
        faces = slice(_EXPRESSION_START, _EXPRESSION_START + NUM_EXPRESSIONS)
        wanted = np.concatenate([stored[..., :NUM_BETAS], stored[..., faces]], axis=-1)
    else:
        raise check.error(
            "shapedirs",
            f"shape {stored.shape}",
            f"({num_vertices}, 3, 20), or at least 310 columns with the expressions from 300",
        )
    return _Checker({"shapedirs": wanted}, check.source).floats(
        "shapedirs", (num_vertices, 3, total)
    )


def _pose_directions(check: _Checker, num_vertices: int) -> np.ndarray | None:
    stored = check.arrays.get("posedirs")
    if stored is None or stored.size == 0:
        return None
    directions = check.floats("posedirs", (num_vertices, 3, _NUM_POSE_FEATURES))
    return directions if directions.any() else None


def _regressor(check: _Checker, num_vertices: int) -> np.ndarray:
    if "J_regressor" in check.arrays:
        return check.floats("J_regressor", (skeleton.NUM_JOINTS, num_vertices), np.float64)
    rows, columns, values = _SPARSE
    if values not in check.arrays:
        raise check.error("J_regressor", "missing", f"it, or its sparse form {', '.join(_SPARSE)}")
    row = check.numbers(rows, (None,), skeleton.NUM_JOINTS)
    column = check.numbers(columns, (len(row),), num_vertices)
    value = check.floats(values, (len(row),), np.float64)
    regressor = np.zeros((skeleton.NUM_JOINTS, num_vertices))
    np.add.at(regressor, (row, column), value)
    return regressor


def _skin_weights(check: _Checker, num_vertices: int) -> np.ndarray:
    weights = check.floats("weights", (num_vertices, skeleton.NUM_JOINTS))
    sums = weights.sum(axis=1)
    if abs(sums - 1).max() > 0.01:
        seen = f"rows sum to {sums.min():.3f} to {sums.max():.3f}"
        raise check.error("weights", seen, "rows that sum to 1")
    return weights


def _landmarks(
    check: _Checker, num_vertices: int, faces: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, vertices and shares of single-vertex landmarks, then of those on faces."""
    picked_names, picked = _picked_vertices(check, num_vertices)
    vertices = np.repeat(picked[:, None], 3, axis=1)
    shares = np.tile(np.array([1, 0, 0], np.float32), (len(picked), 1))
    if "lmk_faces_idx" not in check.arrays:
        return picked_names, vertices, shares
    num_face = len(skeleton.FACE_LANDMARK_NAMES)
    face_vertices = faces[check.numbers("lmk_faces_idx", (num_face,), len(faces))]
    face_shares = check.floats("lmk_bary_coords", (num_face, 3))
    return (
        picked_names + skeleton.FACE_LANDMARK_NAMES,
        np.concatenate([vertices, face_vertices]),
        np.concatenate([shares, face_shares]),
    )


def _picked_vertices(check: _Checker, num_vertices: int) -> tuple[tuple[str, ...], np.ndarray]:
    names = skeleton.VERTEX_LANDMARK_NAMES
    if "landmark_vertices" not in check.arrays:
        if num_vertices != skeleton.SMPLX_NUM_VERTICES:
            return (), np.zeros(0, np.int64)
        return names, np.array(skeleton.SMPLX_LANDMARK_VERTICES)
    if "landmark_names" in check.arrays:
        stored = check._shaped("landmark_names", (None,))
        if stored.dtype.kind != "U" or len(stored) > _MAX_LANDMARKS or stored.itemsize > 400:
            seen = f"{len(stored)} entries of type {stored.dtype}"
            raise check.error("landmark_names", seen, "at most 1000 short texts")
        names = tuple(str(name) for name in stored)
    return names, check.numbers("landmark_vertices", (len(names),), num_vertices)
