"""One dressed, moving person of a sequence."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from human3r_lab.synth.mesh import Mesh
from human3r_lab.synth.people.kinematics import skin, skin_transforms
from human3r_lab.synth.people.looks.dressed import DressedBody
from human3r_lab.synth.people.motion.perform import Performance
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import body_template


@dataclass(frozen=True)
class Performer:
    """A person; world frame: z up, metres, floor at z = 0."""

    person_id: int
    physique: Physique
    dressed: DressedBody
    performance: Performance
    expression: np.ndarray
    """(T, 10) float32."""

    @property
    def rotations(self) -> np.ndarray:
        """(T, 53, 3, 3) float32, child in parent, the root in the world; jaw last."""
        return self.performance.rotations

    @property
    def betas(self) -> np.ndarray:
        """(10,) float32 shape coefficients of the free body."""
        return self.physique.betas

    @property
    def head_world(self) -> np.ndarray:
        """(T, 3) float32 metres: the head joint."""
        return self.performance.head_world

    @property
    def contacts(self) -> np.ndarray:
        """(T, 4) bool: left heel, left toe, right heel, right toe rest on the floor."""
        return self.performance.contacts

    @property
    def textures(self) -> tuple[np.ndarray, ...]:
        """(S, S, 3) uint8 sRGB each; ``Mesh.face_texture`` counts through them."""
        return self.dressed.textures

    def mesh(self, i: int) -> Mesh:
        """The dressed person in frame ``i``."""
        piece = self.dressed.piece
        return Mesh(
            vertices_m=self.dressed.pose(self._transforms[i], self.expression[i]),
            faces=piece.faces,
            uv=piece.uv,
            face_texture=piece.face_texture,
            is_smooth=True,
            person_id=self.person_id,
        )

    def naked_vertices(self, i: int) -> np.ndarray:
        """(V, 3) float32: the annotated body in frame ``i``."""
        template = body_template()
        moves = template.directions[..., 10:] @ self.expression[i]
        return skin(self.physique.vertices_m + moves, template.skin_weights, self._transforms[i])

    @cached_property
    def _transforms(self) -> np.ndarray:
        return skin_transforms(self.rotations, self.physique.joints_m, self.head_world)
