"""The trainable part: tokens of two encoders to people."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from human3r.chromm.patch_maps import PatchMaps
from human3r.geometry import matrix_from_6d
from human3r.model.heads import (
    NUM_BETAS,
    NUM_ROTATIONS,
    HumanHead,
    choose_peaks,
    keep_peaks,
    probability,
)
from human3r.model.layers import DINO_PATCH_PX

MIN_SCORE = 0.3
"""Least score of a head."""
_LEAST_DEPTH = 0.05


@dataclass(frozen=True)
class HumanMaps:
    """What the human tokens of all images say of every patch."""

    score_logits: Float[Tensor, "images tokens"]
    """Of a head in the patch."""
    offsets: Float[Tensor, "images tokens 2"]
    """(du, dv) of the head from the middle of its patch, in patches."""
    mask_logits: Float[Tensor, "images side side"]
    """Of a person, per pixel of the square."""


@dataclass(frozen=True)
class ChrommPeople:
    """People of all images, in their images' order. Lengths are in the scene's unit."""

    image: Int[Tensor, " people"]
    rotations: Float[Tensor, "people 53 3 3"]
    """Child in parent; the root in the camera frame."""
    betas: Float[Tensor, "people 10"]
    head_px: Float[Tensor, "people 2"]
    """Places of the image, from its top left corner."""
    head_camera: Float[Tensor, "people 3"]
    pelvis_coarse_px: Float[Tensor, "people 2"]
    pelvis_px: Float[Tensor, "people 2"]
    """Fine, and coarse where that lies outside of the image."""
    has_fine_pelvis: Bool[Tensor, " people"]


class ChrommHead(nn.Module):
    """Two-layer MLPs on one token per person; maps on all human tokens."""

    def __init__(self, scene_width: int = 2048, human_width: int = 1024, width: int = 1024) -> None:
        """Untrained.

        Args:
            scene_width: of decoded scene tokens.
            human_width: of the human encoder's tokens.
            width: of joined tokens; the paper does not say it.
        """
        super().__init__()
        human = human_width
        self.fuse = HumanHead(scene_width + human, width, width)
        self.pose = HumanHead(width, width, 6 * (NUM_ROTATIONS - 1))
        self.root = HumanHead(width, width, 6)
        self.shape = HumanHead(width, width, NUM_BETAS)
        self.depth = HumanHead(human, human, 1)
        self.score = HumanHead(human, human, 1)
        self.offset = HumanHead(human, human, 2)
        self.mask = HumanHead(human, human, DINO_PATCH_PX**2)
        self.pelvis_coarse = HumanHead(human, human, 2)
        self.pelvis_fine = HumanHead(human, human, 2)

    def maps(self, human: Float[Tensor, "images tokens features"]) -> HumanMaps:
        """Scores, offsets and masks of all patches."""
        side = round(human.shape[1] ** 0.5)
        patches = self.mask(human).transpose(1, 2).unflatten(2, (side, side))
        return HumanMaps(
            self.score(human)[..., 0],
            self.offset(human),
            F.pixel_shuffle(patches, DINO_PATCH_PX)[:, 0],
        )

    @staticmethod
    def detect(
        maps: HumanMaps, min_score: float = MIN_SCORE
    ) -> tuple[Int[Tensor, " people"], Int[Tensor, " people"]]:
        """Images and tokens of heads: peaks among their neighbours.

        Args:
            maps: as of ``maps``.
            min_score: least score.
        """
        side = round(maps.score_logits.shape[1] ** 0.5)
        scores = probability(maps.score_logits).unflatten(1, (side, side))
        found = [choose_peaks(keep_peaks(one), min_score, None) for one in scores]
        images = [torch.full_like(tokens, number) for number, tokens in enumerate(found)]
        return torch.cat(images), torch.cat(found)

    def forward(
        self,
        scene: Float[Tensor, "images scene_tokens scene_features"],
        human: Float[Tensor, "images tokens features"],
        depth: Float[Tensor, "images height width"],
        cameras: Float[Tensor, "images 3 3"],
        patch_maps: PatchMaps,
        image: Int[Tensor, " people"],
        token: Int[Tensor, " people"],
    ) -> ChrommPeople:
        """The people whose heads are at these tokens.

        Args:
            scene: decoded tokens of the scene encoder.
            human: tokens of the human encoder.
            depth: of the scene, at the size of the scene encoder's images.
            cameras: K of the images themselves, pixel centres at whole numbers.
            patch_maps: of the images, all of one size.
            image: of each person.
            token: human token of each person's head.
        """
        own = human[image, token]
        joined = self.fuse(torch.cat((scene[image, patch_maps.scene_token_of(token)], own), -1))
        rotations = torch.cat((self.root(joined), self.pose(joined)), -1)
        centre = patch_maps.human_centre(token)
        head_px = patch_maps.image_from_human(centre + DINO_PATCH_PX * self.offset(own))
        coarse_px = patch_maps.image_from_human(centre + DINO_PATCH_PX * self.pelvis_coarse(own))
        fine_px, has_fine = self._fine_pelvis(human, patch_maps, image, coarse_px)
        return ChrommPeople(
            image=image,
            rotations=matrix_from_6d(rotations.unflatten(-1, (NUM_ROTATIONS, 6))),
            betas=self.shape(joined),
            head_px=head_px,
            head_camera=head_place(
                depth[image],
                patch_maps.scene_from_image(head_px),
                self.depth(own)[:, 0],
                head_px,
                cameras[image],
            ),
            pelvis_coarse_px=coarse_px,
            pelvis_px=fine_px,
            has_fine_pelvis=has_fine,
        )

    def _fine_pelvis(
        self, human: Tensor, patch_maps: PatchMaps, image: Tensor, coarse_px: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Read off the patch where the coarse pelvis is; the coarse one where there is none."""
        token = patch_maps.human_token(coarse_px.detach())
        offset = self.pelvis_fine(human[image, token])
        place = patch_maps.human_centre(token) + DINO_PATCH_PX * offset
        is_inside = patch_maps.is_inside(coarse_px.detach())
        fine = patch_maps.image_from_human(place)
        return torch.where(is_inside[:, None], fine, coarse_px), is_inside


def head_place(
    depth: Float[Tensor, "people height width"],
    scene_px: Float[Tensor, "people 2"],
    residual: Float[Tensor, " people"],
    head_px: Float[Tensor, "people 2"],
    cameras: Float[Tensor, "people 3 3"],
) -> Float[Tensor, "people 3"]:
    """Where heads are: as deep as the scene and a residual, for the joint lies behind the skin.

    Args:
        depth: of each person's image, along the optical axis.
        scene_px: heads in the depth image, from its top left corner.
        residual: what is added to the depth there.
        head_px: heads in the image itself, from its top left corner.
        cameras: K of that image, pixel centres at whole numbers.
    """
    height, width = depth.shape[1:]
    place = 2 * scene_px / scene_px.new_tensor((width, height)) - 1
    sampled = F.grid_sample(
        depth[:, None], place[:, None, None], padding_mode="border", align_corners=False
    )
    far = (sampled[:, 0, 0, 0] + residual).clamp(min=_LEAST_DEPTH)
    pixel = torch.cat((head_px - 0.5, torch.ones_like(head_px[:, :1])), dim=-1)
    return far[:, None] * torch.linalg.solve(cameras, pixel[..., None])[..., 0]
