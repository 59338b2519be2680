"""The network: images of one place, in any order, to points, cameras and one scale."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from human3r.errors import ShapeError
from human3r.model.layers import PatchEmbed, RotaryTable
from human3r.multiview.pi3x.blocks import MetricDecoder, PosedBlock, ScaledBlock, TokenDecoder
from human3r.multiview.pi3x.config import PATCH_PX, Pi3XConfig
from human3r.multiview.pi3x.encoder import RegisterEncoder
from human3r.multiview.pi3x.heads import CameraHead, ConvolutionHead
from human3r.multiview.pi3x.priors import Priors

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_MOST_LOG_DEPTH = 15.0


@dataclass(frozen=True)
class Pi3XOutput:
    """What the network says of images, in its own unit; ``metric`` makes it metres."""

    rays: Float[Tensor, "images height width 2"]
    """x and y of every pixel's ray at depth 1, from which intrinsics are read."""
    depth: Float[Tensor, "images height width"]
    """Along the optical axis."""
    confidence: Float[Tensor, "images height width"]
    """Logit of how far the point can be relied on."""
    world_from_camera: Float[Tensor, "images 4 4"]
    metric: Float[Tensor, ""]
    """Metres per unit."""
    tokens: Float[Tensor, "images tokens features"]
    """Of the patches, decoded: the scene's side of a human head."""

    @property
    def points_camera(self) -> Float[Tensor, "images height width 3"]:
        """Points in each camera's frame."""
        depth = self.depth[..., None]
        return torch.cat((self.rays * depth, depth), dim=-1)

    @property
    def points_world(self) -> Float[Tensor, "images height width 3"]:
        """The same in the world of ``world_from_camera``."""
        turn, place = self.world_from_camera[:, :3, :3], self.world_from_camera[:, :3, 3]
        return torch.einsum("nij,nhwj->nhwi", turn, self.points_camera) + place[:, None, None]


class Pi3X(nn.Module):
    """Names and shapes of its tensors are those of the published weights.

    Answers do not depend on the order of the images, except that the world is the network's own.
    Priors that are not given leave no trace: the answer is that of a network without them.
    """

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, config: Pi3XConfig | None = None) -> None:
        """Untrained.

        Args:
            config: sizes; None: the published ones, 1.4 thousand million parameters.
        """
        super().__init__()
        self.config = config = config or Pi3XConfig()
        width, wide = config.decoder_width, 2 * config.decoder_width
        self.encoder = RegisterEncoder(config, 3)
        self.decoder = nn.ModuleList(
            ScaledBlock(width, config.decoder_heads, config.layer_scale)
            for _ in range(config.decoder_depth)
        )
        self.register_token = nn.Parameter(torch.zeros(1, 1, config.registers, width))

        def tokens(out: int) -> TokenDecoder:
            return TokenDecoder(wide, width, out, config.head_depth, config.decoder_heads)

        def maps(outputs: tuple[int, ...]) -> ConvolutionHead:
            return ConvolutionHead(width, config.head_widths, config.output_width, outputs)

        self.point_decoder, self.point_head = tokens(width), maps((2, 1))
        self.conf_decoder, self.conf_head = tokens(width), maps((1,))
        self.camera_decoder = tokens(config.camera_width)
        self.camera_head = CameraHead(config.camera_width)
        self.metric_token = nn.Parameter(torch.zeros(1, 1, wide))
        self.metric_decoder = MetricDecoder(
            wide, config.metric_width, config.head_depth, config.metric_heads
        )
        self.metric_head = nn.Linear(config.metric_width, 1)
        if config.use_multimodal:
            self.depth_encoder = RegisterEncoder(config, 2)
            self.depth_emb = nn.Parameter(torch.zeros(1, 1, width))
            self.ray_embed = PatchEmbed(2, PATCH_PX, width)
            self.pose_inject_blk = nn.ModuleList(
                PosedBlock(width, config.decoder_heads, config.layer_scale)
                for _ in config.pose_after
            )
        for name, values in (("image_mean", _IMAGENET_MEAN), ("image_std", _IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(
        self, images: Float[Tensor, "images 3 height width"], priors: Priors | None = None
    ) -> Pi3XOutput:
        """All images at once.

        Args:
            images: RGB in [0, 1]; sides are multiples of 14.
            priors: what is known of them.

        Raises:
            ShapeError: sides that are no multiples of 14, or priors of other images.
        """
        priors = priors or Priors()
        self._check(images, priors)
        size_px = int(images.shape[-2]), int(images.shape[-1])
        grid = size_px[0] // PATCH_PX, size_px[1] // PATCH_PX
        x = self.encoder((images - self.image_mean) / self.image_std)
        x = self._with_planes(x, priors)
        registers = self.register_token[0].expand(len(x), -1, -1)
        x = torch.cat((registers, x), dim=1)
        places = _places(grid, self.config.registers, x.device)
        wide = self._decode(x, places, priors)
        patches = slice(self.config.registers, None)
        here = self._table(places, self.config.decoder_width // self.config.decoder_heads)
        points, confidence, camera = (
            decoder(wide, here)[:, patches]
            for decoder in (self.point_decoder, self.conf_decoder, self.camera_decoder)
        )
        xy, z = self.point_head(points, grid, size_px)
        (logits,) = self.conf_head(confidence, grid, size_px)
        return Pi3XOutput(
            rays=xy.permute(0, 2, 3, 1),
            depth=z[:, 0].clamp(max=_MOST_LOG_DEPTH).exp(),
            confidence=logits[:, 0],
            world_from_camera=self.camera_head(camera),
            metric=self._metric(wide, places),
            tokens=wide[:, patches],
        )

    def _check(self, images: Tensor, priors: Priors) -> None:
        height, width = images.shape[-2:]
        if height % PATCH_PX or width % PATCH_PX or not len(images):
            raise ShapeError(
                f"images of {tuple(images.shape)}; expected at least one, and sides that are "
                f"multiples of {PATCH_PX}. `prepared` of multiview.pi3x.scene makes such images."
            )
        wanted = {
            "depth": (len(images), height, width),
            "rays": (len(images), height, width, 2),
            "world_from_camera": (len(images), 4, 4),
        }
        for name, shape in wanted.items():
            given = getattr(priors, name)
            if given is not None and tuple(given.shape) != shape:
                raise ShapeError(
                    f"{name} of {tuple(given.shape)}; expected {shape} for these images. Resize it "
                    "with them."
                )
            if given is not None and not self.config.use_multimodal:
                raise ShapeError(
                    f"{name} is given to a network without use_multimodal; expected none. Build it "
                    "with use_multimodal, or leave the prior out."
                )

    def _with_planes(self, x: Tensor, priors: Priors) -> Tensor:
        """Patch tokens with those of depth and rays added, for images that have them.

        How depth tokens and their embedding join is not described; here both are added.
        """
        has_depth, depth = priors.known_depth()
        if depth is not None and len(depth):
            x = x.clone()
            x[has_depth] = x[has_depth] + self.depth_encoder(depth) + self.depth_emb
        has_rays, rays = priors.known_rays()
        if rays is not None and len(rays):
            x = x.clone()
            x[has_rays] = x[has_rays] + self.ray_embed(rays)
        return x

    def _decode(self, x: Tensor, places: Tensor, priors: Priors) -> Tensor:
        """The outputs of the last two blocks side by side."""
        count, per_image = x.shape[:2]
        head = self.config.decoder_width // self.config.decoder_heads
        inside = self._table(places, head)
        across = self._table(places.repeat(count, 1), head)
        has_pose, poses = priors.known_poses()
        before = x
        for number, block in enumerate(self.decoder):
            before = x
            if number % 2:
                x = block(x.flatten(0, 1)[None], across)[0].unflatten(0, (count, per_image))
            else:
                x = block(x, inside)
            if poses is not None and number in self.config.pose_after:
                place = self.config.pose_after.index(number)
                x = self._with_poses(x, place, places, has_pose, poses)
        return torch.cat((before, x), dim=-1)

    def _with_poses(
        self, x: Tensor, place: int, places: Tensor, has_pose: Tensor, poses: Tensor
    ) -> Tensor:
        """Tokens after images with known poses have looked at each other."""
        known = x[has_pose]
        half_head = self.config.decoder_width // self.config.decoder_heads // 2
        table = self._table(places.repeat(len(known), 1), half_head)
        per_token = poses.to(x.dtype).repeat_interleave(known.shape[1], dim=0)
        seen = self.pose_inject_blk[place](known.flatten(0, 1)[None], table, per_token)[0]
        x = x.clone()
        x[has_pose] = seen.unflatten(0, known.shape[:2])
        return x

    def _metric(self, wide: Tensor, places: Tensor) -> Tensor:
        head = self.config.metric_width // self.config.metric_heads
        table = self._table(places.repeat(len(wide), 1), head)
        found = self.metric_decoder(self.metric_token, wide.flatten(0, 1)[None], table)
        return self.metric_head(found).float().exp()[0, 0, 0]

    def _table(self, places: Tensor, head_size: int) -> RotaryTable:
        return RotaryTable.at(places, head_size, self.config.rope_base)


def _places(grid: tuple[int, int], registers: int, device: torch.device) -> Tensor:
    """Rotary positions (y, x): registers at (0, 0), patches from (1, 1) on."""
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    patches = torch.stack((y, x), dim=-1).flatten(0, 1) + 1
    return torch.cat((torch.zeros(registers, 2, dtype=torch.long), patches)).to(device)
