"""One image as the evaluation takes it: the frame to give away, and the truth to keep."""

from dataclasses import dataclass

import numpy as np
import torch

from human3r.body.base import BodyModel
from human3r.body.layout import NUM_BETAS, NUM_EXPRESSIONS
from human3r.body.skeleton import HEAD, JOINT_NAMES, NUM_ROTATIONS
from human3r.errors import InputError
from human3r.types import Frame, Intrinsics
from human3r_lab.datasets.sample import ViewTruth

NEAR_M = 0.05
"""Points nearer than this are projected as if they lay here."""
MIN_VISIBLE_SHARE = 0.1


@dataclass(frozen=True)
class PosedBodies:
    """Bodies in the camera frame, metres, in the joints and vertices of a benchmark."""

    joints: np.ndarray
    """(people, joints, 3)."""
    vertices: np.ndarray
    """(people, vertices, 3)."""
    feet: np.ndarray
    """(people, 4, 3): heel and toe of the left foot, then of the right."""

    def __len__(self) -> int:
        return len(self.joints)

    def __getitem__(self, rows: np.ndarray | list[int]) -> "PosedBodies":
        return PosedBodies(self.joints[rows], self.vertices[rows], self.feet[rows])


@dataclass(frozen=True)
class TruePeople:
    """The annotated people of one view."""

    ids: np.ndarray
    """(people,) int, stable over the sequence."""
    bodies: PosedBodies
    is_counted: np.ndarray
    """(people,) bool: should be found. The others may be found or not without consequence."""
    contacts: np.ndarray | None = None
    """(people, 4) bool: which foot points stand on the floor, where that is known."""
    inside_share: np.ndarray | None = None
    """(people,) share of the body within the image."""
    visible_share: np.ndarray | None = None
    """(people,) share of what is within the image that nothing else hides."""
    statures_m: np.ndarray | None = None
    """(people,) standing height."""
    root_rotations: np.ndarray | None = None
    """(people, 3, 3): camera_from_body by SMPL-X axes, where the predicted bodies have the same."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TrueView:
    """One image of a sequence; what is None is unknown."""

    frame: Frame
    intrinsics: Intrinsics | None = None
    """The camera of ``frame.image``."""
    people: TruePeople | None = None
    depth_m: np.ndarray | None = None
    """(height, width) float32 of the whole image at any scale; 0 where unknown."""
    person_index: np.ndarray | None = None
    """(height, width) uint8 of the whole image at any scale: 0 where no person is."""
    world_from_camera: np.ndarray | None = None
    """(4, 4)."""
    floor_height_m: float | None = None
    """Height of the floor in a world whose z points up."""


class FreeBodyScheme:
    """Bodies in the SMPL-X layout: the 22 joints without hands and face, all vertices."""

    pelvis_joints = (0,)
    head_joint = HEAD
    _num_joints = JOINT_NAMES.index("right_wrist") + 1

    def __init__(self, body_model: BodyModel) -> None:
        self._body_model = body_model
        names = ("left_heel", "left_big_toe", "right_heel", "right_big_toe")
        missing = [name for name in names if name not in body_model.joint_names]
        if missing:
            raise InputError(
                f"body model {body_model.name} has no landmarks {', '.join(missing)}; expected "
                "those of SMPL-X. Use the free body, or a body model in the SMPL-X layout."
            )
        self._feet = [body_model.joint_names.index(name) for name in names]
        self._vertex_shares = _vertex_shares(body_model)

    def posed(self, joints: np.ndarray, vertices: np.ndarray) -> PosedBodies:
        """What a body model says, (people, joints, 3) and (people, vertices, 3), as we use it."""
        return PosedBodies(joints[:, : self._num_joints], vertices, joints[:, self._feet])

    @torch.inference_mode()
    def true_view(self, view: ViewTruth, *, is_calibrated: bool = False) -> TrueView:
        """A view of a sequence with the people's bodies posed.

        People count as to be found when their head lies within the image and at least a tenth
        of their body is seen.

        Args:
            view: as it was rendered.
            is_calibrated: the frame that is given away names its camera.
        """
        truth = view.people
        mesh = self._body_model(
            *(
                torch.from_numpy(np.ascontiguousarray(array)).to(self._body_model.device)
                for array in (truth.rotations, truth.betas, truth.expression, truth.head_camera)
            )
        )
        bodies = self.posed(mesh.joints.cpu().numpy(), mesh.vertices.cpu().numpy())
        inside, visible = self._visibility(bodies.vertices, view)
        heads = project_px(truth.head_camera, view.intrinsics)
        is_counted = is_inside(heads, view.intrinsics) & (inside * visible >= MIN_VISIBLE_SHARE)
        people = TruePeople(
            ids=truth.person_ids,
            bodies=bodies,
            is_counted=is_counted,
            contacts=truth.contacts,
            inside_share=inside,
            visible_share=visible,
            statures_m=self._statures_m(truth.betas),
            root_rotations=truth.rotations[:, 0],
        )
        return TrueView(
            frame=Frame(view.image, view.stamp_ns, view.intrinsics if is_calibrated else None),
            intrinsics=view.intrinsics,
            people=people,
            depth_m=view.depth_m,
            person_index=view.person_index,
            world_from_camera=view.world_from_camera,
            floor_height_m=0.0,
        )

    def _statures_m(self, betas: np.ndarray) -> np.ndarray:
        shapes = torch.from_numpy(np.ascontiguousarray(betas)).to(self._body_model.device)
        return self._body_model.stature(shapes).cpu().numpy()

    def _visibility(self, vertices: np.ndarray, view: ViewTruth) -> tuple[np.ndarray, np.ndarray]:
        """Share of each body within the image, and of that where the image shows the person."""
        camera = view.intrinsics
        pixels = np.rint(project_px(vertices, camera))
        inside = is_inside(pixels, camera) & (vertices[..., 2] > NEAR_M)
        u = np.clip(pixels[..., 0], 0, camera.width_px - 1).astype(int)
        v = np.clip(pixels[..., 1], 0, camera.height_px - 1).astype(int)
        shown = inside & (view.person_index[v, u] == view.people.person_ids[:, None])
        inside_share = inside @ self._vertex_shares
        return inside_share, shown @ self._vertex_shares / np.maximum(inside_share, 1e-9)


def project_px(points_camera: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Pixels (..., 2) of points (..., 3) in the camera frame; those behind it are far outside."""
    points = np.asarray(points_camera, np.float64)
    depth = np.maximum(points[..., 2], NEAR_M)
    u = camera.fx * points[..., 0] / depth + camera.cx
    v = camera.fy * points[..., 1] / depth + camera.cy
    return np.stack([u, v], axis=-1)


def is_inside(pixels: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Whether pixels (..., 2) lie on the image."""
    u, v = np.rint(pixels[..., 0]), np.rint(pixels[..., 1])
    return (u >= 0) & (u < camera.width_px) & (v >= 0) & (v < camera.height_px)


def _vertex_shares(body_model: BodyModel) -> np.ndarray:
    """(vertices,) share of the body's surface around each vertex: faces and hands have many."""
    with torch.inference_mode():
        rest = body_model(
            torch.eye(3).expand(1, NUM_ROTATIONS, 3, 3),
            torch.zeros(1, NUM_BETAS),
            torch.zeros(1, NUM_EXPRESSIONS),
            torch.zeros(1, 3),
        )
    corners = rest.vertices[0].cpu().numpy()[body_model.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.repeat(np.linalg.norm(normals, axis=-1), 3)
    shares = np.bincount(body_model.faces.ravel(), areas, minlength=body_model.num_vertices)
    return shares / shares.sum()
