"""Two frozen encoders and the head: images of one place to its scene and its people."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from human3r.body.base import BodyModel
from human3r.body.skeleton import HEAD, PELVIS
from human3r.chromm.head import MIN_SCORE, ChrommHead, ChrommPeople, HumanMaps
from human3r.chromm.patch_maps import PatchMaps
from human3r.model.layers import HumanBackbone
from human3r.multiview.pi3x.network import Pi3X, Pi3XOutput
from human3r.multiview.pi3x.priors import Priors
from human3r.scale.torso_scale import scale_from_torsos


@dataclass(frozen=True)
class ChrommOutput:
    """Everything known of the images; ``scene`` and ``people`` are in one unit."""

    scene: Pi3XOutput
    maps: HumanMaps
    people: ChrommPeople


class Chromm(nn.Module):
    """The encoders stay as they are: whatever changed the scene decoder's input hurt geometry."""

    def __init__(self, scene: Pi3X, human: HumanBackbone, head: ChrommHead) -> None:
        """Parts may be trained or not.

        Args:
            scene: frozen here.
            human: Multi-HMR's encoder; frozen here.
            head: of their widths.
        """
        super().__init__()
        self.scene = scene.requires_grad_(False).eval()
        self.human = human.requires_grad_(False).eval()
        self.head = head

    def train(self, mode: bool = True) -> "Chromm":
        """Of the head alone."""
        super().train(mode)
        self.scene.eval()
        self.human.eval()
        return self

    def forward(
        self,
        scene_images: Float[Tensor, "images 3 height width"],
        human_images: Float[Tensor, "images 3 side side"],
        cameras: Float[Tensor, "images 3 3"],
        patch_maps: PatchMaps,
        priors: Priors | None = None,
        min_score: float = MIN_SCORE,
    ) -> ChrommOutput:
        """People and scene of images in any order.

        Args:
            scene_images: RGB in [0, 1], as of ``Pi3X``.
            human_images: RGB in [-1, 1], centred in a square.
            cameras: K of the images themselves, pixel centres at whole numbers: known, or read from
                the scene's rays.
            patch_maps: of the images.
            priors: as of ``Pi3X``.
            min_score: least score of a head.
        """
        with torch.no_grad():
            scene = self.scene(scene_images, priors)
            human = self.human(human_images)
        maps = self.head.maps(human)
        image, token = self.head.detect(maps, min_score)
        depth = scene.metric * scene.depth
        people = self.head(scene.tokens, human, depth, cameras, patch_maps, image, token)
        return ChrommOutput(scene, maps, people)


def scale_correction(
    people: ChrommPeople, body_model: BodyModel, cameras: Float[Tensor, "images 3 3"]
) -> float | None:
    """What the scene's metric factor has to be multiplied by; None without a usable torso.

    Args:
        people: all of the scene.
        body_model: makes metric bodies of them.
        cameras: K of the images.
    """
    with torch.no_grad():
        joints = body_model(
            people.rotations, people.betas, torch.zeros_like(people.betas), people.head_camera
        ).joints
    k = cameras[people.image].double().cpu().numpy()
    # On an image of focal length 1, where all cameras are alike.
    focal = k[:, [0, 1], [0, 1]]
    common = float(np.median(focal)) if len(focal) else 1.0
    head, pelvis = (
        (px.detach().double().cpu().numpy() - 0.5 - k[:, :2, 2]) / focal * common
        for px in (people.head_px, people.pelvis_px)
    )
    torso = (joints[:, PELVIS] - joints[:, HEAD]).double().cpu().numpy()
    place = people.head_camera.detach().double().cpu().numpy()
    return scale_from_torsos(head, pelvis, place, torso, common)
