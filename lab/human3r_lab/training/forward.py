"""The network over windows of views, as training needs it: batched, with true head tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from human3r.geometry import pose_from_raw
from human3r.model.heads import People, confidence_from_raw, probability
from human3r.model.layers import DINO_PATCH_PX, RotaryTable, SizeConstants, StreamPositions, decode
from human3r.model.network import Human3R
from human3r.streaming.preprocess import pad_to_square
from human3r_lab.training.batches import Batch
from human3r_lab.training.ray_maps import ray_maps

_MIN_LENGTH, _MIN_SQUARE = 1e-8, 1e-16


@dataclass(frozen=True)
class ForwardOptions:
    """What the forward pass does besides the plain recurrence."""

    detach_heads: bool = False
    """The tokens that prompts are made of pass no gradient on to the encoders."""
    mask_absent: bool = True
    """Prompts of absent people are masked; the published recipe lets them take part."""
    with_rgb: bool = False
    """Also run the rgb head."""
    save_memory: bool = False
    """Compute activations a second time for the gradients instead of keeping them."""
    world_views: tuple[int, ...] | None = None
    """Views whose world pointmap is computed; None: all."""


@dataclass(frozen=True)
class HumanBranch:
    """What the human branch says about all views on its own; float32."""

    mask_logits: Float[Tensor, "batch views side side"]
    """Person, per pixel of the human branch's square image."""
    detection_logits: Float[Tensor, "batch views tokens"]
    """A head is here, per token of the human branch."""
    offset: Float[Tensor, "batch views people 2"]
    """From the centre of the token that people are read from to their heads, in tokens."""
    appearance: Float[Tensor, "batch views tokens width"]
    """Tokens of the human branch."""


@dataclass(frozen=True)
class PeoplePredictions(HumanBranch):
    """What the network says about people, without the scene; float32."""

    people: People
    """Each field with the axes batch, views, people first."""


@dataclass(frozen=True)
class Predictions(PeoplePredictions):
    """What the whole network says about all views; float32."""

    points_self: Float[Tensor, "batch views 3 height width"]
    """Metres, in the view's own camera frame."""
    confidence_self: Float[Tensor, "batch views height width"]
    points_world: Float[Tensor, "batch chosen 3 height width"]
    """Metres, in the first view's camera frame; of ``world_views``."""
    confidence_world: Float[Tensor, "batch chosen height width"]
    world_views: tuple[int, ...]
    camera_pose: Float[Tensor, "batch views 7"]
    """Translation in metres and quaternion, w first: first_from_camera."""
    rgb: Float[Tensor, "batch views 3 height width"] | None


def forward_human_branch(
    network: Human3R, batch: Batch, options: ForwardOptions | None = None
) -> HumanBranch:
    """Every view through the human branch alone, which knows of no other view."""
    run = _runner((options or ForwardOptions()).save_memory)
    appearance = _appearance(network, normalised(batch.image.flatten(0, 1)), run)
    return _human_branch(network, batch, appearance)


def _appearance(network: Human3R, pixels: Tensor, run: Callable[..., Any]) -> Tensor:
    """Tokens of the human branch, [views, tokens, width]."""
    return run(network.backbone, pad_to_square(pixels, network.config.human_size_px))


def _human_branch(network: Human3R, batch: Batch, appearance: Tensor) -> HumanBranch:
    size, views = batch.image.shape[:2]
    heads = network.downstream_head
    at_heads = _rows(appearance, batch.token_index.flatten(0, 1))
    return HumanBranch(
        mask_logits=_unfolded(heads.mlp_msk(appearance).float()).unflatten(0, (size, views)),
        detection_logits=heads.mlp_classif(appearance).float().view(size, views, -1),
        offset=heads.mlp_offset(at_heads).float().unflatten(0, (size, views)),
        appearance=appearance.unflatten(0, (size, views)),
    )


@dataclass(frozen=True)
class _Decoded:
    """What the heads read; views are batch times views."""

    encoded: Float[Tensor, "views patches channels"]
    appearance: Float[Tensor, "views tokens channels"]
    at_heads: Float[Tensor, "views people channels"]
    """Tokens of the human branch at the heads, as the bodies are read from them."""
    layers: tuple[Float[Tensor, "views patches width"], ...]
    """Patch tokens of three layers of the decoder."""
    poses: Float[Tensor, "views 1 width"]
    humans: Float[Tensor, "views people width"]


def forward_people(
    network: Human3R, batch: Batch, options: ForwardOptions | None = None
) -> PeoplePredictions:
    """As ``forward``, without pointmaps and camera poses."""
    options = options or ForwardOptions()
    decoded = _decoded(network, batch, options, _runner(options.save_memory))
    return PeoplePredictions(**_people(network, batch, decoded))


def forward(network: Human3R, batch: Batch, options: ForwardOptions | None = None) -> Predictions:
    """All views of a batch through the network, the recurrence view by view.

    Prompts are read at the true heads. There is no gate and no reset, and only the first view
    starts from the pose parameter.

    Source: Human3R, arXiv 2510.06219, section on training.
    """
    options = options or ForwardOptions()
    run = _runner(options.save_memory)
    decoded = _decoded(network, batch, options, run)
    size, views = batch.image.shape[:2]
    grid = _grid(network, batch)
    positions = network.size_constants(grid, network.device).patches
    heads = network.downstream_head

    # Dense answers for every view at once.
    tokens = (decoded.encoded, *decoded.layers)
    self_raw = run(heads.dpt_self, tokens, grid).float()
    world_views = tuple(range(views)) if options.world_views is None else options.world_views
    *early, late, pose = (_of_views(x, views, world_views) for x in (*tokens, decoded.poses))
    moved = run(heads.to_world, late, pose, positions)
    world_raw = run(heads.dpt_cross, (*early, moved), grid).float()
    rgb = None
    if options.with_rgb:
        rgb = (probability(run(heads.dpt_rgb, tokens, grid).float()) - 0.5) * 2
        rgb = rgb.unflatten(0, (size, views))
    return Predictions(
        points_self=_expand_length(self_raw[:, :3]).unflatten(0, (size, views)),
        confidence_self=confidence_from_raw(self_raw[:, 3]).unflatten(0, (size, views)),
        points_world=_expand_length(world_raw[:, :3]).unflatten(0, (size, len(world_views))),
        confidence_world=confidence_from_raw(world_raw[:, 3]).unflatten(
            0, (size, len(world_views))
        ),
        world_views=world_views,
        camera_pose=pose_from_raw(heads.pose_head(decoded.poses).float()).view(size, views, 7),
        rgb=rgb,
        **_people(network, batch, decoded),
    )


def _decoded(
    network: Human3R, batch: Batch, options: ForwardOptions, run: Callable[..., Any]
) -> _Decoded:
    constants = network.size_constants(_grid(network, batch), network.device)
    # Every view through both encoders at once.
    pixels = normalised(batch.image.flatten(0, 1))
    encoded = network.patch_embed(pixels)
    for block in network.enc_blocks:
        encoded = run(block, encoded, constants.encoder)
    encoded = network.enc_norm(encoded)
    if bool(batch.has_ray_map.any()):
        encoded = encoded + _ray_tokens(network, batch, constants, run)
    appearance = _appearance(network, pixels, run)
    # One prompt per person, at the true head.
    at_heads, patches_at, prompts = _prompts(network, batch, encoded, appearance, options)
    recurred = _recur(network, batch, encoded, prompts, patches_at, constants, options, run)
    return _Decoded(encoded, appearance, at_heads, *recurred)


def _people(network: Human3R, batch: Batch, decoded: _Decoded) -> dict[str, Any]:
    """The fields of ``PeoplePredictions``."""
    size, views = batch.image.shape[:2]
    humans, at_heads = (x.unflatten(0, (size, views)) for x in (decoded.humans, decoded.at_heads))
    people = network.downstream_head.people(humans, at_heads)
    return {
        "people": People(**{name: value.float() for name, value in vars(people).items()}),
        **vars(_human_branch(network, batch, decoded.appearance)),
    }


def _grid(network: Human3R, batch: Batch) -> tuple[int, int]:
    """Rows and columns of patches."""
    height, width = batch.image.shape[-2:]
    return height // network.config.patch_px, width // network.config.patch_px


def _ray_tokens(
    network: Human3R, batch: Batch, constants: SizeConstants, run: Callable[..., Any]
) -> Tensor:
    """What is added to the image tokens: known cameras, or that they are not known."""
    rays = ray_maps(batch.camera, batch.first_from_camera, batch.depth_m.shape[-2:]).flatten(0, 1)
    tokens = network.patch_embed_ray_map(rays)
    for block in network.enc_blocks_ray_map:
        tokens = run(block, tokens, constants.encoder)
    tokens = network.enc_norm_ray_map(tokens)
    known = batch.has_ray_map.flatten()[:, None, None]
    return torch.where(known, tokens, network.masked_ray_map_token.to(tokens.dtype))


def normalised(image: UInt8[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """8-bit pixels as [-1, 1], as ``streaming.preprocess.normalise`` does it."""
    return (image.float() / 255 - 0.5) / 0.5


def _prompts(
    network: Human3R,
    batch: Batch,
    encoded: Tensor,
    appearance: Tensor,
    options: ForwardOptions,
) -> tuple[Tensor, Tensor, Tensor]:
    """Human-branch tokens at the heads, patch numbers there, and prompts; [views, people, ...]."""
    present = batch.is_present.flatten(0, 1)[..., None]
    patches_at = batch.patch_index.flatten(0, 1)
    seen = _rows(appearance, batch.token_index.flatten(0, 1))
    around = _rows(encoded, patches_at)
    if options.detach_heads:
        seen, around = seen.detach(), around.detach()
    seen = torch.where(present, seen, network.mhmr_masked_smpl_token.to(seen.dtype))
    around = torch.where(present, around, network.masked_smpl_token.to(around.dtype))
    prompts = network.downstream_head.mlp_fuse(torch.cat((seen, around), dim=-1))
    return seen, patches_at, prompts


def _recur(
    network: Human3R,
    batch: Batch,
    encoded: Tensor,
    prompts: Tensor,
    patches_at: Tensor,
    constants: SizeConstants,
    options: ForwardOptions,
    run: Callable[..., Any],
) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Views one after the other through decoder, state and pose memory.

    Returns:
        Patch tokens of three layers, pose token and human tokens of all views, batch times views
        first.
    """
    size, views = batch.image.shape[:2]
    retriever = network.pose_retriever
    embedded = network.decoder_embed(encoded).unflatten(0, (size, views))
    prompts = prompts.unflatten(0, (size, views))
    patches_at = patches_at.unflatten(0, (size, views))
    addresses = retriever.address(encoded).unflatten(0, (size, views))
    state = network.initial_state().expand(size, -1, -1)
    memory = network.initial_memory().expand(size, -1, -1)
    kept: list[tuple[Tensor, ...]] = []
    for view in range(views):
        address = addresses[:, view]
        if view == 0:
            pose = network.pose_token.expand(size, -1, -1)
        else:
            pose = run(retriever.read, address, memory)
        tokens = torch.cat((pose.to(embedded.dtype), embedded[:, view], prompts[:, view]), dim=1)
        decoded = run(
            decode,
            tokens,
            state,
            network.dec_blocks,
            network.dec_blocks_state,
            network.dec_norm,
            network.dec_norm_state,
            _positions(constants, patches_at[:, view]),
            with_gate=False,
            image_mask=_attended(batch, view, embedded.shape[2], options.mask_absent),
        )
        kept.append(decoded.image_layers)
        state = decoded.state
        if view + 1 < views:  # What the last view would leave is not read.
            memory = run(retriever.write, address, decoded.image_layers[-1][:, :1], memory)
    middle, late, last = (torch.stack(layer, 1).flatten(0, 1) for layer in zip(*kept, strict=True))
    end = 1 + embedded.shape[2]
    layers = (middle[:, 1:end], late[:, 1:end], last[:, 1:end])
    return layers, last[:, :1], last[:, end:]


def _attended(batch: Batch, view: int, patches: int, mask_absent: bool) -> Tensor | None:
    """Which tokens [batch, 1, 1, tokens] may be attended to; None: all."""
    present = batch.is_present[:, view]
    if not mask_absent or not present.shape[1]:
        return None
    others = present.new_ones(len(present), 1 + patches)
    return torch.cat((others, present), dim=1)[:, None, None]


def _positions(constants: SizeConstants, patches_at: Tensor) -> StreamPositions:
    """Rotary tables of [pose | patches | prompts], one per sequence of the batch."""

    def joined(pose: RotaryTable, patches: RotaryTable) -> RotaryTable:
        fixed, prompts = pose.then(patches), patches.rows(patches_at)
        batch = len(patches_at)
        return RotaryTable(
            *(
                torch.cat((a.expand(batch, *a.shape), b), dim=1)[:, None]
                for a, b in ((fixed.cos, prompts.cos), (fixed.sin, prompts.sin))
            ),
            fixed.rounding,
        )

    return StreamPositions(
        image_for_image=joined(constants.pose, constants.patches),
        state_for_image=constants.state_for_image,
        image_for_state=joined(constants.pose_for_state, constants.patches_for_state),
        state_for_state=constants.state_for_state,
    )


def _of_views(x: Tensor, views: int, chosen: tuple[int, ...]) -> Tensor:
    """Of everything that has batch times views first, the chosen views."""
    if chosen == tuple(range(views)):
        return x
    return x.unflatten(0, (-1, views))[:, list(chosen)].flatten(0, 1)


def _rows(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens [views, people, width] at the numbers [views, people]."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def _expand_length(raw: Float[Tensor, "views 3 height width"]) -> Tensor:
    """``geometry.rigid.expand_length`` of maps whose coordinates lie apart."""
    length = planar_length(raw).unsqueeze(1)
    return raw * (length.expm1() / length.clamp_min(_MIN_LENGTH))


def planar_length(
    vectors: Float[Tensor, "*batch 3 height width"],
) -> Float[Tensor, "*batch height width"]:
    """Lengths of vectors whose coordinates lie apart; no gradient where they are zero.

    Three planes added up take a third of the time that a norm over this axis does.
    """
    x, y, z = vectors.unbind(-3)
    return (x * x + y * y + z * z).clamp_min(_MIN_SQUARE).sqrt()


def _unfolded(logits: Float[Tensor, "views tokens pixels"]) -> Float[Tensor, "views side side"]:
    """Square images from one patch of logits per token."""
    grid = round(logits.shape[1] ** 0.5)
    return F.pixel_shuffle(logits.transpose(1, 2).unflatten(2, (grid, grid)), DINO_PATCH_PX)[:, 0]


def _runner(save_memory: bool) -> Callable[..., Any]:
    if not save_memory:
        return lambda function, *args, **keywords: function(*args, **keywords)

    def run(function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        return checkpoint(
            function, *args, use_reentrant=False, preserve_rng_state=False, **keywords
        )

    return run
