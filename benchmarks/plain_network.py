"""The yardstick: the same weights, run step by step, every head, nothing remembered or left out.

``PlainNetwork`` answers like ``human3r.model.network.Human3R`` and takes the network's place in a
``StreamSession``. It follows the paper without any of the shortcuts of the product, so that it
serves twice: a benchmark measures the product against it, and tests prove that both say the same.
Do not speed it up.
"""

# pyright: reportAttributeAccessIssue=false, reportIndexIssue=false, reportOperatorIssue=false
# Layers are reached by name, and torch types any attribute of a module as Tensor or Module.

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from human3r.geometry import pose_from_raw
from human3r.model.heads import (
    choose_peaks,
    keep_peaks,
    locate_people,
    points_from_raw,
    probability,
)
from human3r.model.layers import DINO_PATCH_PX, POSE_POSITION
from human3r.model.network import Human3R, NetworkOutput

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_DINO_GRID = 37


class PlainNetwork:
    """A network's weights behind a plain eager pass, always with world, rgb and gate.

    Args:
        network: whose weights are used; it is not changed.
        fused_attention: take PyTorch's fused attention instead of written-out matrices. The
            gate's matrices are written out in any case, as every definition of it says.
    """

    def __init__(self, network: Human3R, *, fused_attention: bool = False) -> None:
        self.net = network
        self.config = network.config
        self._fused = fused_attention

    @property
    def device(self) -> torch.device:
        return self.net.device

    def initial_state(self) -> Tensor:
        return self.net.initial_state()

    def initial_memory(self) -> Tensor:
        return self.net.initial_memory()

    def __call__(
        self,
        image: Tensor,
        human_image: Tensor,
        state: Tensor,
        memory: Tensor,
        *,
        is_first: bool,
        min_score: float = 0.3,
        max_people: int | None = None,
        with_gate: bool = True,
        outputs: Collection[str] = (),
    ) -> NetworkOutput:
        """As ``Human3R.forward``; ``outputs`` and ``with_gate`` are ignored: all is computed."""
        net, heads, patch = self.net, self.net.downstream_head, self.config.patch_px
        height, width = image.shape[-2:]
        grid = (height // patch, width // patch)
        patch_yx = _grid_positions(grid)
        encoded = net.patch_embed(image)
        for block in net.enc_blocks:
            encoded = self._encoder_block(block, encoded, patch_yx)
        encoded = net.enc_norm(encoded)
        appearance = self._human_branch(human_image)

        side = math.isqrt(appearance.shape[1])
        peaks = keep_peaks(probability(heads.mlp_classif(appearance)).view(side, side))
        chosen = choose_peaks(peaks, min_score, max_people)
        found = locate_people(
            chosen,
            peaks.flatten()[chosen],
            heads.mlp_offset(appearance[0, chosen]),
            square_px=self.config.human_size_px,
            width_px=width,
            height_px=height,
            patch_px=patch,
        )
        seen = appearance[:, found.token_index]
        prompts = heads.mlp_fuse(torch.cat((seen, encoded[:, found.patch_index]), dim=-1))

        retriever = net.pose_retriever
        address = retriever.proj_q(encoded.mean(dim=1, keepdim=True))
        pose = net.pose_token if is_first else self._read(address, memory)
        pose_yx = torch.full((1, 2), POSE_POSITION)
        image_yx = torch.cat((pose_yx, patch_yx, patch_yx[found.patch_index.cpu()]))
        tokens = torch.cat((pose, net.decoder_embed(encoded), prompts), dim=1)
        layers, state, gate = self._decode(tokens, state, image_yx)
        end = 1 + grid[0] * grid[1]
        pose, human = layers[-1][:, :1], layers[-1][0, end:]
        patches = [encoded, *(layer[:, 1:end] for layer in layers)]

        moved = patches[-1]
        for block in heads.final_transform:
            moved = moved + self._self_attention(block.attn, block.norm1(moved, pose), patch_yx)
            moved = moved + block.mlp(block.norm2(moved, pose))
        points, confidence = points_from_raw(_dpt(heads.dpt_self, patches, grid))
        world = points_from_raw(_dpt(heads.dpt_cross, [*patches[:-1], moved], grid))
        rgb = probability(_dpt(heads.dpt_rgb, patches, grid))[0].permute(1, 2, 0)
        mask = probability(heads.mlp_msk(appearance)).transpose(1, 2).unflatten(2, (side, side))
        return NetworkOutput(
            points_camera=points,
            confidence=confidence,
            camera_pose=pose_from_raw(heads.pose_head(pose)[0, 0]),
            person_probability=F.pixel_shuffle(mask, DINO_PATCH_PX)[0, 0],
            peaks=peaks,
            detections=found,
            people=heads.people(human, seen[0]),
            human_tokens=human,
            num_people=torch.tensor(len(human)),
            state=state,
            memory=self._write(address, pose, memory),
            gate=gate,
            points_world=world[0],
            confidence_world=world[1],
            rgb=(rgb - 0.5) * 2,
        )

    def _human_branch(self, image: Tensor) -> Tensor:
        encoder = self.net.backbone.encoder
        mean, std = (torch.tensor(x, device=image.device).view(1, 3, 1, 1) for x in _IMAGENET)
        patches = encoder.patch_embed((image * 0.5 + 0.5 - mean) / std)
        grid = image.shape[-1] // DINO_PATCH_PX
        positions = encoder.pos_embed
        if grid != _DINO_GRID:
            stored = positions[:, 1:].unflatten(1, (_DINO_GRID, _DINO_GRID)).permute(0, 3, 1, 2)
            factor = (grid + 0.1) / _DINO_GRID
            resampled = F.interpolate(
                stored, scale_factor=(factor, factor), mode="bicubic", recompute_scale_factor=False
            )
            positions = torch.cat((positions[:, :1], resampled.flatten(2).transpose(1, 2)), dim=1)
        x = torch.cat((encoder.cls_token, patches), dim=1) + positions
        for block in encoder.blocks:
            x = x + block.ls1.gamma * self._self_attention(block.attn, block.norm1(x), None)
            x = x + block.ls2.gamma * block.mlp(block.norm2(x))
        return encoder.norm(x)[:, 1:]

    def _decode(
        self, image: Tensor, state: Tensor, image_yx: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        net, depth = self.net, self.config.decoder_depth
        state_yx = _state_positions(state.shape[1])
        logits: list[Tensor] = []
        layers = {}
        for layer in range(depth):
            image, state = (
                self._decoder_block(net.dec_blocks[layer], image, state, image_yx, state_yx),
                self._decoder_block(
                    net.dec_blocks_state[layer], state, image, state_yx, image_yx, logits
                ),
            )
            layers[layer + 1] = image
        kept = [layers[depth * 2 // 4], layers[depth * 3 // 4], net.dec_norm(image)]
        gate = torch.stack(logits).mean(dim=(0, 2, 4)).sigmoid()
        return kept, net.dec_norm_state(state), gate

    def _encoder_block(self, block: nn.Module, x: Tensor, yx: Tensor) -> Tensor:
        x = x + self._self_attention(block.attn, block.norm1(x), yx)
        return x + block.mlp(block.norm2(x))

    def _decoder_block(
        self,
        block: nn.Module,
        x: Tensor,
        y: Tensor,
        x_yx: Tensor | None = None,
        y_yx: Tensor | None = None,
        logits: list[Tensor] | None = None,
    ) -> Tensor:
        x = x + self._self_attention(block.attn, block.norm1(x), x_yx)
        cross, y = block.cross_attn, block.norm_y(y)
        queries, keys, values = cross.projq(block.norm2(x)), cross.projk(y), cross.projv(y)
        q, k, v = (_split(t, cross.heads) for t in (queries, keys, values))
        x = x + cross.proj(self._attend(self._turn(q, x_yx), self._turn(k, y_yx), v, logits))
        return x + block.mlp(block.norm3(x))

    def _self_attention(self, attention: nn.Module, x: Tensor, yx: Tensor | None) -> Tensor:
        q, k, v = (_split(t, attention.heads) for t in attention.qkv(x).chunk(3, dim=-1))
        return attention.proj(self._attend(self._turn(q, yx), self._turn(k, yx), v, None))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, logits: list[Tensor] | None) -> Tensor:
        if self._fused and logits is None:
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if logits is not None:
            logits.append(scores)
        return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)

    def _turn(self, x: Tensor, yx: Tensor | None) -> Tensor:
        """Rotary positions, their angles computed each time."""
        if yx is None:
            return x
        quarter = x.shape[-1] // 4
        frequency = self.config.rope_base ** (-torch.arange(quarter, dtype=torch.float32) / quarter)
        halves = []
        for half, position in zip(x.chunk(2, dim=-1), yx.float().unbind(-1), strict=True):
            angle = (position[:, None] * frequency).to(x.device)
            u, v = half.chunk(2, dim=-1)
            halves += [u * angle.cos() - v * angle.sin(), v * angle.cos() + u * angle.sin()]
        return torch.cat(halves, dim=-1)

    def _read(self, address: Tensor, memory: Tensor) -> Tensor:
        retriever = self.net.pose_retriever
        x = torch.cat((address, retriever.masked_token), dim=-1)
        for block in retriever.read_blocks:
            x = self._decoder_block(block, x, memory)
        return x[..., address.shape[-1] :]

    def _write(self, address: Tensor, pose: Tensor, memory: Tensor) -> Tensor:
        entry = torch.cat((address, pose), dim=-1)
        for block in self.net.pose_retriever.write_blocks:
            memory = self._decoder_block(block, memory, entry)
        return memory


def _dpt(head: nn.Module, tokens: list[Tensor], grid: tuple[int, int]) -> Tensor:
    net, levels = head.scratch, []
    for number, x in enumerate(tokens):
        image = x.transpose(1, 2).reshape(1, -1, *grid)
        levels.append(net.layer_rn[number](head.act_postprocess[number](image)))
    path = _fuse(net.refinenet4, levels[3], None)[..., : grid[0], : grid[1]]
    path = _fuse(net.refinenet3, path, levels[2])
    path = _fuse(net.refinenet2, path, levels[1])
    return head.head(_fuse(net.refinenet1, path, levels[0]))


def _fuse(block: nn.Module, coarse: Tensor, fine: Tensor | None) -> Tensor:
    x = coarse if fine is None else coarse + block.resConfUnit1(fine)
    x = block.resConfUnit2(x)
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    return block.out_conv(x)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _grid_positions(grid: tuple[int, int]) -> Tensor:
    return torch.tensor([(y, x) for y in range(grid[0]) for x in range(grid[1])])


def _state_positions(num_tokens: int) -> Tensor:
    width = math.isqrt(num_tokens)
    width += width % 2
    return torch.tensor([(k // width, k % width) for k in range(num_tokens)])
