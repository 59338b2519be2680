"""Fixtures of the node's tests: seeded weights, a made-up body."""

import os
from pathlib import Path

import human3r_ros  # noqa: F401 - settles the client library before anything imports rclpy.
import pytest

from tests import synthetic_smplx


@pytest.fixture(scope="session")
def model_files(tmp_path_factory) -> tuple[Path, Path]:
    """Seeded tiny weights and a small body model, made once."""
    from human3r.cli.main import main

    folder = tmp_path_factory.mktemp("models")
    weights = folder / "tiny.safetensors"
    assert main(["weights", "seeded", "tiny", str(weights)]) == 0
    return weights, synthetic_smplx.write(folder, num_vertices=200, num_faces=300)


@pytest.fixture(scope="session")
def body_model(model_files):
    from human3r.body import load_body_model

    return load_body_model(model_files[1])


@pytest.fixture(scope="session")
def private_domain():
    """Environment variables of a DDS domain of our own on the loopback interface, also set here."""
    from human3r_ros.private_domain import private_environment

    environment = private_environment()
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    yield environment
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
