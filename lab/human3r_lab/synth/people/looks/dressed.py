"""A person as one mesh: visible skin, clothes, hair, with their textures."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from human3r_lab.synth.people.kinematics import skin
from human3r_lab.synth.people.looks import face
from human3r_lab.synth.people.looks.anatomy import HEAD, anatomy
from human3r_lab.synth.people.looks.extras import put_on_extras
from human3r_lab.synth.people.looks.garment import ClothedBody
from human3r_lab.synth.people.looks.hair import put_on_hair
from human3r_lab.synth.people.looks.outfit import Outfit
from human3r_lab.synth.people.looks.piece import Piece, join
from human3r_lab.synth.people.looks.wardrobe import put_on_clothes
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import body_template


@dataclass(frozen=True)
class DressedBody:
    """Everything that is drawn of a person, in the zero pose."""

    piece: Piece
    textures: tuple[np.ndarray, ...]
    face_vertices: np.ndarray
    """(M,) those of the piece's vertices that expressions move."""
    face_moves: np.ndarray
    """(M, 3, 10) float32 how."""
    sole_m: float
    hidden: np.ndarray
    """(V,) bool: body vertices under clothes."""

    def pose(self, transforms: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """(N, 3) float32 vertices of one frame.

        Args:
            transforms: (55, 3, 4) from ``skin_transforms``.
            expression: (10,).
        """
        vertices = self.piece.vertices_m.copy()
        vertices[self.face_vertices] += self.face_moves @ expression.astype(np.float32)
        return skin(vertices, self._skin_weights, transforms)

    @cached_property
    def _skin_weights(self) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.piece.weights)


def dress(rng: np.random.Generator, physique: Physique) -> DressedBody:
    """Random looks for a body."""
    is_feminine = bool(rng.random() < 0.5)
    outfit = Outfit(ClothedBody(physique), float(rng.uniform(0.012, 0.03)))
    put_on_clothes(rng, outfit, is_feminine=is_feminine)
    tone = face.SKIN_TONES[rng.integers(len(face.SKIN_TONES))] * rng.uniform(0.94, 1.04)
    hair = face.hair_color(rng, tone)
    put_on_hair(rng, outfit, hair, is_feminine=is_feminine)
    put_on_extras(rng, outfit)
    beard, make_up = 0.0, 0.0
    if is_feminine:
        make_up = rng.random()
    elif not physique.is_child and rng.random() < 0.4:
        beard = rng.uniform(0.25, 1.0)
    painted = face.face_texture(rng, tone, hair, beard=beard, make_up=make_up)
    textures = (face.skin_texture(rng, tone), painted, face.eye_texture(rng))
    plain, *others = [outfit.add_texture(texture) for texture in textures]
    skin_piece, skin_of = _skin(physique, outfit.hidden, plain, *others)
    moves = body_template().directions[skin_of, :, 10:]
    face_vertices = np.flatnonzero(np.abs(moves).max((1, 2)) > 1e-5)
    return DressedBody(
        piece=join([skin_piece, *outfit.pieces]),
        textures=tuple(outfit.textures),
        face_vertices=face_vertices,
        face_moves=moves[face_vertices],
        sole_m=outfit.sole_m,
        hidden=outfit.hidden,
    )


def _skin(
    physique: Physique, hidden: np.ndarray, plain: int, painted: int, eyes: int
) -> tuple[Piece, np.ndarray]:
    """Skin that is seen, and the body vertices it is made of; arguments are texture numbers."""
    template, where = body_template(), anatomy()
    seen = ~hidden[template.faces].all(1) & ~where.is_mouth[template.faces].any(1)
    faces = template.faces[seen]
    places = template.vertices_m[faces]
    in_front = places[..., 2].min(1) > template.landmarks_m["left_ear"][2] + 0.005
    on_face = in_front & (where.part[faces] == HEAD).all(1) & (places[..., 1].min(1) > 0.16)
    is_eye = where.is_eye[faces].all(1)
    # Vertices are shared by plain and painted skin, which are alike where they meet: no seam.
    used, numbered = np.unique(faces, return_inverse=True)
    template_m = template.vertices_m[used]
    uv = np.where(where.is_eye[used, None], face.eye_uv(template_m), face.face_uv(template_m))
    piece = Piece(
        physique.vertices_m[used],
        template.weights[used],
        numbered.reshape(-1, 3).astype(np.int32),
        uv.astype(np.float32),
        np.where(is_eye, eyes, np.where(on_face, painted, plain)).astype(np.int32),
    )
    return piece, used
