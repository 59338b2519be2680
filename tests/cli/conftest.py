"""Fixtures of the command line's tests: weights that anyone can re-create."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from human3r.cli.main import main


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tiny network with seeded weights, made by the command that users are told to use."""
    yield from _seeded("tiny", tmp_path_factory)


@pytest.fixture(scope="session")
def mini_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The smallest network with seeded weights: made and loaded in a sixth of the time."""
    yield from _seeded("human3r_mini", tmp_path_factory)


def _seeded(variant: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("weights") / f"{variant}.safetensors"
    assert main(["weights", "seeded", variant, str(path)]) == 0
    yield path
    # pytest keeps the folders of three runs; that of tiny alone has 380 MB.
    path.unlink()
