"""A network that learns within a second, and how its trainings are set up."""

from functools import cache
from pathlib import Path

from human3r_lab.training.batches import Augmentation, Plan
from human3r_lab.training.body_points import BodyPoints
from human3r_lab.training.initial import new_network
from human3r_lab.training.processes import Processes
from human3r_lab.training.recipes import make_recipe
from human3r_lab.training.targets import TargetRules
from human3r_lab.training.trainer import Trainer

from human3r.body.default import default_body_path
from human3r.model.variants import DINO_SIZES, NetworkConfig

# No published network has a human branch that is small enough for tests.
DINO_SIZES.setdefault("small14", (24, 1, 2))

VIEWS = 7
"""Views of every sequence that the tests learn from."""

SMALL = NetworkConfig(
    human_size_px=56,
    dino="small14",
    encoder_width=24,
    encoder_depth=1,
    encoder_heads=2,
    decoder_width=24,
    decoder_depth=4,
    decoder_heads=2,
    state_heads=2,
    state_tokens=10,
    memory_slots=6,
    memory_blocks=1,
    input_size_px=80,
    ray_map_depth=1,
    ray_map_heads=2,
    dpt_channels=4,
    dpt_width=8,
    dpt_last=8,
    human_head_ratio=1,
)

PLAN = Plan(
    SMALL,
    batch=2,
    views=3,
    seed=5,
    augmentation=Augmentation(
        sizes_px=((80, 48, 2.0), (48, 64, 1.0)),
        zoom=0.7,
        margin_px=4,
        degradation=0.5,
        mirror=0.5,
        reverse=0.5,
    ),
    rules=TargetRules(),
)
"""Two windows of three views per step, every augmentation in use."""


@cache
def body_points() -> BodyPoints:
    """The free body with a few of its vertices; reading it takes longer than a test should."""
    return BodyPoints(default_body_path(), stride=64)


def sequences(folder: Path) -> tuple[list[Path], list[int]]:
    """What a trainer wants to know about a folder of the tests' sequences."""
    paths = sorted(folder.glob("*.safetensors"))
    return paths, [VIEWS] * len(paths)


def small_trainer(
    data: Path,
    out: Path,
    plan: Plan = PLAN,
    processes: Processes | None = None,
    recipe: str = "scratch",
    **changes,
) -> Trainer:
    """A trainer of the small network from scratch."""
    return Trainer(
        new_network(SMALL, seed=3),
        make_recipe(recipe, SMALL),
        plan,
        sequences(data),
        body_points(),
        out,
        processes=processes,
        **changes,
    )
