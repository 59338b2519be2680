"""Fixtures of the node's tests: seeded weights, a made-up body."""

from pathlib import Path

import human3r_ros  # noqa: F401 - settles the client library before anything imports rclpy.
import pytest

from tests import synthetic_smplx


@pytest.fixture(scope="session")
def model_files(tmp_path_factory) -> tuple[Path, Path]:
    """Seeded weights of the smallest network and a small body model, made once."""
    from human3r.cli.main import main

    folder = tmp_path_factory.mktemp("models")
    weights = folder / "mini.safetensors"
    assert main(["weights", "seeded", "human3r_mini", str(weights)]) == 0
    return weights, synthetic_smplx.write(folder, num_vertices=200, num_faces=300)


@pytest.fixture(scope="session")
def body_model(model_files):
    from human3r.body import load_body_model

    return load_body_model(model_files[1])


@pytest.fixture(scope="module")
def pipeline(model_files):
    """The core without a node, with the seeded weights on the CPU."""
    from human3r.config import Settings
    from human3r.pipeline import Pipeline

    weights, body = map(str, model_files)
    values = {"model.weights": weights, "model.body_model": body, "input.max_age_s": 0.0}
    values |= {"model.device": "cpu"}
    values |= {f"{part}.source": "network" for part in ("odometry", "people", "scene")}
    made = Pipeline.from_settings(Settings().replace(values))
    yield made
    made.close()


@pytest.fixture(scope="session")
def chosen_domain():
    """Environment variables of a DDS domain of our own on the loopback interface."""
    from human3r_ros.commands.private_domain import private_environment

    return private_environment()


@pytest.fixture(scope="module")
def private_domain(chosen_domain):
    """The same, set here while a module's tests run; other tests have domains of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in chosen_domain.items():
            patch.setenv(name, value)
        yield chosen_domain
