"""What is measured: pipelines of any variant with seeded weights, and streams through them."""

from collections.abc import Callable
from typing import Any

import torch

from human3r import Frame, Settings
from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.model.network import Human3R
from human3r.model.precision import set_precision
from human3r.model.seeded import seeded_tensor
from human3r.model.variants import VARIANTS
from human3r.pipeline import Pipeline
from human3r.streaming.preprocess import prepare


def seeded_network(variant: str, device: torch.device) -> Human3R:
    """A variant with seeded weights: the arithmetic of real ones, not their answers."""
    with torch.device("meta"):
        network = Human3R(VARIANTS[variant])
    state = {
        name: torch.from_numpy(seeded_tensor(name, tuple(tensor.shape)))
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    return network.to(device).eval().requires_grad_(False)


def build(variant: str, device: torch.device, settings: Settings | None = None) -> Pipeline:
    """Network, free body and session of a variant."""
    settings = settings or Settings()
    network = seeded_network(variant, device)
    set_precision(network, settings.model.precision)
    return Pipeline(network, load_body_model(default_body_path(), device), settings)


SHIPPED = "human3r_mini"
"""The variant whose trained weights come with the package."""


def weights_of(variant: str) -> str:
    """Which weights ``build_as_shipped`` takes."""
    return "shipped" if variant == SHIPPED else "seeded"


def build_as_shipped(variant: str, device: torch.device, settings: Settings) -> Pipeline:
    """As ``build``, with trained weights where the package has them: what answers depend on."""
    if weights_of(variant) == "seeded":
        return build(variant, device, settings)
    return Pipeline.from_settings(settings.replace({"model.device": str(device)}))


def network_stream(run: Any, images: list, device: torch.device, **options: Any) -> Callable:
    """The network alone over images: preparation is done beforehand, the state goes on.

    Args:
        run: called like ``Human3R``.
        images: (height, width, 3) uint8.
        device: where ``run`` computes.
        options: further arguments of the call, such as ``max_people``.
    """
    config = run.config
    prepared = [
        prepare(image, config.input_size_px, config.human_size_px, device)[2:] for image in images
    ]
    carried: dict[str, Any] = {}

    @torch.inference_mode()
    def step(turn: int) -> None:
        pixels, square = prepared[turn % len(prepared)]
        if not carried:
            carried["state"], carried["memory"] = run.initial_state(), run.initial_memory()
            carried["is_first"] = True
        out = run(pixels, square, carried["state"], carried["memory"],
                  is_first=carried["is_first"], with_gate=True, **options)  # fmt: skip
        carried.update(state=out.state, memory=out.memory, is_first=False)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def session_stream(pipeline: Pipeline, images: list) -> Callable[[int], Any]:
    """Everything from image to estimate, frame by frame."""
    stamp_ns = [0]

    def step(turn: int) -> Any:
        stamp_ns[0] += 100_000_000
        return pipeline.step(Frame(images[turn % len(images)], stamp_ns[0]))

    return step
