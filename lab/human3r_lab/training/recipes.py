"""The ways to train: the published prompt tuning, and a small network of one's own."""

import dataclasses
from dataclasses import dataclass

import torch

from human3r.errors import ConfigError
from human3r.model.network import Human3R
from human3r.model.variants import NetworkConfig
from human3r.streaming.preprocess import fit_geometry
from human3r_lab.training.batches import Augmentation
from human3r_lab.training.forward import ForwardOptions
from human3r_lab.training.losses import LossWeights
from human3r_lab.training.targets import TargetRules

PROMPT_TUNED = (
    *("mlp_fuse", "mlp_msk", "decpose", "decshape", "deccam", "decexpression"),
    *("masked_smpl_token", "mhmr_masked_smpl_token"),
)
"""Modules and tokens that the published recipe trains, by the last part of their name."""
HUMAN_BRANCH = ("backbone", "mlp_classif", "mlp_offset", "mlp_msk")
"""Modules that see and find people, likewise."""
PEOPLE = tuple(dict.fromkeys((*HUMAN_BRANCH, *PROMPT_TUNED)))
"""Modules and tokens that know of people, likewise; those of the scene stay as they are."""

_UNREACHED = (
    *("patch_embed_ray_map", "enc_blocks_ray_map", "enc_norm_ray_map", "dpt_rgb"),
    *("masked_img_token", "masked_ray_map_token", "mhmr_masked_img_token", "mask_token"),
)
_PUBLISHED_SIZES = (
    *((512, 384, 2.0), (512, 336, 2.0), (512, 288, 2.0), (512, 256, 2.0), (512, 208, 2.0)),
    *((512, 144, 1.0), (384, 512, 1.0), (336, 512, 1.0), (288, 512, 1.0), (256, 512, 1.0)),
)
_SHAPES = ((4, 3, 0.7), (16, 9, 0.2), (3, 4, 0.1))
"""Width, height and frequency of the pictures that a small network is made for."""


@dataclass(frozen=True)
class Recipe:
    """Everything a way of training fixes."""

    name: str
    loss: LossWeights
    augmentation: Augmentation
    rules: TargetRules
    options: ForwardOptions
    learning_rate: float
    final_rate: float
    """Share of the learning rate that is left at the end."""
    schedule: str
    """``cosine`` or ``trapezoid``, see ``training.schedule``."""
    warm_up: float
    """Share of the training in which the rate rises."""
    trained: tuple[str, ...] = ()
    """As ``PROMPT_TUNED``; empty: everything that the losses reach."""
    part: str = "whole"
    """What views pass through: ``whole``; ``people``, which leaves out what answers per pixel and
    the camera; ``human-branch`` alone, at a fraction of the cost."""
    one_world_view: bool = False
    """Only one view per step, a different one each time, answers with its world pointmap."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    """Of parameters with more than one axis."""
    max_norm: float = 1.0
    """Gradients longer than this are shortened to it."""
    untrained: tuple[str, ...] = ()
    """Modules and tokens that no loss reaches, as ``PROMPT_TUNED``."""


def make_recipe(name: str, config: NetworkConfig) -> Recipe:
    """The recipe ``scratch``, ``human-branch``, ``people`` or ``prompt-tuning`` for a network.

    Raises:
        ConfigError: another name.
    """
    if name == "prompt-tuning":
        return _prompt_tuning(config)
    if name == "scratch":
        return _scratch(config)
    if name == "human-branch":
        return dataclasses.replace(
            _scratch(config), name=name, trained=HUMAN_BRANCH, part="human-branch"
        )
    if name == "people":
        return dataclasses.replace(_scratch(config), name=name, trained=PEOPLE, part="people")
    raise ConfigError(
        f"recipe is {name!r}; expected human-branch, for the first part of a network that begins "
        "with nothing, people, for all it knows of people, scratch, for the whole of it, or "
        "prompt-tuning, for one made of CUT3R and Multi-HMR."
    )


def _prompt_tuning(config: NetworkConfig) -> Recipe:
    """Human3R, arXiv 2510.06219, section on training."""
    sizes = _PUBLISHED_SIZES if config.input_size_px == 512 else _sizes(config)
    return Recipe(
        name="prompt-tuning",
        loss=LossWeights(),
        augmentation=Augmentation(sizes_px=sizes, ray_map=0.15),
        rules=TargetRules(),
        options=ForwardOptions(detach_heads=True, mask_absent=False, with_rgb=True),
        learning_rate=1e-4,
        final_rate=0.01,
        schedule="cosine",
        warm_up=5 / 40,
        trained=PROMPT_TUNED,
    )


def _scratch(config: NetworkConfig) -> Recipe:
    return Recipe(
        name="scratch",
        loss=LossWeights(
            points=1.0,
            confidence=1.0,
            pose=3.0,
            motion=1.0,
            detection=0.5,
            offset=0.5,
            rgb=0.0,
            rotations=2.0,
            direction=20.0,
            sky=0.1,
            hints=1.0,
        ),
        augmentation=Augmentation(
            sizes_px=_sizes(config),
            zoom=0.75,
            margin_px=6,
            color=0.4,
            hue=0.05,
            degradation=0.3,
            mirror=0.5,
            reverse=0.5,
            beside=0.15,
        ),
        rules=TargetRules(min_visible_px=12),
        options=ForwardOptions(),
        learning_rate=5e-4,
        final_rate=0.01,
        schedule="trapezoid",
        warm_up=0.02,
        one_world_view=True,
        untrained=_UNREACHED,
    )


def _sizes(config: NetworkConfig) -> tuple[tuple[int, int, float], ...]:
    """Network sizes of ordinary pictures, as inference makes them."""
    sizes = []
    for width, height, share in _SHAPES:
        geometry = fit_geometry(1000 * width, 1000 * height, config.input_size_px)
        sizes.append((geometry.width_px, geometry.height_px, share))
    return tuple(sizes)


def choose_parameters(network: Human3R, recipe: Recipe) -> dict[str, torch.nn.Parameter]:
    """Parameters that move, by name; all others stop asking for gradients.

    Gradients still pass through the fixed parts to what lies before them.
    """
    chosen = {}
    for name, parameter in network.named_parameters():
        parts = name.split(".")
        moves = not recipe.trained or any(part in recipe.trained for part in parts)
        moves = moves and not any(part in recipe.untrained for part in parts)
        parameter.requires_grad_(moves)
        if moves:
            chosen[name] = parameter
    return chosen
