"""What most tests share: the tiny network with seeded weights, the synthetic body, frames."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from human3r.body.base import BodyModel
from human3r.config import Settings
from human3r.model.hollow import hollow
from human3r.model.network import Human3R
from human3r.model.seeded import seeded_state
from human3r.model.variants import VARIANTS, NetworkConfig
from human3r.types import Frame
from tests import synthetic_smplx

GOLDEN = Path(__file__).parent / "golden"
MANIFESTS = sorted(path.stem for path in (GOLDEN / "manifests").glob("*.json"))
"""Networks whose tensors a reference lists: those that were published, and ``tiny``."""


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def unit_ops() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "unit_ops.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def golden_frames() -> np.ndarray:
    """(6, 200, 330, 3) uint8: synthetic frames in which the tiny network finds a few people."""
    with np.load(GOLDEN / "tiny_landscape.fp32.npz") as file:
        return file["frames_uint8"]


@pytest.fixture(scope="session")
def tiny_network() -> Human3R:
    """The ``tiny`` variant with seeded weights (seed 0). Leave it as it is."""
    return seeded_network("tiny")


@pytest.fixture(scope="session")
def small_network() -> Human3R:
    """``human3r_mini`` with a human branch of 4 x 4 tokens and images of 64 pixels, seeded.

    Scores are low: take ``people.min_score`` 0.02.
    """
    config = dataclasses.replace(VARIANTS["human3r_mini"], human_size_px=56, input_size_px=64)
    return seeded_network(config)


@pytest.fixture(scope="session")
def body_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic body (seed 7) with 300 vertices, as an npz file."""
    return synthetic_smplx.write(tmp_path_factory.mktemp("body"), num_vertices=300, num_faces=600)


@pytest.fixture(scope="session")
def body_model(body_file: Path) -> BodyModel:
    """The synthetic body (seed 7) with 300 vertices."""
    from human3r.body import load_body_model

    return load_body_model(body_file)


@pytest.fixture(scope="session")
def golden_body() -> BodyModel:
    """The synthetic body (seed 7) at full size, as the golden numbers use it."""
    from human3r.body.layout import check_arrays
    from human3r.body.smplx import SmplxBody

    return SmplxBody(check_arrays(synthetic_smplx.build(7), "synthetic body"), "synthetic")


@pytest.fixture
def tiny_settings() -> Settings:
    """Settings as the golden streams have them: nobody is forgotten, no gate, no resets."""
    return Settings().replace({"people.forget_s": 0.0, "model.ttt3r": False})


@pytest.fixture
def make_frames() -> Callable[..., list[Frame]]:
    """Images as frames, 100 ms apart from ``start_ns`` on."""

    def make(images: np.ndarray, start_ns: int = 1_000_000_000) -> list[Frame]:
        return [Frame(image, start_ns + 100_000_000 * i) for i, image in enumerate(images)]

    return make


def seeded_network(variant: str | NetworkConfig, seed: int = 0) -> Human3R:
    """A network with seeded weights, ready to run."""
    with hollow():
        network = Human3R(VARIANTS[variant] if isinstance(variant, str) else variant)
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    weights = seeded_state(shapes, seed)
    network.load_state_dict(
        {key: torch.from_numpy(weights.pop(key)) for key in shapes}, assign=True
    )
    return network.requires_grad_(False).eval()


def golden_settings(name: str) -> dict:
    """The json beside a golden stream."""
    return json.loads((GOLDEN / f"{name}.json").read_text())
