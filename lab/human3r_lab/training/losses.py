"""What training lowers: how far the network's answers are from the truth.

Source: Human3R, arXiv 2510.06219; pointmaps as in DUSt3R, arXiv 2312.14132, and CUT3R,
arXiv 2501.12387; detection as in CenterNet, arXiv 1904.07850.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from human3r.body.skeleton import PELVIS
from human3r.geometry import pose_from_matrix
from human3r.streaming.preprocess import pad_to_square
from human3r_lab.training.batches import Batch
from human3r_lab.training.body_points import BodyPoints
from human3r_lab.training.forward import (
    HumanBranch,
    PeoplePredictions,
    Predictions,
    normalised,
    planar_length,
)
from human3r_lab.training.hints import DenseHints, hint_loss

_LEAST_SCALE, _LEAST_WEIGHT = 1e-3, 1e-3
_MASK_LEVEL = 0.1
_USUAL_STEP_M, _USUAL_TURN_RAD = 0.3, 0.1
"""How far cameras move and turn within a window."""
_FOCAL_EPS = 1e-7
_NEAREST_M = 0.1
"""Predicted points nearer than this are projected as if they lay there."""


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts; the defaults are the published ones."""

    points: float = 2.0
    """Both pointmaps."""
    confidence: float = 0.2
    """Reward of confidence, per logarithm, within ``points``: confidences settle at this over the
    error of a point in the scale of the scene, but never below 1."""
    pose: float = 1.0
    motion: float = 0.0
    """Camera poses too, but squared and in usual sizes of motion; not published."""
    rgb: float = 1.0
    mask: float = 1.0
    detection: float = 0.1
    offset: float = 0.0
    """Head within its token; the published recipe takes that part ready-made."""
    rotations: float = 1.0
    translation: float = 1.0
    direction: float = 0.0
    """Where the head is in the picture, however far away; not published."""
    betas: float = 0.1
    joints_relative: float = 1.0
    vertices_relative: float = 1.0
    joints: float = 1.0
    vertices: float = 1.0
    joints_2d: float = 0.01
    vertices_2d: float = 0.01
    gate_2d_m: float = 1.0
    """The 2D losses count only while the vertices are nearer than this to the true ones."""
    sky: float = 0.0
    """Confidence where there is no depth; the published data has no sky."""
    hints: float = 0.0
    """What every token says about its person, see ``training.hints``; not published."""

    def of(self, name: str) -> float:
        """The weight of a loss by its name."""
        return float(getattr(self, name))


def compute_losses(
    predicted: HumanBranch,
    batch: Batch,
    body: BodyPoints,
    weights: LossWeights,
    hints: DenseHints | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The weighted sum, and each loss before its weight.

    Args:
        predicted: of the network; of its human branch alone, only what that says counts.
        batch: the truth.
        body: of the people in it.
        weights: of each loss.
        hints: asks every token about its person; None: no such loss.
    """
    terms = human_branch_losses(predicted, batch)
    if hints is not None:
        terms["hints"] = hint_loss(hints, predicted.appearance, batch, body)
    if isinstance(predicted, Predictions):
        terms |= scene_losses(predicted, batch, weights.confidence)
    if isinstance(predicted, PeoplePredictions):
        terms |= people_losses(predicted, batch, body)
        near = (terms["vertices"].detach() < weights.gate_2d_m).to(torch.float32)
        terms["joints_2d"], terms["vertices_2d"] = (
            terms["joints_2d"] * near,
            terms["vertices_2d"] * near,
        )
    # An unweighted term may be infinite, so it is left out instead of multiplied by zero.
    used = [weights.of(name) * term for name, term in terms.items() if weights.of(name)]
    return torch.stack(used).sum(), {name: term.detach() for name, term in terms.items()}


def scene_losses(
    predicted: Predictions, batch: Batch, reward: float = LossWeights.confidence
) -> dict[str, Tensor]:
    """Pointmaps, camera pose, confidence of the sky, the repeated image where it was made."""
    valid = batch.depth_m > 0
    truth_self = camera_points(batch.depth_m, batch.camera)
    chosen = list(predicted.world_views)
    truth_world = _moved(truth_self[:, chosen], batch.first_from_camera[:, chosen])
    maps = (
        (predicted.points_self, predicted.confidence_self, truth_self, valid),
        (predicted.points_world, predicted.confidence_world, truth_world, valid[:, chosen]),
    )
    scale = _scene_scale([answer_and_truth[1:] for answer_and_truth in maps])
    points = torch.stack(
        [
            _mean_over_views(_confident_distance(points, confidence, truth, scale, reward), known)
            for points, confidence, truth, known in maps
        ]
    ).mean()
    pose = pose_from_matrix(batch.first_from_camera)
    translation = (predicted.camera_pose[..., :3] - pose[..., :3]) / scale[:, None, None]
    rotation = predicted.camera_pose[..., 3:] - pose[..., 3:]
    # Squared, since a distance has its least mean at no motion as long as none can be seen.
    metres = predicted.camera_pose[..., :3] - pose[..., :3]
    motion = (metres / _USUAL_STEP_M).square().sum(-1).mean()
    motion = motion + (2 * rotation / _USUAL_TURN_RAD).square().sum(-1).mean()
    sky = ~valid
    terms = {
        "points": points,
        "motion": motion,
        "pose": translation.norm(dim=-1).mean() + rotation.norm(dim=-1).mean(),
        "sky": (predicted.confidence_self.log() * sky).sum() / sky.sum().clamp_min(1),
    }
    if predicted.rgb is not None:
        terms["rgb"] = F.mse_loss(predicted.rgb, normalised(batch.image))
    return terms


def camera_points(
    depth_m: Float[Tensor, "batch views height width"], camera: Float[Tensor, "batch views 4"]
) -> Float[Tensor, "batch views 3 height width"]:
    """Points in the camera frame, metres; zeros where there is no depth."""
    height, width = depth_m.shape[-2:]
    fx, fy, cx, cy = (number[..., None, None] for number in camera.unbind(-1))
    u = torch.arange(width, device=depth_m.device, dtype=torch.float32)
    v = torch.arange(height, device=depth_m.device, dtype=torch.float32)[:, None]
    return torch.stack((depth_m * ((u - cx) / fx), depth_m * ((v - cy) / fy), depth_m), dim=2)


def _moved(points: Tensor, a_from_b: Tensor) -> Tensor:
    """Points [batch, views, 3, height, width] in another frame."""
    flat = points.flatten(3)
    moved = a_from_b[..., :3, :3] @ flat + a_from_b[..., :3, 3:]
    return moved.view_as(points)


def _mean_over_views(
    error: Float[Tensor, "batch views height width"],
    known: Bool[Tensor, "batch views height width"],
) -> Float[Tensor, ""]:
    """Mean over the known pixels of each view, then over the views."""
    counts = known.sum(dim=(0, 2, 3)).clamp_min(1)
    return ((error * known).sum(dim=(0, 2, 3)) / counts).mean()


@torch.no_grad()
def _scene_scale(maps: list[tuple[Tensor, Tensor, Tensor]]) -> Float[Tensor, " batch"]:
    """Mean distance of the true points of a window, weighted by predicted confidence, metres.

    Args:
        maps: predicted confidence, true points, and where they are known.
    """
    total, weights = 0.0, 0.0
    for confidence, truth, known in maps:
        weight = confidence.log().clamp_min(_LEAST_WEIGHT) * known
        total = total + (weight * planar_length(truth)).flatten(1).sum(1)
        weights = weights + weight.flatten(1).sum(1)
    return (total / weights.clamp_min(1e-8)).clamp_min(_LEAST_SCALE)  # pyright: ignore[reportAttributeAccessIssue]


def _confident_distance(
    points: Tensor, confidence: Tensor, truth: Tensor, scale: Tensor, reward: float
) -> Float[Tensor, "batch views height width"]:
    distance = planar_length(points - truth) / scale[:, None, None, None]
    return confidence * distance - reward * confidence.log()


def human_branch_losses(predicted: HumanBranch, batch: Batch) -> dict[str, Tensor]:
    """Person mask, head detection, and the place of heads within their tokens."""
    side = predicted.mask_logits.shape[-1]
    person = batch.is_person.flatten(0, 1)[:, None].float()
    # The padding of images is black, -1; that of masks must be no person, 0.
    padded = (pad_to_square(person * 2 - 1, side) + 1) / 2
    person = (padded > _MASK_LEVEL).float().view_as(predicted.mask_logits)
    share = _person_shares(batch)[..., None]
    return {
        "mask": F.binary_cross_entropy_with_logits(predicted.mask_logits, person),
        "detection": focal_loss(predicted.detection_logits.sigmoid(), head_map(predicted, batch)),
        "offset": ((predicted.offset - batch.offset).abs() * share).sum() / 2,
    }


def _person_shares(batch: Batch) -> Float[Tensor, "batch views people"]:
    """Weights of a mean over the people of a view, then over the views; 0 for absent ones."""
    present = batch.is_present
    return present / present.sum(dim=(0, 2), keepdim=True).clamp_min(1) / present.shape[1]


def head_map(predicted: HumanBranch, batch: Batch) -> Float[Tensor, "batch views tokens"]:
    """1 at the tokens with a head in them, else 0."""
    truth = torch.zeros_like(predicted.detection_logits)
    return truth.scatter_reduce(2, batch.head_index, batch.is_present.float(), "amax")


def focal_loss(
    probability: Float[Tensor, "*shape"], truth: Float[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Detection loss of heads that are there (1) or not (0), per head that is there."""
    p = probability.clamp(_FOCAL_EPS, 1 - _FOCAL_EPS)
    hits = (1 - p).square() * p.log() * truth
    others = p.square() * (1 - p).log() * (1 - truth)
    return -(hits.sum() + others.sum()) / truth.sum().clamp_min(1)


def people_losses(
    predicted: PeoplePredictions, batch: Batch, body: BodyPoints
) -> dict[str, Tensor]:
    """Everything about bodies: L1, mean over the people of a view, then over the views."""
    people, present = predicted.people, batch.is_present
    # Only people who exist are posed; which those are is known on the host as well as here.
    index = present.flatten().nonzero().squeeze(1)
    share = _person_shares(batch).flatten()[index]

    def chosen(value: Tensor) -> Tensor:
        return value.flatten(0, 2)[index]

    guess = {name: chosen(value) for name, value in vars(people).items()}
    truth = {name: chosen(getattr(batch, name)) for name in guess}
    joints, vertices = body(**guess)
    with torch.no_grad():
        true_joints, true_vertices = body(**truth)
    # Camera, not view: the image's own calibration, one row per person.
    camera = batch.camera[:, :, None].expand(-1, -1, present.shape[2], -1)
    camera = chosen(camera)
    size = batch.depth_m.shape[-1], batch.depth_m.shape[-2]

    def mean(difference: Tensor) -> Tensor:
        return (share * difference.abs().flatten(1).mean(1)).sum()

    def mean_2d(points: Tensor, true_points: Tensor) -> Tensor:
        return (share * _pixel_distance(points, true_points, camera, size)).sum()

    pelvis, true_pelvis = joints[:, PELVIS, None], true_joints[:, PELVIS, None]
    return {
        "rotations": mean(guess["rotations"] - truth["rotations"]),
        "translation": mean(guess["head_camera"] - truth["head_camera"]),
        "direction": mean(_direction(guess["head_camera"]) - _direction(truth["head_camera"])),
        "betas": mean(guess["betas"] - truth["betas"]),
        "joints_relative": mean((joints - pelvis) - (true_joints - true_pelvis)),
        "vertices_relative": mean((vertices - pelvis) - (true_vertices - true_pelvis)),
        "joints": mean(joints - true_joints),
        "vertices": mean(vertices - true_vertices),
        "joints_2d": mean_2d(joints, true_joints),
        "vertices_2d": mean_2d(vertices, true_vertices),
    }


def _direction(points: Float[Tensor, "people 3"]) -> Float[Tensor, "people 2"]:
    """Coordinates x and y at one metre of depth."""
    return points[:, :2] / points[:, 2:].clamp_min(_NEAREST_M)


def _pixel_distance(
    points: Float[Tensor, "people points 3"],
    true_points: Float[Tensor, "people points 3"],
    camera: Float[Tensor, "people 4"],
    size_px: tuple[int, int],
) -> Float[Tensor, " people"]:
    """Mean absolute distance in pixels of points that are truly inside the image."""
    pixels, truth = _projected(points, camera), _projected(true_points, camera)
    limit = torch.tensor(size_px, device=points.device, dtype=torch.float32) - 0.5
    inside = ((truth >= -0.5) & (truth < limit)).all(-1) & (true_points[..., 2] > _NEAREST_M)
    distance = (pixels - truth).abs().mean(-1) * inside
    return distance.sum(1) / inside.sum(1).clamp_min(1)


def _projected(points: Tensor, camera: Tensor) -> Tensor:
    focal, center = camera[:, None, :2], camera[:, None, 2:]
    return points[..., :2] / points[..., 2:].clamp_min(_NEAREST_M) * focal + center
