from pathlib import Path

import pytest

from tests.export import results


@pytest.fixture
def make(body_file, tmp_path_factory):
    """A new result folder of a seed, and a place to export to."""

    def make(seed: int, scale: float = 1.0) -> tuple[Path, Path]:
        place = tmp_path_factory.mktemp("export")
        results.write_result(place / "run", body_file, seed, scale=scale)
        return place / "run", place / "out"

    return make
