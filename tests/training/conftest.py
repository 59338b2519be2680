"""A network, data and batches small enough to learn from within a test."""

from pathlib import Path

import pytest
import torch
from human3r_lab.training.batches import BatchMaker, Plan
from human3r_lab.training.body_points import BodyPoints
from human3r_lab.training.initial import new_network

from human3r.model.network import Human3R
from tests.training import small
from tests.training.fake_sequences import write_folder
from tests.training.small import PLAN, SMALL, VIEWS, sequences


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "train", sequences=3, views=VIEWS)


@pytest.fixture(scope="session")
def body_points() -> BodyPoints:
    return small.body_points()


@pytest.fixture
def network() -> Human3R:
    return new_network(SMALL, seed=3)


@pytest.fixture
def plan() -> Plan:
    return PLAN


@pytest.fixture
def data(data_folder: Path) -> tuple[list[Path], list[int]]:
    return sequences(data_folder)


@pytest.fixture
def make_batch(data, plan) -> BatchMaker:
    return BatchMaker(*data, plan)


@pytest.fixture(autouse=True)
def one_thread():
    """Equal numbers need an equal number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
