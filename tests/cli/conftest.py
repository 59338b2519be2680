"""Fixtures of the command line's tests: weights that anyone can re-create."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from human3r.cli.main import main


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tiny network with seeded weights, made by the command that users are told to use."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    assert main(["weights", "seeded", "tiny", str(path)]) == 0
    yield path
    # pytest keeps the folders of three runs; this file alone has 380 MB.
    path.unlink()
