"""Losses and stages of training CHROMM's head on features of frozen encoders.

Source: arXiv 2603.12789, as far as it is known: stage 1 trains all of the head with 3D points
(weight 5), reprojection, body parameters, mask, heads and pelvis; stage 2 the pelvis alone, with
reprojection and the distance between visible bodies and the scene's points.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from human3r.body.base import BodyMesh, BodyModel
from human3r.body.skeleton import HEAD, PELVIS
from human3r.chromm.head import ChrommHead, ChrommPeople, HumanMaps
from human3r.chromm.patch_maps import PatchMaps

_POINTS = 5.0
_SHORTEST_PX = 8.0
_STAGE_2 = ("pelvis_coarse.", "pelvis_fine.")


@dataclass(frozen=True)
class ChrommFeatures:
    """What the frozen encoders say of some images of one size."""

    scene: Float[Tensor, "images scene_tokens scene_features"]
    human: Float[Tensor, "images tokens features"]
    depth: Float[Tensor, "images height width"]
    """Of the scene, in metres as far as it knows them."""
    cameras: Float[Tensor, "images 3 3"]
    patch_maps: PatchMaps


@dataclass(frozen=True)
class ChrommTruth:
    """The people of the images."""

    image: Int[Tensor, " people"]
    rotations: Float[Tensor, "people 53 3 3"]
    betas: Float[Tensor, "people 10"]
    head_camera: Float[Tensor, "people 3"]
    mask: Bool[Tensor, "images side side"]
    """Pixels of the square that show people."""

    def mesh(self, body_model: BodyModel) -> BodyMesh:
        """Bodies in the camera frame."""
        return body_model(
            self.rotations, self.betas, torch.zeros_like(self.betas), self.head_camera
        )


def project(points: Float[Tensor, "people points 3"], cameras: Tensor) -> Tensor:
    """Places (people, points, 2) from the image's top left corner."""
    pixels = torch.einsum("pij,pnj->pni", cameras, points)
    return pixels[..., :2] / pixels[..., 2:].clamp(min=1e-3) + 0.5


def head_tokens(truth: ChrommTruth, features: ChrommFeatures) -> Tensor:
    """The human token in which each true head is."""
    head = project(truth.head_camera[:, None], features.cameras[truth.image])[:, 0]
    return features.patch_maps.human_token(head)


def stage_1_losses(
    maps: HumanMaps,
    people: ChrommPeople,
    truth: ChrommTruth,
    features: ChrommFeatures,
    body_model: BodyModel,
) -> dict[str, Tensor]:
    """Weighted losses by name; their sum is what is trained.

    Args:
        maps: of all patches.
        people: at the true heads' tokens, in the truth's order.
        truth: of the same images.
        features: of the encoders.
        body_model: of the truth.
    """
    cameras = features.cameras[truth.image]
    want = truth.mesh(body_model)
    got = body_model(
        people.rotations, people.betas, torch.zeros_like(people.betas), people.head_camera
    )
    longest = max(features.patch_maps.width_px, features.patch_maps.height_px)
    true_px, token = project(want.joints, cameras), head_tokens(truth, features)
    heads = torch.zeros_like(maps.score_logits)
    heads[truth.image, token] = 1.0
    is_seen = torch.arange(len(token), device=token.device)
    head_px = people.head_px[is_seen]
    pelvis = true_px[:, PELVIS]
    return {
        "vertices": _POINTS * F.l1_loss(got.vertices, want.vertices),
        "joints": _POINTS * F.l1_loss(got.joints, want.joints),
        "reprojection": F.l1_loss(project(got.joints, cameras), true_px) / longest,
        "rotations": F.l1_loss(people.rotations, truth.rotations),
        "betas": F.l1_loss(people.betas, truth.betas),
        "mask": F.binary_cross_entropy_with_logits(maps.mask_logits, truth.mask.float()),
        "heads": F.binary_cross_entropy_with_logits(maps.score_logits, heads),
        "head_px": F.l1_loss(head_px, true_px[:, HEAD]) / longest,
        **pelvis_losses(people, pelvis, features.patch_maps),
    }


def pelvis_losses(
    people: ChrommPeople, pelvis_px: Float[Tensor, "people 2"], patch_maps: PatchMaps
) -> dict[str, Tensor]:
    """Distances of the coarse and the fine pelvis, in shares of the image."""
    longest = max(patch_maps.width_px, patch_maps.height_px)
    fine = (people.pelvis_px - pelvis_px).abs().mean(dim=-1)
    has_fine = people.has_fine_pelvis
    return {
        "pelvis_coarse": F.l1_loss(people.pelvis_coarse_px, pelvis_px) / longest,
        "pelvis_fine": (fine * has_fine).sum() / has_fine.sum().clamp(min=1) / longest,
    }


def stage_2_losses(
    people: ChrommPeople, truth: ChrommTruth, features: ChrommFeatures, body_model: BodyModel
) -> dict[str, Tensor]:
    """As of ``stage_1_losses``, of what the pelvis decides: itself, and through it the scale."""
    cameras = features.cameras[people.image]
    mesh = body_model(
        people.rotations, people.betas, torch.zeros_like(people.betas), people.head_camera
    )
    true_px = project(truth.mesh(body_model).joints, cameras)
    ratio = torso_ratio(people, mesh.joints, cameras)
    longest = max(features.patch_maps.width_px, features.patch_maps.height_px)
    moved = mesh.joints + (ratio - 1) * people.head_camera[:, None]
    gaps = [
        chamfer(
            visible(mesh.vertices[i], body_model.faces) + (ratio - 1) * people.head_camera[i],
            ratio * _person_points(people, i, truth, features),
        )
        for i in range(len(people.image))
    ]
    return {
        **pelvis_losses(people, true_px[:, PELVIS], features.patch_maps),
        "reprojection": F.l1_loss(project(moved, cameras), true_px) / longest,
        "chamfer": torch.stack(gaps).mean(),
    }


def torso_ratio(people: ChrommPeople, joints: Tensor, cameras: Tensor) -> Tensor:
    """Mean of projected over detected lengths from head to pelvis; 1 where no pair is valid."""
    pixels = project(joints, cameras)
    body = (pixels[:, HEAD] - pixels[:, PELVIS]).norm(dim=-1)
    seen = (people.head_px - people.pelvis_px).norm(dim=-1)
    is_valid = seen.detach() >= _SHORTEST_PX
    if not is_valid.any():
        return torch.ones((), device=seen.device)
    return (body[is_valid] / seen[is_valid]).mean()


def visible(vertices: Float[Tensor, "vertices 3"], faces) -> Float[Tensor, "seen 3"]:
    """Vertices of faces that look at the camera."""
    index = torch.as_tensor(faces, device=vertices.device)
    corners = vertices[index]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    is_facing = (normal * corners.mean(dim=1)).sum(-1) < 0
    return vertices[index[is_facing].unique()]


def chamfer(a: Float[Tensor, "a 3"], b: Float[Tensor, "b 3"]) -> Tensor:
    """Mean distance to the nearest point of the other set, both ways."""
    if not len(a) or not len(b):
        return a.sum() * 0.0
    apart = torch.cdist(a, b)
    return apart.min(dim=1).values.mean() + apart.min(dim=0).values.mean()


def _person_points(
    people: ChrommPeople, person: int, truth: ChrommTruth, features: ChrommFeatures, most: int = 512
) -> Tensor:
    """Scene points on the mask around a person's head, at most so many."""
    number, maps = int(people.image[person]), features.patch_maps
    depth, camera = features.depth[number], features.cameras[number]
    height, width = depth.shape
    v, u = torch.meshgrid(
        torch.arange(height, device=depth.device) + 0.5,
        torch.arange(width, device=depth.device) + 0.5,
        indexing="ij",
    )
    image_px = torch.stack((u * maps.width_px / width, v * maps.height_px / height), dim=-1)
    square = maps.human_from_image(image_px).long().clamp(0, maps.human_px - 1)
    on_person = truth.mask[number][square[..., 1], square[..., 0]]
    near = (depth - people.head_camera[person, 2].detach()).abs() < 1.0
    pixel = torch.cat((image_px - 0.5, torch.ones_like(image_px[..., :1])), dim=-1)
    rays = torch.linalg.solve(camera, pixel.flatten(0, 1).T).T.unflatten(0, (height, width))
    points = (rays * depth[..., None])[on_person & near]
    return points[:: max(1, len(points) // most)]


def stage_parameters(head: ChrommHead, stage: int) -> list[nn.Parameter]:
    """What a stage trains; all else is frozen."""
    for name, parameter in head.named_parameters():
        parameter.requires_grad_(stage == 1 or name.startswith(_STAGE_2))
    return [parameter for parameter in head.parameters() if parameter.requires_grad]


def train_stage(
    head: ChrommHead,
    batches: Iterable[tuple[ChrommFeatures, ChrommTruth]],
    body_model: BodyModel,
    *,
    stage: int,
    rate: float | None = None,
) -> list[dict[str, float]]:
    """One pass over the batches; the losses of each.

    Args:
        head: trained in place.
        batches: features and truth.
        body_model: of the truth.
        stage: 1 or 2.
        rate: learning rate; None: 5e-5 in stage 1, 1e-4 in stage 2, as published.
    """
    rate = rate or {1: 5e-5, 2: 1e-4}[stage]
    optimiser = torch.optim.AdamW(stage_parameters(head, stage), rate)
    history = []
    for features, truth in batches:
        people = head(
            *(features.scene, features.human, features.depth, features.cameras),
            *(features.patch_maps, truth.image, head_tokens(truth, features)),
        )
        if stage == 1:
            losses = stage_1_losses(head.maps(features.human), people, truth, features, body_model)
        else:
            losses = stage_2_losses(people, truth, features, body_model)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        history.append({name: float(value.detach()) for name, value in losses.items()})
    return history
