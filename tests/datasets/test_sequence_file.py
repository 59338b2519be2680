"""Sequences on disk: what goes in comes out, and nothing else is taken for one."""

import dataclasses

import numpy as np
import pytest
from human3r_lab.datasets import PeopleTruth, SequenceFile, ViewTruth, open_folder, write_sequence
from safetensors.numpy import save_file

from human3r.errors import InputError
from human3r.types import Intrinsics

METADATA = {"seed": 7, "split": "test", "rate_hz": 6.0}


def view(rng, people, *, height=6, width=8, stamp_ns=0):
    return ViewTruth(
        image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        depth_m=rng.random((height, width), dtype=np.float32),
        person_index=rng.integers(0, 3, (height, width), dtype=np.uint8),
        intrinsics=Intrinsics(7.5, 7.25, 3.5, 2.5, width, height),
        world_from_camera=rng.random((4, 4)),
        people=PeopleTruth(
            np.arange(1, people + 1, dtype=np.int32),
            rng.random((people, 53, 3, 3), dtype=np.float32),
            rng.random((people, 10), dtype=np.float32),
            rng.random((people, 10), dtype=np.float32),
            rng.random((people, 3), dtype=np.float32),
            rng.random((people, 4)) > 0.5,
        ),
        stamp_ns=stamp_ns,
    )


def assert_equal(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            assert_equal(a, b)
        else:
            np.testing.assert_array_equal(a, b)
            assert np.asarray(a).dtype == np.asarray(b).dtype, field.name


@pytest.mark.parametrize("counts", [(2, 0, 1), (0, 0), (3,)])
def test_a_sequence_comes_back_as_it_was(tmp_path, counts):
    rng = np.random.default_rng(0)
    views = [view(rng, people, stamp_ns=i) for i, people in enumerate(counts)]
    path = write_sequence(tmp_path / "a.safetensors", views, METADATA)
    sequence = SequenceFile(path)
    assert len(sequence) == len(counts)
    assert sequence.metadata == METADATA
    for i, expected in enumerate(views):
        assert_equal(sequence.view(i), expected)
    with pytest.raises(IndexError):
        sequence.view(len(counts))


def test_views_of_two_sizes_and_no_views_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="one size"):
        write_sequence(tmp_path / "a.safetensors", [view(rng, 1), view(rng, 1, width=9)], {})
    with pytest.raises(InputError, match="one size"):
        write_sequence(tmp_path / "a.safetensors", [], {})
    assert not list(tmp_path.iterdir())


def test_a_folder_is_read_by_name(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b", "a"):
        write_sequence(tmp_path / f"{name}.safetensors", [view(rng, 1)], {})
    assert [sequence.name for sequence in open_folder(tmp_path)] == ["a", "b"]


def test_what_is_no_sequence_says_so(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_folder(tmp_path / "absent")
    with pytest.raises(InputError, match="no sequences"):
        open_folder(tmp_path)
    whole = write_sequence(tmp_path / "w.safetensors", [view(np.random.default_rng(0), 1)], {})
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut\.safetensors: not a readable sequence"):
        open_folder(tmp_path)
    other = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3)}, other)
    with pytest.raises(InputError, match="format is None"):
        SequenceFile(other)
    save_file(
        {"depth_m": np.zeros((2, 3, 4))},
        other,
        metadata={"format": "human3r-sequence-1", "sequence": "{}"},
    )
    with pytest.raises(InputError, match="not a readable sequence"):
        SequenceFile(other)
