"""What is read off tokens: people to look for, then camera, pointmaps and bodies. All heads.

From the human branch's tokens come detections, their patches in the image encoder and the masks of
people; from the decoded tokens everything else.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from human3r.geometry import expand_length, matrix_from_6d, network_from_square, square_offset_px
from human3r.model.layers import DINO_PATCH_PX, Mlp, RotaryTable, SelfAttention, exact, layer_norm
from human3r.model.variants import NetworkConfig

_SQUEEZE = 1e-6


@dataclass(frozen=True)
class Detections:
    """People found in one frame, in row-major order of their tokens."""

    tokens: Int[Tensor, "people 2"]
    """(row, column) in the human branch's grid."""
    scores: Float[Tensor, " people"]
    head_square_px: Float[Tensor, "people 2"]
    """(u, v) in the square image, from the corner of its first pixel."""
    patches: Int[Tensor, "people 2"]
    """(row, column) of the image encoder's patch at the head."""
    token_index: Int[Tensor, " people"]
    """Row-major number of the human branch's token."""
    patch_index: Int[Tensor, " people"]
    """Row-major number of the image encoder's patch."""


def probability(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Sigmoid, kept a little away from 0 and 1."""
    return logits.sigmoid() * (1 - 2 * _SQUEEZE) + _SQUEEZE


def keep_peaks(scores: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Scores that no neighbour exceeds; the others become 0. Equal neighbours both stay."""
    largest = F.max_pool2d(scores[None], kernel_size=3, stride=1, padding=1)[0]
    return scores * (scores == largest)


def choose_peaks(
    peaks: Float[Tensor, "rows columns"], min_score: float, max_people: int | None
) -> Int[Tensor, " people"]:
    """Row-major numbers of the peaks from ``min_score`` on, in ascending order.

    Args:
        peaks: scores after ``keep_peaks``.
        min_score: smallest score kept; suppressed places never count, whatever this is.
        max_people: keep only that many, those of the highest scores; None: all.
    """
    flat = peaks.flatten()
    # The number of people decides shapes, so the host waits for the device here, and only here.
    chosen = torch.nonzero((flat >= min_score) & (flat > 0)).squeeze(1)
    if max_people is not None and len(chosen) > max_people:
        best = flat[chosen].topk(max_people).indices
        chosen = chosen[best].sort().values
    return chosen


def locate_people(
    token_index: Int[Tensor, " people"],
    scores: Float[Tensor, " people"],
    offsets: Float[Tensor, "people 2"],
    *,
    square_px: int,
    width_px: int,
    height_px: int,
    patch_px: int,
) -> Detections:
    """Where the heads are, in the square image and among the image encoder's patches.

    Args:
        token_index: row-major numbers of the detected tokens.
        scores: their scores.
        offsets: (du, dv) from the token's centre, in tokens.
        square_px: side of the human branch's image.
        width_px: width of the network image.
        height_px: height of the network image.
        patch_px: side of the image encoder's patches.
    """
    grid = square_px // DINO_PATCH_PX
    row, column = token_index // grid, token_index % grid
    head = (torch.stack((column, row), dim=-1) + 0.5 + offsets) * DINO_PATCH_PX
    u, v = network_from_square(head, square_px, width_px, height_px).unbind(-1)
    patch_column = (u.clamp(0, width_px - 1) / patch_px).floor().long()
    patch_row = (v.clamp(0, height_px - 1) / patch_px).floor().long()
    return Detections(
        tokens=torch.stack((row, column), dim=-1),
        scores=scores,
        head_square_px=head,
        patches=torch.stack((patch_row, patch_column), dim=-1),
        token_index=token_index,
        patch_index=patch_row * (width_px // patch_px) + patch_column,
    )


def nobody(device: torch.device) -> Detections:
    """No people."""
    indices = torch.zeros(0, dtype=torch.long, device=device)
    places = torch.zeros(0, 2, device=device)
    return Detections(places.long(), places[:, 0], places, places.long(), indices, indices)


def fill_slots(
    peaks: Float[Tensor, "rows columns"], min_score: float, slots: int
) -> tuple[Int[Tensor, " slots"], Int[Tensor, ""]]:
    """As ``choose_peaks`` with ``max_people``, in a fixed number of rows and without a wait.

    Returns:
        Row-major numbers of the people in ascending order, then zeros; how many people there are.
    """
    flat = peaks.flatten()
    counted = torch.where((flat >= min_score) & (flat > 0), flat, 0.0)
    best = counted.topk(min(slots, len(flat)))
    # Absent people sort last.
    order = torch.where(best.values > 0, best.indices, len(flat)).sort().values
    order = F.pad(order, (0, slots - len(order)), value=len(flat))
    is_person = order < len(flat)
    return torch.where(is_person, order, 0), is_person.sum()


def picture_rows(side: int, width_px: int, height_px: int) -> slice:
    """Rows of the human branch's token grid that the picture reaches into.

    Args:
        side: rows of the grid.
        width_px: width of the network image.
        height_px: height of the network image.
    """
    long_px = max(width_px, height_px)
    top = square_offset_px(width_px, height_px)[1]
    first, end = top * side // long_px, -(-(top + height_px) * side // long_px)
    # One more on each side: places are rounded when the picture is cut out again.
    return slice(max(0, first - 1), min(side, end + 1))


def unfold_mask(
    logits: Float[Tensor, "1 tokens pixels"], side: int, first_row: int = 0
) -> Float[Tensor, "side_px side_px"]:
    """Person probability per pixel of the square image, from one patch of logits per token.

    Args:
        logits: of whole rows of tokens.
        side: tokens per row, and rows of the square image.
        first_row: where the rows given begin; the probability is 0 in all others.
    """
    image = probability(logits).transpose(1, 2).unflatten(2, (-1, side))
    pixels = F.pixel_shuffle(image, DINO_PATCH_PX)[0, 0]
    above = first_row * DINO_PATCH_PX
    return F.pad(pixels, (0, 0, above, side * DINO_PATCH_PX - above - pixels.shape[0]))


NUM_ROTATIONS = 53
NUM_BETAS = 10


@dataclass(frozen=True)
class People:
    """Bodies of one frame."""

    rotations: Float[Tensor, "people 53 3 3"]
    betas: Float[Tensor, "people 10"]
    expression: Float[Tensor, "people 10"]
    head_camera: Float[Tensor, "people 3"]
    """Head joint in the camera frame, metres."""


class _Layers(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class HumanHead(nn.Module):
    """Linear, GELU, Linear on one token per person; ``mlp.layers`` is the published key."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.mlp = _Layers(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, out))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.mlp(tokens)


class PoseHead(nn.Module):
    """Pose token to seven raw numbers: translation and quaternion."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = Mlp(width, out=7)

    def forward(self, token: Tensor) -> Tensor:
        return self.mlp(token)


class Modulation(nn.Module):
    """Layer norm whose shift and scale depend on the pose token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = layer_norm(width)
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, pose: Tensor) -> Tensor:
        shift, scale = self.mlp(pose).chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class ModulatedBlock(nn.Module):
    """Transformer block that moves patch tokens to the world, told where the camera is."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = Modulation(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = Modulation(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, pose: Tensor, positions: RotaryTable) -> Tensor:
        x = x + self.attn(self.norm1(x, pose), positions)
        return x + self.mlp(self.norm2(x, pose))


class Upsample(nn.Module):
    """Twice the size, bilinear, corners on corners."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class ResidualUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(F.relu(x)))) + x


class Fusion(nn.Module):
    """A coarse map, joined with a finer one if there is one, at twice the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(width, width, 1)
        self.resConfUnit1 = ResidualUnit(width)
        self.resConfUnit2 = ResidualUnit(width)
        self.upsample = Upsample()

    def forward(self, coarse: Tensor, fine: Tensor | None = None) -> Tensor:
        x = coarse if fine is None else coarse + self.resConfUnit1(fine)
        # A 1x1 convolution and interpolation may change places: a quarter of the products.
        return self.upsample(self.out_conv(self.resConfUnit2(x)))


class _Scratch(nn.Module):
    """The part of a DPT head that works at one width."""

    def __init__(self, channels: tuple[int, int, int, int], width: int) -> None:
        super().__init__()
        c1, c2, c3, c4 = channels
        self.layer1_rn = nn.Conv2d(c1, width, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(c2, width, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(c3, width, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(c4, width, 3, padding=1, bias=False)
        # Checkpoints name these four tensors twice.
        self.layer_rn = nn.ModuleList(
            (self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn)
        )
        self.refinenet1, self.refinenet2 = Fusion(width), Fusion(width)
        self.refinenet3, self.refinenet4 = Fusion(width), Fusion(width)


class DptHead(nn.Module):
    """Four sets of patch tokens to one dense map.

    Source: Ranftl et al. 2021, "Vision Transformers for Dense Prediction".
    """

    def __init__(self, config: NetworkConfig, out_channels: int) -> None:
        super().__init__()
        c0, c1, c2, c3 = (config.dpt_channels * factor for factor in (1, 2, 4, 8))
        width, last = config.dpt_width, config.dpt_last
        decoded = config.decoder_width
        first = [
            nn.Conv2d(tokens, channels, 1)
            for tokens, channels in (
                (config.encoder_width, c0),
                (decoded, c1),
                (decoded, c2),
                (decoded, c3),
            )
        ]
        self.act_postprocess = nn.ModuleList(
            (
                nn.Sequential(first[0], nn.ConvTranspose2d(c0, c0, 4, stride=4)),
                nn.Sequential(first[1], nn.ConvTranspose2d(c1, c1, 2, stride=2)),
                nn.Sequential(first[2]),
                nn.Sequential(first[3], nn.Conv2d(c3, c3, 3, stride=2, padding=1)),
            )
        )
        self.scratch = _Scratch((c0, c1, c2, c3), width)
        self.head = nn.Sequential(
            nn.Conv2d(width, last, 3, padding=1),
            Upsample(),
            nn.Conv2d(last, last, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(last, out_channels, 1),
        )

    def forward(
        self, tokens: tuple[Tensor, ...], grid: tuple[int, int]
    ) -> Float[Tensor, "1 channels height width"]:
        """The map at 16 pixels per token.

        Args:
            tokens: four times [1, rows * columns, width], from early to late.
            grid: rows and columns.
        """
        levels = []
        for number, x in enumerate(tokens):
            image = x.transpose(1, 2).unflatten(2, grid)
            levels.append(self.scratch.layer_rn[number](self.act_postprocess[number](image)))
        net = self.scratch
        # The coarsest level rounds an odd grid up; its surplus row or column is cut off again.
        path = net.refinenet4(levels[3])[..., : grid[0], : grid[1]]
        path = net.refinenet3(path, levels[2])
        path = net.refinenet2(path, levels[1])
        path = net.refinenet1(path, levels[0])
        features = self.head[:-1](path)
        with exact(features.device):
            return self.head[-1](features.float())


def points_from_raw(
    raw: Float[Tensor, "1 4 height width"],
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
    """Points in metres and confidence (from 1 upwards) of a DPT map."""
    x, y, z, confidence = raw[0].unbind()
    # As ``expand_length``, coordinate by coordinate: several times faster on the CPU.
    length = (x * x + y * y + z * z).sqrt()
    factor = length.expm1() / length.clamp_min(1e-8)
    points = torch.stack((x * factor, y * factor, z * factor), dim=-1)
    return points, confidence_from_raw(confidence)


def confidence_from_raw(raw: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Confidences from 1 upwards."""
    return 1 + raw.exp()


class DownstreamHead(nn.Module):
    """Every head of a checkpoint, under the published names."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, dino_width = config.decoder_width, config.dino_width
        joined = width + dino_width
        fused = config.encoder_width + dino_width
        ratio = config.human_head_ratio
        rotations = NUM_ROTATIONS * 6

        self.dpt_self = DptHead(config, 4)
        self.dpt_cross = DptHead(config, 4)
        self.dpt_rgb = DptHead(config, 3)
        self.final_transform = nn.ModuleList(
            ModulatedBlock(width, config.decoder_heads) for _ in range(2)
        )
        self.pose_head = PoseHead(width)

        self.mlp_classif = _relu_mlp(dino_width, 1)
        self.mlp_offset = _relu_mlp(dino_width, 2)
        self.mlp_msk = HumanHead(dino_width, dino_width, DINO_PATCH_PX**2)
        self.mlp_fuse = HumanHead(fused, ratio * fused, width)

        self.deccam = HumanHead(width, ratio * width, 3)
        self.decpose = HumanHead(joined, ratio * joined, rotations)
        self.decshape = HumanHead(joined, ratio * joined, NUM_BETAS)
        self.decexpression = HumanHead(joined, ratio * joined, NUM_BETAS)
        identity = torch.tensor([[1.0, 0, 0, 1, 0, 0] * NUM_ROTATIONS])
        self.register_buffer("init_body_pose", identity)
        self.register_buffer("init_betas", torch.zeros(1, NUM_BETAS))
        self.register_buffer("init_expression", torch.zeros(1, NUM_BETAS))
        # Part of every checkpoint, used by no formula of the network.
        self.register_buffer("init_betas_kid", torch.zeros(1, NUM_BETAS + 1))
        self.register_buffer("init_cam", torch.zeros(1, 3))

    def dense(self) -> tuple[DptHead, DptHead, DptHead]:
        """The heads that answer per pixel."""
        return self.dpt_self, self.dpt_cross, self.dpt_rgb

    def people(
        self,
        human: Float[Tensor, "people width"],
        appearance: Float[Tensor, "people channels"],
    ) -> People:
        """Bodies from decoded human tokens and the human branch's tokens at the heads."""
        joined = torch.cat((human, appearance), dim=-1)
        rotations = (self.decpose(joined) + self.init_body_pose).unflatten(-1, (-1, 6))
        return People(
            rotations=matrix_from_6d(rotations),
            betas=self.decshape(joined) + self.init_betas,
            expression=self.decexpression(joined) + self.init_expression,
            head_camera=expand_length(self.deccam(human)),
        )

    def to_world(self, patches: Tensor, pose: Tensor, positions: RotaryTable) -> Tensor:
        """Patch tokens [1, tokens, width] told about the camera by its token [1, 1, width]."""
        for block in self.final_transform:
            patches = block(patches, pose, positions)
        return patches


def _relu_mlp(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, out))
