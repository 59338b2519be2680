"""The fit itself, damped Gauss-Newton over pose, place, shape and the landmarks' own size.

Unknown per person: 22 small turns (66), place of the pelvis (3), shape (10), and the size of the
world landmarks (1), which know proportions but not stature. All people of an image at once, with
analytic derivatives and a fixed number of steps.

``LandmarkBody`` is the body model as the fit needs it: 22 joints and the landmarks, with their
derivatives. Joints and landmarks are linear functions of shape in the rest pose, and each moves
rigidly with one of the 22 joints of trunk and limbs. For joints this is the body model itself; for
landmarks on the skin it leaves out how skin bends near a joint.

The normal equations at the end also say how sure a body's pose is. They know which directions the
landmarks leave open: depth more than the image plane, turns about the long axis more than tilts,
everything where little is seen. Landmarks err together (one wrong guess moves many), which the fit
does not know; four factors, measured on data with known truth, make up for that. Where landmarks
contradict each other more than usual, all standard deviations but that of the stature grow with the
misfit (Birge's ratio).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg.lapack import dposv  # pyright: ignore[reportAttributeAccessIssue]

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.body.layout import NUM_BETAS, NUM_EXPRESSIONS
from human3r.errors import BodyModelError
from human3r.people.fit.prior import LandmarkPrior
from human3r.people.fit.rotations import cross_matrices, matrices, vector_slopes, vectors

NUM_JOINTS = 22
"""Pelvis, trunk, head and limbs to the wrists: what landmarks say something about."""
NUM_LANDMARKS = 33
NUM_TURNS = 3 * NUM_JOINTS
LEFT_HIP, RIGHT_HIP = 23, 24
"""Landmarks, of the 33."""

LANDMARK_POINTS: tuple[str | None, ...] = (
    *("nose", None, "left_eye", None, None, "right_eye", None, "left_ear", "right_ear"),
    *("left_mouth_1", "right_mouth_1", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky1", "right_pinky1"),
    *("left_index1", "right_index1", "left_thumb2", "right_thumb2", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel"),
    *("left_big_toe", "right_big_toe"),
)
"""The body model's joint or landmark nearest to each landmark; None where two would coincide."""

SWAPPED: tuple[int, ...] = (
    *(0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9),
    *(index + (1 if index % 2 else -1) for index in range(11, NUM_LANDMARKS)),
)
"""The landmark of the other side."""


@dataclass(frozen=True)
class Posed:
    """Bodies in the camera's axes, the pelvis at the origin."""

    rotations: np.ndarray
    """(people, 22, 3, 3): joint to camera."""
    joints: np.ndarray
    """(people, 22, 3) metres."""
    marks: np.ndarray
    """(people, 2 * marks, 3) metres: where the used landmarks lie in the image, then where those of
    the world landmarks lie; the network does not put both at the same point of a body."""


class LandmarkBody:
    """Poses joints and landmarks of many people, with derivatives; float64."""

    def __init__(
        self,
        model: BodyModel,
        image_offsets: np.ndarray | None = None,
        world_offsets: np.ndarray | None = None,
    ) -> None:
        """Read off a body model.

        Args:
            model: any in the SMPL-X layout; landmarks it does not name are not used.
            image_offsets: (33, 3) metres, where landmarks in the image lie beside the model's
                points, in the axes of the joint they move with; none by default.
            world_offsets: the same of world landmarks.

        Raises:
            BodyModelError: the model lacks points that every fit needs.
        """
        names = list(model.joint_names)
        rows = {i: names.index(n) for i, n in enumerate(LANDMARK_POINTS) if n in names}
        missing = {11, 12, LEFT_HIP, RIGHT_HIP} - set(rows)
        if missing:
            raise BodyModelError(
                f"body model {model.name} has no {LANDMARK_POINTS[min(missing)]}; expected the "
                "joints of SMPL-X. Use the free body, or a model in the SMPL-X layout."
            )
        self.used = np.array(sorted(rows))
        """Which of the 33 landmarks are fitted."""
        self.num_marks = len(self.used)
        self.hips = np.searchsorted(self.used, [LEFT_HIP, RIGHT_HIP])
        """Rows of ``used``."""
        self.parents = np.array(skeleton.JOINT_PARENTS[:NUM_JOINTS])
        none = np.zeros((NUM_LANDMARKS, 3))
        given = (none if o is None else o for o in (image_offsets, world_offsets))
        offsets = np.concatenate([o[self.used] for o in given])
        self._read(model, [rows[i] for i in self.used] * 2, offsets)
        self._find_chains()

    def _read(self, model: BodyModel, rows: list[int], offsets: np.ndarray) -> None:
        places = _rest_places(model)
        slopes = (places[1:] - places[0]).transpose(1, 2, 0)
        parents = np.maximum(self.parents, 0)
        self._bones = places[0, :NUM_JOINTS] - places[0, parents]
        self._bone_slopes = slopes[:NUM_JOINTS] - slopes[parents]
        self.anchors = np.array([_anchor(row, model.joint_parents) for row in rows])
        """Joint each mark moves with."""
        self._marks = places[0, rows] - places[0, self.anchors] + offsets
        self._mark_slopes = slopes[rows] - slopes[self.anchors]
        betas = torch.cat([torch.zeros(1, NUM_BETAS), torch.eye(NUM_BETAS)])
        statures = model.stature(betas).cpu().numpy().astype(float)
        self._stature, self._stature_slopes = statures[0], statures[1:] - statures[0]

    def _find_chains(self) -> None:
        chain = np.eye(NUM_JOINTS, dtype=bool)
        for joint in range(1, NUM_JOINTS):
            chain[joint] |= chain[self.parents[joint]]
        self._chain = chain.astype(float)
        self._marks_of_joint = self._chain[self.anchors]
        self._is_turned = np.repeat(self._marks_of_joint, 3, axis=1)[:, None]

    def stature(self, betas: np.ndarray) -> np.ndarray:
        """(people,) metres, to first order in the shape (people, 10)."""
        return self._stature + betas @ self._stature_slopes

    def betas_of_stature(self, stature_m: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """Shapes (people, 10) with the first coefficient changed so that the stature is right."""
        changed = betas.copy()
        changed[:, 0] += (stature_m - self.stature(betas)) / self._stature_slopes[0]
        return changed

    def pose(self, rotations: np.ndarray, betas: np.ndarray) -> Posed:
        """Joints and landmarks.

        Args:
            rotations: (people, 22, 3, 3), child in parent, the root to the camera.
            betas: (people, 10).
        """
        people = len(rotations)
        bones = self._bones + (betas @ self._bone_slopes.reshape(-1, NUM_BETAS).T).reshape(
            people, NUM_JOINTS, 3
        )
        world = np.empty_like(rotations)
        world[:, 0] = rotations[:, 0]
        for joints_of_level, parents in _LEVELS:
            world[:, joints_of_level] = world[:, parents] @ rotations[:, joints_of_level]
        steps = (world[:, self.parents[1:]] @ bones[:, 1:, :, None])[..., 0]
        joints = self._chain[:, 1:] @ steps
        local = self._marks + (betas @ self._mark_slopes.reshape(-1, NUM_BETAS).T).reshape(
            people, -1, 3
        )
        marks = joints[:, self.anchors] + (world[:, self.anchors] @ local[..., None])[..., 0]
        return Posed(world, joints, marks)

    def slopes(self, posed: Posed) -> tuple[np.ndarray, np.ndarray]:
        """How landmarks move.

        Returns:
            (people, 2 * marks, 3, 66) by small turns of the 22 joints, applied after their
            rotation in their own axes; (people, 2 * marks, 3, 10) by shape.
        """
        people, marks = posed.marks.shape[:2]
        # A mark at m turns about a joint at j by (j - m) x axis, for all pairs at once.
        axes = posed.rotations.swapaxes(1, 2).reshape(people, 3, NUM_TURNS)
        about_joints = cross_matrices(posed.joints) @ posed.rotations
        about_joints = about_joints.swapaxes(1, 2).reshape(people, 1, 3, NUM_TURNS)
        turns = cross_matrices(-posed.marks).reshape(people, 3 * marks, 3) @ axes
        turns = turns.reshape(people, marks, 3, NUM_TURNS)
        turns += about_joints
        turns *= self._is_turned
        steps = np.zeros((people, NUM_JOINTS, 3, NUM_BETAS))
        steps[:, 1:] = posed.rotations[:, self.parents[1:]] @ self._bone_slopes[1:]
        shape = self._marks_of_joint @ steps.reshape(people, NUM_JOINTS, -1)
        shape = shape.reshape(people, marks, 3, NUM_BETAS)
        return turns, shape + posed.rotations[:, self.anchors] @ self._mark_slopes


def _rest_places(model: BodyModel) -> np.ndarray:
    """(11, joints, 3) float64: rest pose of the mean shape, then of each coefficient at one."""
    betas = torch.cat([torch.zeros(1, NUM_BETAS), torch.eye(NUM_BETAS)]).to(model.device)
    still = torch.eye(3).expand(len(betas), skeleton.NUM_ROTATIONS, 3, 3).to(model.device)
    expression = torch.zeros(len(betas), NUM_EXPRESSIONS, device=model.device)
    with torch.inference_mode():
        heads = model.rest_joints(betas)[:, skeleton.HEAD]
        joints = model(still, betas, expression, heads).joints
    return joints.cpu().numpy().astype(np.float64)


def _anchor(row: int, parents: tuple[int, ...]) -> int:
    """Of the 22 joints the one that a joint or landmark of the body model moves with."""
    while row >= NUM_JOINTS:
        row = parents[row]
    return row


def _level(joints: tuple[int, ...]) -> tuple[slice, np.ndarray]:
    """Joints as far from the root as each other, which follow one another, and their parents."""
    ours = [joint for joint in joints if joint < NUM_JOINTS]
    rows = slice(ours[0], ours[-1] + 1)
    return rows, np.array(skeleton.JOINT_PARENTS[rows])


_LEVELS = tuple(_level(joints) for joints in skeleton.levels()[1:] if min(joints) < NUM_JOINTS)


TURNS = slice(0, NUM_TURNS)
PLACE = slice(NUM_TURNS, NUM_TURNS + 3)
SHAPE = slice(NUM_TURNS + 3, NUM_TURNS + 3 + NUM_BETAS)
SIZE = NUM_TURNS + 3 + NUM_BETAS
NUM_UNKNOWN = SIZE + 1
_POSE = slice(3, NUM_TURNS)
_BLOCK_ROWS = np.arange(NUM_TURNS).reshape(NUM_JOINTS, 3, 1)
_BLOCK_COLUMNS = _BLOCK_ROWS.swapaxes(1, 2)
"""Entries of a matrix where each joint's turn meets itself: (22, 3, 3) when combined."""
_NEAREST_M, _FARTHEST_M = 0.3, 200.0
_FRONT_M = 0.1
_MAX_TURN_RAD, _MAX_BETA = 0.8, 0.5
_SIZES = (0.3, 3.0)
_FIRST_DAMPING, _LESS, _MORE = 1e-3, 0.4, 6.0

_NEAREST_ORIGIN_M = 0.1


@dataclass(frozen=True)
class FitSettings:
    """What the fit trusts how much; weights are inverse standard deviations."""

    steps: int = 4
    pose_weight: float = 1.2
    """Of the pose prior."""
    shape_weight: float = 3.0
    """Per shape coefficient, about the given shape."""
    size_sigma: float = 0.3
    """Of the size of world landmarks."""
    robust: float = 2.5
    """Standard deviations beyond which a landmark counts less and less."""


@dataclass(frozen=True)
class Evidence:
    """What is known of the people of one image; people on the first axis of everything."""

    rays: np.ndarray
    """(people, marks, 2) directions of landmarks at depth 1."""
    ray_weights: np.ndarray
    """(people, marks) inverse standard deviations of ``rays``; 0 where nothing is known."""
    world: np.ndarray
    """(people, marks, 3) metres about the hips, axes of a camera that looks at the person."""
    world_weights: np.ndarray
    """(people, marks, 3) inverse standard deviations in those axes; 0 where nothing is known."""
    camera_from_view: np.ndarray
    """(people, 3, 3): those axes to the camera's."""
    betas: np.ndarray
    """(people, 10) the shape to expect."""
    rotations: np.ndarray
    """(people, 22, 3, 3) the pose to expect, as in ``Bodies``."""
    rotation_weights: np.ndarray
    """(people, 22) inverse standard deviations of ``rotations``, 1/rad; 0: expect nothing."""


@dataclass(frozen=True)
class Bodies:
    """Where the fit stands; people on the first axis."""

    rotations: np.ndarray
    """(people, 22, 3, 3) child in parent, the root to the camera."""
    places: np.ndarray
    """(people, 3) metres: the pelvis, camera frame."""
    betas: np.ndarray
    """(people, 10)."""
    sizes: np.ndarray
    """(people,) true size over that of the world landmarks."""

    def where(self, condition: np.ndarray, other: "Bodies") -> "Bodies":
        """These people where a condition (people,) holds, the other ones elsewhere."""
        return Bodies(*(_where(condition, getattr(self, n), getattr(other, n)) for n in _FIELDS))


_FIELDS = tuple(Bodies.__dataclass_fields__)


@dataclass(frozen=True)
class NormalEquations:
    """The cost at some bodies, its gradient and Gauss-Newton's matrix."""

    cost: np.ndarray
    """(people,) sum of squares, robust for landmarks."""
    hessian: np.ndarray
    """(people, 80, 80)."""
    gradient: np.ndarray
    """(people, 80)."""

    def where(self, condition: np.ndarray, other: "NormalEquations") -> "NormalEquations":
        """As ``Bodies.where``."""
        names = ("cost", "hessian", "gradient")
        pairs = ((getattr(self, n), getattr(other, n)) for n in names)
        return NormalEquations(*(_where(condition, a, b) for a, b in pairs))


@dataclass(frozen=True)
class Fitted:
    """The best bodies found and the normal equations there."""

    bodies: Bodies
    equations: NormalEquations


def fit(
    body: LandmarkBody,
    prior: LandmarkPrior,
    evidence: Evidence,
    start: Bodies,
    settings: FitSettings,
) -> Fitted:
    """Improve bodies by a fixed number of steps; none ends worse than it began.

    Args:
        body: how joints and landmarks move.
        prior: of poses.
        evidence: of this image.
        start: where to begin.
        settings: weights and the number of steps.

    Source: Levenberg 1944, Marquardt 1963; robust by Cauchy's (Lorentzian) cost, re-weighted.
    """
    best, bodies = start, start
    equations = normal_equations(body, prior, evidence, start, settings)
    damping = np.full(len(start.places), _FIRST_DAMPING)
    for _ in range(settings.steps):
        bodies = _moved(best, _solve(equations, damping))
        here = normal_equations(body, prior, evidence, bodies, settings)
        is_better = here.cost <= equations.cost
        damping = np.where(is_better, damping * _LESS, damping * _MORE)
        if is_better.all():
            best, equations = bodies, here
        else:
            best, equations = bodies.where(is_better, best), here.where(is_better, equations)
    return Fitted(best, equations)


def normal_equations(
    body: LandmarkBody,
    prior: LandmarkPrior,
    evidence: Evidence,
    bodies: Bodies,
    settings: FitSettings,
) -> NormalEquations:
    """Cost, gradient and Gauss-Newton's matrix at some bodies; arguments as in ``fit``."""
    posed = body.pose(bodies.rotations, bodies.betas)
    residuals = _landmark_residuals(body, evidence, bodies, posed)
    cost, weight = _robust(residuals, settings.robust)
    residuals *= weight
    jacobian = _landmark_slopes(body, evidence, bodies, posed, weight)
    transposed = jacobian.swapaxes(1, 2)
    by_row = np.concatenate(
        [part.reshape(len(part), -1, 1) for part in (residuals[..., :2], residuals[..., 2:])], 1
    )
    equations = NormalEquations(cost, transposed @ jacobian, (transposed @ by_row)[..., 0])
    return _with_priors(equations, prior, evidence, bodies, settings)


@dataclass(frozen=True)
class CovarianceFactors:
    """What to multiply the fit's own standard deviations with.

    The defaults were measured on synthetic sequences (split ``val``, easy and hard together): with
    them about two thirds of the errors lie within one standard deviation.
    """

    along: float = 0.5
    """Place along the ray from the camera, the doubt about stature aside."""
    across: float = 1.5
    turn: float = 1.6
    """About the body's long axis."""
    tilt: float = 1.1
    """About the axes across that."""
    usual_misfit: float = 0.42
    """Median of ``FittedPerson.misfit``: sigmas grow with what is above it. Below, errors were not
    smaller."""


def pose_covariances(
    fitted: Fitted,
    posed_rotations: np.ndarray,
    hips: np.ndarray,
    stature_sigmas: np.ndarray,
    misfits: np.ndarray,
    factors: CovarianceFactors,
) -> np.ndarray:
    """(people, 6, 6) of the body's origin and rotation in the camera frame, as ROS orders them.

    Rotations are small, about the camera's axes, applied after the estimate; the origin lies
    midway between the hip joints.

    Args:
        fitted: bodies and the normal equations there.
        posed_rotations: (people, 3, 3) of the root, body to camera.
        hips: (people, 3) metres from the pelvis to the origin, camera axes.
        stature_sigmas: (people,) relative standard deviations of the stature.
        misfits: (people,) as of ``FittedPerson``.
        factors: calibration.
    """
    hessian = fitted.equations.hessian
    rows = np.r_[PLACE, TURNS.start : TURNS.start + 3]
    # Six columns of the inverse.
    covariance = np.linalg.solve(hessian, np.eye(hessian.shape[-1])[:, rows])[:, rows]
    people = len(covariance)
    to_camera = np.zeros((people, 6, 6))
    to_camera[:, :3, :3] = np.eye(3)
    to_camera[:, :3, 3:] = -cross_matrices(hips) @ posed_rotations
    to_camera[:, 3:, 3:] = posed_rotations
    covariance = to_camera @ covariance @ to_camera.swapaxes(1, 2)
    origins = fitted.bodies.places + hips
    scaled = _scaled(covariance, origins, posed_rotations[:, :, 1], factors)
    scaled *= np.maximum(1.0, misfits / factors.usual_misfit)[:, None, None] ** 2
    along = origins * stature_sigmas[:, None]
    scaled[:, :3, :3] += along[:, :, None] * along[:, None]
    return scaled


def _landmark_residuals(
    body: LandmarkBody, evidence: Evidence, bodies: Bodies, posed: Posed
) -> np.ndarray:
    """Whitened residuals (people, marks, 5).

    The first two of each mark are those in the image, the other three those of world landmarks.
    """
    people, marks = len(posed.marks), body.num_marks
    residuals = np.empty((people, marks, 5))
    seen, _ = _seen(posed.marks[:, :marks] + bodies.places[:, None])
    residuals[..., :2] = (seen - evidence.rays) * evidence.ray_weights[..., None]
    points = posed.marks[:, marks:]
    points = points - _middle(points, body.hips)
    # Rows times a matrix: the inverse rotation.
    in_view = points @ evidence.camera_from_view
    in_view -= bodies.sizes[:, None, None] * evidence.world
    residuals[..., 2:] = in_view * evidence.world_weights
    return residuals


def _landmark_slopes(
    body: LandmarkBody, evidence: Evidence, bodies: Bodies, posed: Posed, weight: np.ndarray
) -> np.ndarray:
    """Derivatives (people, 5 * marks, 80) of the residuals, each times its weight.

    Those in the image come first, two for each mark, then those of world landmarks.
    """
    people, marks = len(posed.marks), body.num_marks
    jacobian = np.zeros((people, 5 * marks, NUM_UNKNOWN))
    in_image = jacobian[:, : 2 * marks].reshape(people, marks, 2, NUM_UNKNOWN)
    in_world = jacobian[:, 2 * marks :].reshape(people, marks, 3, NUM_UNKNOWN)

    seen, inverse_depth = _seen(posed.marks[:, :marks] + bodies.places[:, None])
    scales = evidence.ray_weights[..., None] * weight[..., :2] * inverse_depth
    to_image = np.zeros((people, marks, 2, 3))
    to_image[..., 0, 0], to_image[..., 1, 1] = scales[..., 0], scales[..., 1]
    to_image[..., 2] = -seen * scales
    in_image[..., PLACE] = to_image

    scales = evidence.world_weights * weight[..., 2:]
    to_view = scales[..., None] * evidence.camera_from_view.swapaxes(1, 2)[:, None]
    in_world[..., SIZE] = -scales * evidence.world

    for columns, moves in zip((TURNS, SHAPE), body.slopes(posed), strict=True):
        in_image[..., columns] = to_image @ moves[:, :marks]
        about_hips = moves[:, marks:]
        about_hips -= _middle(about_hips, body.hips)
        in_world[..., columns] = to_view @ about_hips
    return jacobian


def _middle(values: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(people, 1, ...) mean of two rows of values (people, rows, ...)."""
    first, second = two
    return ((values[:, first] + values[:, second]) / 2)[:, None]


def _seen(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (..., 2) at depth 1 of points (..., 3), and inverse depths (..., 1)."""
    inverse_depth = 1 / np.maximum(points[..., 2:], _FRONT_M)
    return points[..., :2] * inverse_depth, inverse_depth


def _robust(residuals: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Cost (people,) and what to multiply residuals (people, marks, 5) with.

    A mark counts separately in the image and in the world.
    """
    cost, weights = 0.0, []
    for part in (residuals[..., :2], residuals[..., 2:]):
        bound = part.shape[-1] * limit**2
        share = (part**2).sum(-1, keepdims=True) / bound
        cost = cost + bound * np.log1p(share).sum((1, 2))
        weights.append(np.broadcast_to(1 / (1 + share), part.shape))
    return cost, np.sqrt(np.concatenate(weights, -1))


def _with_priors(
    equations: NormalEquations,
    prior: LandmarkPrior,
    evidence: Evidence,
    bodies: Bodies,
    settings: FitSettings,
) -> NormalEquations:
    """The same with what is expected of pose, shape and size."""
    cost = equations.cost.copy()
    hessian, gradient = equations.hessian, equations.gradient
    rotations, joints = bodies.rotations[:, 1:], NUM_JOINTS - 1
    is_expecting = bool(evidence.rotation_weights.any())
    if is_expecting:
        turned = evidence.rotations.swapaxes(-1, -2) @ bodies.rotations
        rotations = np.concatenate([rotations, turned], 1)
    turns = vectors(rotations)
    slopes = vector_slopes(turns)
    cost += _add_pose(
        hessian,
        gradient,
        prior.pose_whitening * settings.pose_weight,
        turns[:, :joints].reshape(len(cost), -1) - prior.pose_mean,
        slopes[:, :joints],
    )
    if is_expecting:
        weights = evidence.rotation_weights[..., None]
        cost += _add_expected(
            hessian, gradient, turns[:, joints:] * weights, slopes[:, joints:] * weights[..., None]
        )
    diagonal = np.arange(NUM_UNKNOWN)
    change = (bodies.betas - evidence.betas) * settings.shape_weight
    hessian[:, diagonal[SHAPE], diagonal[SHAPE]] += settings.shape_weight**2
    gradient[:, SHAPE] += change * settings.shape_weight
    size = (bodies.sizes - 1) / settings.size_sigma
    hessian[:, SIZE, SIZE] += 1 / settings.size_sigma**2
    gradient[:, SIZE] += size / settings.size_sigma
    cost += (change**2).sum(1) + size**2
    return NormalEquations(cost, hessian, gradient)


def _add_pose(
    hessian: np.ndarray,
    gradient: np.ndarray,
    whitening: np.ndarray,
    off: np.ndarray,
    slopes: np.ndarray,
) -> np.ndarray:
    """Adds the prior of poses in place.

    Args:
        hessian: (people, 80, 80).
        gradient: (people, 80).
        whitening: (63, 63), weighted.
        off: (people, 63) rotation vectors less their mean.
        slopes: (people, 21, 3, 3) of the rotation vectors by small turns.

    Returns:
        Its cost (people,).
    """
    people = len(off)
    off = off @ whitening.T
    by_joint = whitening.reshape(63, 21, 3).transpose(1, 0, 2)
    jacobian = (by_joint @ slopes).transpose(0, 2, 1, 3).reshape(people, 63, 63)
    hessian[:, _POSE, _POSE] += jacobian.swapaxes(1, 2) @ jacobian
    gradient[:, _POSE] += (off[:, None] @ jacobian)[:, 0]
    return (off**2).sum(1)


def _add_expected(
    hessian: np.ndarray, gradient: np.ndarray, off: np.ndarray, slopes: np.ndarray
) -> np.ndarray:
    """Adds what the frame before lets expect, in place; its cost (people,).

    Args:
        hessian: (people, 80, 80).
        gradient: (people, 80).
        off: (people, 22, 3) turns from the expected rotations, weighted.
        slopes: (people, 22, 3, 3) of these by small turns, weighted.
    """
    transposed = slopes.swapaxes(-1, -2)
    hessian[:, _BLOCK_ROWS, _BLOCK_COLUMNS] += transposed @ slopes
    gradient[:, TURNS] += (transposed @ off[..., None]).reshape(len(off), NUM_TURNS)
    return (off**2).sum((1, 2))


def _solve(equations: NormalEquations, damping: np.ndarray) -> np.ndarray:
    """(people, 80) steps."""
    hessian = equations.hessian.copy()
    diagonal = np.arange(NUM_UNKNOWN)
    hessian[:, diagonal, diagonal] *= 1 + damping[:, None]
    hessian[:, diagonal, diagonal] += 1e-6
    return np.stack([_solved(h, -g) for h, g in zip(hessian, equations.gradient, strict=True)])


def _solved(hessian: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solution of a symmetric positive definite system, by Cholesky's decomposition."""
    # Transposed, it lies in memory as LAPACK reads it, and is the same matrix.
    _, found, trouble = dposv(hessian.T, right, overwrite_a=True)
    return np.linalg.lstsq(hessian, right)[0] if trouble else found


def _moved(bodies: Bodies, step: np.ndarray) -> Bodies:
    """Bodies after a bounded step."""
    turns = np.clip(step[:, TURNS], -_MAX_TURN_RAD, _MAX_TURN_RAD).reshape(len(step), -1, 3)
    places = bodies.places + step[:, PLACE]
    places[:, 2] = np.clip(places[:, 2], _NEAREST_M, _FARTHEST_M)
    return replace(
        bodies,
        rotations=bodies.rotations @ matrices(turns),
        places=places,
        betas=bodies.betas + np.clip(step[:, SHAPE], -_MAX_BETA, _MAX_BETA),
        sizes=np.clip(bodies.sizes + step[:, SIZE], *_SIZES),
    )


def _where(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b)


def _scaled(
    covariance: np.ndarray, origins: np.ndarray, long_axes: np.ndarray, factors: CovarianceFactors
) -> np.ndarray:
    distances = np.linalg.norm(origins, axis=1, keepdims=True)
    scale = np.zeros_like(covariance)
    scale[:, :3, :3] = _about(
        origins / np.maximum(distances, _NEAREST_ORIGIN_M), factors.along, factors.across
    )
    scale[:, 3:, 3:] = _about(long_axes, factors.turn, factors.tilt)
    return scale @ covariance @ scale.swapaxes(1, 2)


def _about(axes: np.ndarray, along: float, across: float) -> np.ndarray:
    """(people, 3, 3) that stretch by one factor along an axis and by another across it."""
    projection = axes[:, :, None] * axes[:, None]
    return along * projection + across * (np.eye(3) - projection)
